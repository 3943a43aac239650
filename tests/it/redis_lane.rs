//! The lane of claims: when it is of no use any more, and what does not wait on it.

use std::time::Duration;

use idempotency_store::{Claimed, Deadline, Durability, ErrorKind, RedisStore, Renewed, Store};
use idempotency_tests::redis_proxy::named;
use idempotency_tests::{Gate, LineFault, RedisPair, RedisProxy, eventually};

use crate::redis_failover::{completion, config, connect, pair, state};
use crate::redis_own::{Own, acquire, claim, soon};

/// What a replica that stands still is given.
const HASTY: Duration = Duration::from_millis(50);

/// A pair whose master a store reaches over a line.
async fn pair_behind_a_line() -> (RedisPair, RedisProxy) {
    let pair = pair().await;
    let line = RedisProxy::to(pair.master().address()).await;
    (pair, line)
}

/// A lane on which nobody claims may die without a word. It is asked, and replaced before somebody does.
#[tokio::test]
async fn a_lane_that_says_nothing_any_more_is_replaced_before_the_next_claim() {
    let (_pair, line) = pair_behind_a_line().await;
    let store = connect(config(&line.url()).replication_timeout(Duration::from_secs(1))).await;
    let grant = acquire(&store, &claim(1)).await;
    let connections = line.accepted.get();
    // Nothing else is asked like this.
    line.next(1, named("PING"), LineFault::BlackHole { delivered: false });
    line.until_struck(1).await;
    eventually("the lane is given up", || async {
        // What is not sent on the lane goes on.
        assert_eq!(store.renew(&grant, soon()).await.expect("the line works"), Renewed::Held);
        (line.accepted.get() >= connections + 2).then_some(())
    })
    .await;
    acquire(&store, &claim(2)).await;
}

/// A server that cannot tell what claims are to wait for is named at once, and not by the first claim.
#[tokio::test]
async fn a_lane_is_tried_before_claims_rely_on_it() {
    let (pair, line) = pair_behind_a_line().await;
    line.set(named("WAIT"), LineFault::Answer("-ERR unknown command 'WAIT'\r\n".into()));
    let refused = RedisStore::connect_with(config(&line.url())).await.expect_err("it cannot tell");
    assert!(format!("{refused:?}").contains("WAIT"), "{refused:?}");
    assert_eq!(pair.master().keys("idem:{").await, Vec::<String>::new());
}

/// Whoever has left would not hear of a grant, so that none is asked for.
#[tokio::test]
async fn a_claim_that_nobody_waits_for_any_more_is_not_sent() {
    let (pair, line) = pair_behind_a_line().await;
    let store = connect(config(&line.url())).await;
    pair.member(1).stop().await;
    let waits = line.seen("WAIT");
    let first = async { acquire(&store, &claim(1)).await };
    let left = async {
        line.until_seen("WAIT", waits + 1).await;
        let late = store.claim(&claim(2), Deadline::after(HASTY)).await;
        assert_eq!(late.expect_err("the lane is busy").kind(), ErrorKind::Unknown);
        pair.member(1).cont();
    };
    tokio::join!(first, left);
    // What was waiting has gone out before this one.
    acquire(&store, &claim(3)).await;
    assert_eq!(state(&store, 2).await, None);
}

/// A caller who comes with little time does not close the line of all others; one who has waited does.
#[tokio::test]
async fn a_line_is_given_up_by_whoever_has_waited_for_it() {
    let (own, line) = Own::behind_a_line().await;
    let grant = acquire(&own.store, &claim(1)).await;
    let connections = line.accepted.get();
    for (patience, given_up) in [(HASTY, 0), (Duration::from_millis(1500), 1)] {
        let held = Gate::default();
        line.next(1, named("EVALSHA"), LineFault::HoldAfter(held.clone()));
        let late = own.store.renew(&grant, Deadline::after(patience)).await;
        assert_eq!(late.expect_err("it waits at the gate").kind(), ErrorKind::Unknown);
        held.open();
        assert_eq!(own.store.renew(&grant, soon()).await.expect("the server is well"), Renewed::Held);
        assert_eq!(line.accepted.get(), connections + given_up, "after {patience:?}");
    }
}

/// Replays on a lane whose writes nobody acknowledges wait for each other, until they go past it.
#[tokio::test]
async fn replays_alone_find_out_that_nothing_is_acknowledged() {
    let pair = pair().await;
    let other = connect(config(&pair.master().url()).durability(Durability::Local)).await;
    let grant = acquire(&other, &claim(1)).await;
    other.complete(&grant, &completion("once"), soon()).await.expect("recorded");
    pair.member(1).stop().await;
    let store = connect(config(&pair.master().url()).replication_timeout(HASTY)).await;
    let replay = || async {
        let replayed = store.claim(&claim(1), soon()).await;
        assert!(matches!(replayed, Ok(Claimed::Completed(_))), "{replayed:?}");
    };
    eventually("replays do not wait behind claims", || async {
        let during = pair.master().commands_during(replay()).await;
        (during.names() == ["EVALSHA"]).then_some(())
    })
    .await;
    assert_eq!(store.counts().unreplicated, 0, "nothing was to be granted");
    pair.member(1).cont();
    pair.until_in_sync().await;
    acquire(&store, &claim(2)).await;
    let during = pair.master().commands_during(replay()).await;
    assert_eq!(during.names(), ["SET", "WAIT"], "a grant that was acknowledged ends it");
}

/// Rule 3. An expiry that was lost is set again also where a claim only looks.
#[tokio::test]
async fn rule_3_an_expiry_that_was_lost_is_set_again_while_nothing_is_acknowledged() {
    let pair = pair().await;
    let store = connect(config(&pair.master().url()).replication_timeout(HASTY)).await;
    let local = connect(config(&pair.master().url()).durability(Durability::Local)).await;
    let grant = acquire(&local, &claim(1)).await;
    pair.member(1).stop().await;
    store.claim(&claim(2), soon()).await.expect_err("no replica answers");
    let name = store.name_of(&grant.attempt.key);
    pair.master().persist(&name).await;
    let claimed = store.claim(&claim(1), soon()).await;
    assert!(matches!(claimed, Ok(Claimed::InFlight { .. })), "{claimed:?}");
    assert!(pair.master().pttl(&name).await > 0);
    assert_eq!(store.counts().expiry_lost, 1);

    // A server that takes no writes at all is still read.
    pair.master().persist(&name).await;
    pair.master().config_set("min-replicas-to-write", "2").await;
    let claimed = store.claim(&claim(1), soon()).await;
    assert!(matches!(claimed, Ok(Claimed::InFlight { .. })), "{claimed:?}");
    pair.member(1).cont();
}
