//! Fail-over, split brain and replicas that stand still, on real servers: what a claim is worth then (scenarios 15, 16, 19, 20, 41 to
//! 44). The rules that make its wait mean something are in `redis_rules`.

use std::time::Duration;

use idempotency_store::record::State;
use idempotency_store::{
    Answer, Claimed, Completion, Durability, ErrorKind, OnUnreplicated, Recorded, RedisConfig, RedisStore, Renewed,
    Store,
};
use idempotency_tests::{App, RedisOptions, RedisPair, RedisServer, SentinelGroup, eventually};
use redis::cmd;
use reqwest::StatusCode;

use crate::redis_own::{Over, acquire, claim, soon};

/// Long enough for replicas of a busy machine, which are awaited where they answer.
const UNHURRIED: Duration = Duration::from_secs(10);

/// What a replica that stands still is given.
const HASTY: Duration = Duration::from_millis(50);

pub(crate) fn config(url: &str) -> RedisConfig {
    RedisConfig::new(url).expect("a URL of the harness").replication_timeout(UNHURRIED)
}

pub(crate) async fn connect(config: RedisConfig) -> RedisStore {
    RedisStore::connect_with(config).await.expect("servers of one's own")
}

pub(crate) async fn pair() -> RedisPair {
    RedisPair::start(RedisOptions::default(), 1).await
}

fn hasty(server: &RedisServer) -> RedisConfig {
    config(&server.url()).replication_timeout(HASTY)
}

pub(crate) fn completion(text: &'static str) -> Completion {
    Completion { answer: Answer::Kept(text.into()), retention: None }
}

async fn app(store: &RedisStore) -> App {
    App::start(&Over(store.clone())).await
}

/// Stops the only replica, and lets go of it: what the master writes from now on reaches nobody.
async fn lose_the_replica(pair: &RedisPair) {
    pair.member(1).stop().await;
    pair.member(0).ask::<()>(cmd("CLIENT").arg("KILL").arg("TYPE").arg("replica")).await;
}

/// What stands at the key of `claim(number)`.
pub(crate) async fn state(store: &RedisStore, number: u8) -> Option<State> {
    let entry = store.inspect(claim(number).attempt.key, soon()).await.expect("the master answers");
    entry.map(|entry| entry.record.state)
}

#[tokio::test]
async fn s15_a_master_that_has_too_few_replicas_to_write_refuses_claims_and_replays() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let store = connect(config(&server.url())).await;
    let app = app(&store).await;
    let first = app.send("/charge", "key-1").await;
    server.config_set("min-replicas-to-write", "1").await;
    app.send("/charge", "key-2").await.expect_rejection(503, "store-unavailable");
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), server.keys("idem:{").await.len()), (1, 1), "nothing was written");
}

#[tokio::test]
async fn s16_a_demoted_master_leads_to_the_new_one() {
    let group = SentinelGroup::start(RedisOptions::default()).await;
    let store = connect(config(&group.url())).await;
    let app = app(&store).await;
    let first = app.send("/charge", "key-1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    let old = group.master().await.address();
    let new = group.fail_over().await.address();
    assert_ne!(old, new);
    // Whether the old master has been told yet or not: it is not written to any more, or what it is told is not acknowledged.
    let second = eventually("the new master is found", async || {
        let reply = app.send("/charge", "key-2").await;
        (reply.status != StatusCode::SERVICE_UNAVAILABLE).then_some(reply)
    });
    assert_eq!(second.await.status, StatusCode::CREATED);
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
}

#[tokio::test]
async fn s19_a_claim_that_no_replica_has_is_given_back() {
    let pair = pair().await;
    let store = connect(hasty(pair.master())).await;
    pair.member(1).stop().await;
    let refused = store.claim(&claim(1), soon()).await.expect_err("no replica answers");
    assert_eq!(refused.kind(), ErrorKind::NotApplied, "{refused:?}");
    assert_eq!(state(&store, 1).await, Some(State::Released));
    assert_eq!(store.counts().unreplicated, 1);
    pair.member(1).cont();
    pair.until_in_sync().await;
    acquire(&store, &claim(1)).await;
}

#[tokio::test]
async fn s20_a_replica_that_stands_still_refuses_requests_and_replays_what_is_done() {
    let pair = pair().await;
    let store = connect(hasty(pair.master())).await;
    let app = app(&store).await;
    let first = eventually("the replica keeps up", async || {
        let reply = app.send("/charge", "key-1").await;
        (reply.status == StatusCode::CREATED).then_some(reply)
    })
    .await;
    pair.member(1).stop().await;
    app.send("/charge", "key-2").await.expect_rejection(503, "store-unavailable");
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
    pair.member(1).cont();
    pair.until_in_sync().await;
    let second = eventually("the replica keeps up again", async || {
        let reply = app.send("/charge", "key-2").await;
        (reply.status == StatusCode::CREATED).then_some(reply)
    });
    second.await;
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2), "the retry ran once");
}

