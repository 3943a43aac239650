//! A Cluster: slots that move under traffic, nodes that die, nodes that carry a command out and hang up (scenario 17).

use std::time::Duration;

use idempotency_store::{Claimed, ErrorKind, Recorded, RedisConnectError, RedisStore, Store};
use idempotency_tests::{App, LineFault, LoneNode, RedisCluster, RedisOptions, RedisServer, eventually};
use redis::cmd;
use reqwest::StatusCode;

use crate::redis_failover::{completion, config, connect};
use crate::redis_own::{Over, acquire, claim, soon};

async fn cluster() -> RedisCluster {
    RedisCluster::start(RedisOptions::default()).await
}

#[tokio::test]
async fn s17_a_slot_that_moves_takes_its_keys_along() {
    let cluster = cluster().await;
    let store = connect(config(&cluster.url())).await;
    let slot = cluster.slot_of(&store.name_of(&claim(1).attempt.key)).await;
    let to = (cluster.owner_of(slot).await + 1) % 3;
    let moving = cluster.begin_move(slot, to).await;
    // What is new goes to where the slot moves, by ASK: claim, script and read.
    let grant = acquire(&store, &claim(1)).await;
    assert_eq!(cluster.node(to).keys("idem:{").await.len(), 1);
    assert!(matches!(store.claim(&claim(1), soon()).await, Ok(Claimed::InFlight { .. })));
    store.complete(&grant, &completion("once"), soon()).await.expect("recorded where it is");
    cluster.finish_move(moving).await;
    assert!(matches!(store.claim(&claim(1), soon()).await, Ok(Claimed::Completed(_))), "by MOVED");
}

#[tokio::test]
async fn s17_requests_go_on_while_slots_move() {
    let cluster = cluster().await;
    let store = connect(config(&cluster.url())).await;
    let app = App::start(&Over(store)).await;
    let paid = async {
        for number in 0..60 {
            let key = format!("key-{number}");
            let first = app.send("/charge", &key).await;
            assert_eq!(first.status, StatusCode::CREATED, "{key}");
            app.send("/charge", &key).await.expect_replay_of(&first, &[]);
        }
    };
    let moved = async {
        for slot in (0..16_384).step_by(512) {
            let to = (cluster.owner_of(slot).await + 1) % 3;
            cluster.reshard(slot..=slot, to).await;
        }
    };
    tokio::join!(paid, moved);
    assert_eq!((app.exec(), app.downstream.effects()), (60, 60));
}

#[tokio::test]
async fn a_node_that_dies_is_replaced_by_its_replica() {
    let cluster = cluster().await;
    let store = connect(config(&cluster.url())).await;
    let grants = [acquire(&store, &claim(1)).await, acquire(&store, &claim(2)).await, acquire(&store, &claim(3)).await];
    cluster.kill_master(0).await;
    for (number, grant) in (1..).zip(grants) {
        let claimed =
            eventually("the key is served again", async || store.claim(&claim(number), soon()).await.ok()).await;
        assert!(matches!(claimed, Claimed::InFlight { .. }), "a replica had it: {claimed:?}");
        store.complete(&grant, &completion("once"), soon()).await.expect("recorded");
    }
}

/// The number of a key that lives on this node.
async fn key_on(cluster: &RedisCluster, store: &RedisStore, node: usize) -> u8 {
    for number in 1..=u8::MAX {
        let slot = cluster.slot_of(&store.name_of(&claim(number).attempt.key)).await;
        if cluster.owner_of(slot).await == node {
            return number;
        }
    }
    panic!("no key lives there")
}

