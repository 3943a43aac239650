//! Whom a store believes of several Sentinels: the newest configuration of those that answer, most of which are waited for.
//!
//! Here they are lines to a server that is none, so that each says what it is told to, and when.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use idempotency_store::{RedisStore, Store};
use idempotency_tests::redis_proxy::named;
use idempotency_tests::{Gate, LineFault, RedisOptions, RedisProxy, RedisServer};

use crate::redis_failover::{config, connect};
use crate::redis_own::{acquire, claim, soon};

/// What a replica that does not exist is given.
const HASTY: Duration = Duration::from_millis(50);

/// Two masters, after a fail-over of which the old one has not heard, and three Sentinels.
struct Split {
    old: RedisServer,
    new: RedisServer,
    sentinels: Vec<RedisProxy>,
    _spoken_to: RedisServer,
}

impl Split {
    async fn start() -> Self {
        let servers = join_all((0..3).map(|_| RedisServer::start(RedisOptions::default()))).await;
        let [old, new, spoken_to] = servers.try_into().expect("three servers");
        let sentinels = join_all((0..3).map(|_| RedisProxy::to(spoken_to.address()))).await;
        Self { old, new, sentinels, _spoken_to: spoken_to }
    }

    /// The Sentinel of this number names a master, as it was configured in this epoch.
    fn names(&self, sentinel: usize, master: &RedisServer, epoch: u64) {
        self.sentinels[sentinel].set(named("SENTINEL"), LineFault::Answer(answer(master.address(), epoch).into()));
    }

    /// The Sentinel of this number answers, but not before the gate opens.
    fn holds(&self, sentinel: usize) -> Gate {
        let gate = Gate::default();
        self.sentinels[sentinel].set(named("CLIENT"), LineFault::HoldBefore(gate.clone()));
        gate
    }

    fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect();
        format!("redis+sentinel://{}/mymaster", addresses.join(","))
    }

    async fn connect(&self) -> RedisStore {
        connect(config(&self.url()).replication_timeout(HASTY).connect_timeout(Duration::from_secs(10))).await
    }

    /// Fails unless what the store claims is claimed at the new master, and only there.
    async fn expect_at_the_new_one(&self, store: &RedisStore) {
        acquire(store, &claim(1)).await;
        let (old, new) = (self.old.keys("idem:{").await, self.new.keys("idem:{").await);
        assert_eq!((old.len(), new.len()), (0, 1));
    }
}

/// What `SENTINEL MASTER` answers, as far as anybody reads it.
fn answer(master: SocketAddr, epoch: u64) -> Vec<u8> {
    let words = [
        "ip".to_owned(),
        master.ip().to_string(),
        "port".to_owned(),
        master.port().to_string(),
        "config-epoch".to_owned(),
        epoch.to_string(),
    ];
    let bulk = |all: String, word: &String| format!("{all}${}\r\n{word}\r\n", word.len());
    words.iter().fold(format!("*{}\r\n", words.len()), bulk).into_bytes()
}

#[tokio::test]
async fn s42_a_sentinel_that_was_left_behind_is_not_believed_though_it_answers_first() {
    let split = Split::start().await;
    split.names(0, &split.old, 1);
    let slow = [split.holds(1), split.holds(2)];
    split.names(1, &split.new, 2);
    split.names(2, &split.new, 2);
    let answered = async {
        split.sentinels[0].until_seen("SENTINEL", 1).await;
        for gate in &slow {
            gate.arrived(1).await;
            gate.open();
        }
    };
    let (store, ()) = tokio::join!(split.connect(), answered);
    split.expect_at_the_new_one(&store).await;
}

/// Neither whoever answers last, nor whoever is listed first.
#[tokio::test]
async fn the_newest_configuration_of_a_majority_counts_in_whatever_order_it_comes() {
    for (first, second) in [(0, 1), (1, 0)] {
        let split = Split::start().await;
        split.names(0, &split.new, 2);
        split.names(1, &split.old, 1);
        split.sentinels[2].set(named("SENTINEL"), LineFault::BlackHole { delivered: false });
        let gate = split.holds(second);
        let answered = async {
            split.sentinels[first].until_seen("SENTINEL", 1).await;
            gate.open();
        };
        let (store, ()) = tokio::join!(split.connect(), answered);
        split.expect_at_the_new_one(&store).await;
    }
}

/// One that hangs is not waited for where the others are enough to fail over.
#[tokio::test]
async fn a_sentinel_that_hangs_holds_nobody_up() {
    let split = Split::start().await;
    split.names(0, &split.new, 2);
    split.names(1, &split.new, 2);
    split.sentinels[2].set(named("SENTINEL"), LineFault::BlackHole { delivered: false });
    split.expect_at_the_new_one(&split.connect().await).await;
}

/// A master and a Sentinel that were cut off together, and a process that has seen neither's replicas: it cannot know that there
/// is another master, and grants nothing that no replica has.
#[tokio::test]
async fn s42_a_master_that_a_lone_sentinel_names_grants_nothing_by_itself() {
    let split = Split::start().await;
    split.names(0, &split.old, 1);
    split.sentinels[1].refuse_connections().await;
    split.sentinels[2].refuse_connections().await;
    let store = split.connect().await;
    let refused = store.claim(&claim(1), soon()).await;
    assert!(refused.is_err(), "granted by a master that may have been cut off: {refused:?}");
    assert_eq!(store.counts().unreplicated, 1);

    // With a second one that says the same, it is a master without replicas.
    split.sentinels[1].accept_connections().await;
    split.names(1, &split.old, 1);
    acquire(&split.connect().await, &claim(2)).await;
}