/// What a service does that would rather run twice than not at all: it is asked for, and counted.
#[tokio::test]
async fn a_claim_may_proceed_without_replicas_if_it_is_told_to() {
    let pair = pair().await;
    let store = connect(hasty(pair.master()).on_unreplicated(OnUnreplicated::Proceed)).await;
    pair.member(1).stop().await;
    acquire(&store, &claim(1)).await;
    assert_eq!((store.counts().unreplicated, store.counts().proceeded), (1, 1));
}

/// The negative: what is not waited for is lost with its master, and noticed.
#[tokio::test]
async fn s41_without_waiting_a_fail_over_forgets_a_claim_and_its_owner_finds_out() {
    let pair = pair().await;
    let local = |server: &RedisServer| config(&server.url()).durability(Durability::Local);
    let old = connect(local(pair.member(0))).await;
    lose_the_replica(&pair).await;
    let lost = acquire(&old, &claim(1)).await;
    pair.member(0).kill9();
    pair.member(1).cont();
    pair.promote(1).await;
    let new = connect(local(pair.member(1))).await;
    // A second owner runs, and the first one learns of it.
    let second = acquire(&new, &claim(1)).await;
    assert!(matches!(new.renew(&lost, soon()).await, Ok(Renewed::Lost(_))));
    assert!(matches!(new.complete(&lost, &completion("first"), soon()).await, Ok(Recorded::Lost(_))));
    assert_eq!(new.complete(&second, &completion("second"), soon()).await.expect("recorded"), Recorded::Recorded);
    // Where nobody came, the record is written again, and counted.
    let unseen = acquire(&new, &claim(2)).await;
    pair.member(1).flush().await;
    assert_eq!(new.renew(&unseen, soon()).await.expect("renewed"), Renewed::Recreated);
    assert_eq!(new.counts().recreated, 1);
}

#[tokio::test]
async fn s41_with_waiting_a_fail_over_keeps_the_claim() {
    let pair = pair().await;
    let old = connect(config(&pair.member(0).url())).await;
    let grant = acquire(&old, &claim(1)).await;
    pair.member(0).kill9();
    pair.promote(1).await;
    let new = connect(config(&pair.member(1).url())).await;
    assert!(matches!(new.claim(&claim(1), soon()).await, Ok(Claimed::InFlight { .. })));
    assert_eq!(new.complete(&grant, &completion("once"), soon()).await.expect("recorded"), Recorded::Recorded);
}

/// The documented limit of one acknowledgement among several replicas: another one may be promoted. With all of them it may
/// not.
#[tokio::test]
async fn s41_of_two_replicas_both_must_have_the_claim_if_either_may_be_promoted() {
    let pair = RedisPair::start(RedisOptions::default(), 2).await;
    let auto = connect(config(&pair.master().url())).await;
    let strict = connect(hasty(pair.master()).durability(Durability::Replicated { replicas: 2 })).await;
    pair.member(2).stop().await;
    pair.member(0).ask::<()>(cmd("CLIENT").arg("KILL").arg("TYPE").arg("replica")).await;
    acquire(&auto, &claim(1)).await;
    assert!(strict.claim(&claim(2), soon()).await.is_err(), "one of two has it");
    pair.member(0).kill9();
    pair.member(2).cont();
    pair.promote(2).await;
    let new = connect(config(&pair.member(2).url()).durability(Durability::Local)).await;
    acquire(&new, &claim(1)).await;
}