/// A replica that was seen at one node is expected at each, also at one that was connected to before.
#[tokio::test]
async fn a_replica_that_one_node_has_is_expected_at_the_others() {
    let cluster = cluster().await;
    let first = (0..3).min_by_key(|node| {
        let address = cluster.node(*node).address();
        (address.ip().to_string(), address.port())
    });
    let first = first.expect("three masters");
    let replica = cluster.replica_of(first).await;
    cluster.node(replica).kill9();
    eventually("the master has noticed", async || {
        let info: String = cluster.node(first).ask(cmd("INFO").arg("replication")).await;
        info.contains("connected_slaves:0").then_some(())
    })
    .await;
    let store = connect(config(&cluster.url()).replication_timeout(Duration::from_millis(50))).await;
    let number = key_on(&cluster, &store, first).await;
    let refused = store.claim(&claim(number), soon()).await;
    assert!(refused.is_err(), "granted where no replica is: {refused:?}");
}

/// The first verb that a new master hears is not taken for one that was asked in 1970.
#[tokio::test]
async fn a_completion_after_a_fail_over_is_as_old_as_it_is() {
    let cluster = cluster().await;
    let store = connect(config(&cluster.url()).replication_timeout(Duration::from_millis(500))).await;
    let kept = key_on(&cluster, &store, 0).await;
    let grant = acquire(&store, &claim(kept)).await;
    let promoted = cluster.kill_master(0).await;
    cluster.node(promoted).flush().await;
    let recorded =
        eventually("the new master is found", async || store.complete(&grant, &completion("once"), soon()).await.ok());
    assert_eq!(recorded.await, Recorded::Recreated, "what the store lost is written again");
    let claimed = store.claim(&claim(kept), soon()).await;
    let Ok(Claimed::Completed(completed)) = claimed else { panic!("not completed: {claimed:?}") };
    let age = std::time::SystemTime::now().duration_since(completed.recorded_at.to_system_time());
    assert!(age.is_ok_and(|age| age < Duration::from_secs(600)), "recorded long ago");
}

/// The client itself sends nothing twice: what it was not told is for the owner to ask.
#[tokio::test]
async fn a_node_that_carries_out_and_hangs_up_carries_out_once() {
    let node = LoneNode::start().await;
    let store = connect(config(&node.url())).await;
    acquire(&store, &claim(9)).await;
    let before = node.server.info("cmdstat_set").await;
    node.line.set(|command| command.name() == "SET", LineFault::CutAfter);
    let unheard = store.claim(&claim(1), soon()).await.expect_err("the node hung up");
    assert_eq!(unheard.kind(), ErrorKind::Unknown, "{unheard:?}");
    let count = |stat: &str| stat.split(['=', ',']).nth(1).and_then(|calls| calls.parse::<u32>().ok());
    let after = node.server.info("cmdstat_set").await;
    assert_eq!(count(&after), count(&before).map(|calls| calls + 1), "{before} {after}");
}

#[tokio::test]
async fn a_cluster_with_a_hole_is_named() {
    let cluster = RedisCluster::start_with(RedisOptions::default(), 3, false, Duration::from_secs(10)).await;
    for node in cluster.nodes() {
        node.ask::<()>(cmd("CLUSTER").arg("DELSLOTS").arg(7)).await;
    }
    let error = RedisStore::connect(&cluster.url()).await.expect_err("a slot is served by nobody");
    assert!(matches!(error, RedisConnectError::Uncovered { slots: 1 }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_cluster_and_what_is_one_are_told_apart() {
    let alone = RedisServer::start(RedisOptions::default()).await;
    let error = RedisStore::connect(&alone.url().replace("redis://", "redis+cluster://")).await.expect_err("alone");
    assert!(matches!(error, RedisConnectError::NotACluster(_)), "{error:?}");
    let cluster = RedisCluster::start_with(RedisOptions::default(), 3, false, Duration::from_secs(10)).await;
    // Whether the greeting's key lives on this node is chance.
    let mut named = false;
    for _ in 0..20 {
        let connected = RedisStore::connect(&cluster.node(0).url()).await;
        named |= matches!(connected, Err(RedisConnectError::ClusterNode(_)));
    }
    assert!(named);
}