#[tokio::test]
async fn s42_of_two_masters_the_isolated_one_grants_nothing() {
    let group = SentinelGroup::start(RedisOptions::default()).await;
    let store = connect(config(&group.url())).await;
    acquire(&store, &claim(1)).await;
    let old = group.split().await;
    // A client that knows only the old master, and its replicas from before.
    let isolated = RedisConfig::new(&old.url()).expect("its URL").replication_timeout(HASTY);
    let isolated = connect(isolated.durability(Durability::Replicated { replicas: 1 })).await;
    let refused = isolated.claim(&claim(2), soon()).await.expect_err("nobody acknowledges");
    assert_eq!(refused.kind(), ErrorKind::NotApplied, "{refused:?}");
    // One that asks the Sentinels finds the new one by itself, and the key is granted once.
    let winner = claim(2);
    eventually("the new master is found", async || store.claim(&winner, soon()).await.ok()).await;
    let again = isolated.claim(&claim(2), soon()).await;
    assert!(again.is_err(), "the isolated master granted it, too: {again:?}");
    assert!(matches!(store.claim(&claim(2), soon()).await, Ok(Claimed::InFlight { .. })));
}

#[tokio::test]
async fn s43_a_completion_that_was_not_replicated_leaves_the_key_indeterminate_until_its_owner_comes_back() {
    let pair = pair().await;
    let old = connect(config(&pair.member(0).url())).await;
    let grant = acquire(&old, &claim(1)).await;
    lose_the_replica(&pair).await;
    let recorded = old.complete(&grant, &completion("once"), soon()).await;
    assert_eq!(recorded.expect("the master has it"), Recorded::Recorded);
    pair.member(0).kill9();
    pair.member(1).cont();
    pair.promote(1).await;
    let new = connect(config(&pair.member(1).url())).await;
    pair.member(1).age(grant.terms.lease()).await;
    assert!(matches!(new.claim(&claim(1), soon()).await, Ok(Claimed::Indeterminate(_))), "not a second run");
    assert_eq!(new.complete(&grant, &completion("once"), soon()).await.expect("recorded"), Recorded::Recorded);
    assert!(matches!(new.claim(&claim(1), soon()).await, Ok(Claimed::Completed(_))));
}

#[tokio::test]
async fn s44_a_completion_waits_for_replicas_to_come_back() {
    let pair = pair().await;
    let store = connect(config(&pair.master().url())).await;
    let app = app(&store).await;
    let first = app.send_until_held("/held-after", "key-1").await;
    pair.master().config_set("min-replicas-to-write", "2").await;
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, Some("unrecorded")));
    pair.master().config_set("min-replicas-to-write", "0").await;
    let replay = eventually("the answer is recorded after all", async || {
        let reply = app.send("/held-after", "key-1").await;
        reply.is_replay().then_some(reply)
    });
    replay.await.expect_replay_of(&first, &["idempotency-status"]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

/// The run-time part of `Auto`: a replica that was seen once is expected for good.
#[tokio::test]
async fn auto_expects_a_replica_that_it_has_seen() {
    let pair = pair().await;
    let store = connect(hasty(pair.master())).await;
    pair.member(1).kill9();
    eventually("the master has noticed", async || {
        let info: String = pair.master().ask(cmd("INFO").arg("replication")).await;
        info.contains("connected_slaves:0").then_some(())
    })
    .await;
    assert!(store.claim(&claim(1), soon()).await.is_err(), "the only replica is gone");
    // A store that has never seen one takes the master for one that stands alone.
    acquire(&connect(hasty(pair.master())).await, &claim(2)).await;
    let strict = connect(hasty(pair.master()).durability(Durability::Replicated { replicas: 1 })).await;
    assert!(strict.claim(&claim(3), soon()).await.is_err(), "it was told to wait for one");
}
