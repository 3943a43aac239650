//! The rules that make a claim on Redis safe which no other file tests: what a wait is worth, and what refuses to be guessed.

use std::time::Duration;

use idempotency_store::record::RELEASED_TOMBSTONE;
use idempotency_store::{
    Claim, Claimed, Durability, ErrorKind, Grant, Loss, Recorded, RedisConfig, RedisConnectError, RedisStore, Renewed,
    Store, StoreError, Terms,
};
use idempotency_tests::redis_proxy::named;
use idempotency_tests::{
    Certificates, Gate, LineFault, Program, RedisOptions, RedisPair, RedisProxy, RedisServer, SentinelGroup,
    ServerClock, free_port,
};
use redis::cmd;

use crate::redis_failover::{completion, config, connect, pair};
use crate::redis_own::{Own, acquire, claim, soon};

/// What a replica that stands still is given.
const HASTY: Duration = Duration::from_millis(50);

const SECOND: Duration = Duration::from_secs(1);

/// Rule 1. A claim whose reply was lost is asked again on another connection. A `WAIT` there without a write of its own would
/// answer for nothing, as it does on Redis 8 and Valkey 8, and the claim would be lost with its master.
async fn an_owner_that_asks_again_waits_for_its_own_record(program: Program) {
    let pair = RedisPair::start(RedisOptions::default().program(program), 1).await;
    let unheard = connect(config(&pair.master().url()).durability(Durability::Local)).await;
    let mine = claim(1);
    pair.member(1).stop().await;
    acquire(&unheard, &mine).await;

    let replicated = || Durability::Replicated { replicas: 1 };
    let waiting = connect(config(&pair.master().url()).durability(replicated()).replication_timeout(HASTY)).await;
    let refused = waiting.claim(&mine, soon()).await;
    assert!(refused.is_err(), "granted though no replica has it: {refused:?}");
    pair.member(1).cont();
    pair.until_in_sync().await;
}

#[tokio::test]
async fn rule_1_on_redis_7() {
    an_owner_that_asks_again_waits_for_its_own_record(Program::System).await;
}

#[tokio::test]
async fn rule_1_on_redis_8() {
    an_owner_that_asks_again_waits_for_its_own_record(Program::Redis8).await;
}

#[tokio::test]
async fn rule_1_on_valkey_8() {
    an_owner_that_asks_again_waits_for_its_own_record(Program::Valkey8).await;
}

/// What the rule guards against, as the servers do it.
#[tokio::test]
async fn rule_1_a_wait_without_a_write_of_its_own_answers_for_nothing() {
    for program in [Program::Redis8, Program::Valkey8] {
        let pair = RedisPair::start(RedisOptions::default().program(program), 1).await;
        pair.member(1).stop().await;
        pair.master().ask::<()>(cmd("SET").arg("written").arg("by another connection")).await;
        let acknowledged: u32 = pair.master().ask(cmd("WAIT").arg(1).arg(50)).await;
        assert_eq!(acknowledged, 1, "{program:?} answers that a replica has it which stands still");
        pair.member(1).cont();
    }
}

/// Rule 1. Take-over and the claim over a tombstone wait as a first claim does.
#[tokio::test]
async fn rule_1_every_grant_waits() {
    let pair = pair().await;
    let store = connect(config(&pair.master().url()).replication_timeout(HASTY)).await;
    let local = connect(config(&pair.master().url()).durability(Durability::Local)).await;
    let (released, lapsed) = (claim(1), claim(2));
    let grant = acquire(&local, &released).await;
    local.release(&released.attempt, Some(grant.fence), soon()).await.expect("released");
    let lease = acquire(&local, &lapsed).await.terms.lease();
    pair.until_in_sync().await;
    pair.master().age(lease).await;
    pair.member(1).stop().await;
    let over_a_tombstone = store.claim(&claim(1), soon()).await;
    assert!(over_a_tombstone.is_err(), "{over_a_tombstone:?}");
    let on_abandoned = idempotency_store::OnAbandoned::Reexecute { max_attempts: 5.try_into().expect("not zero") };
    let taken_over = store.claim(&Claim { on_abandoned, ..claim(2) }, soon()).await;
    assert!(taken_over.is_err(), "{taken_over:?}");
    pair.member(1).cont();
}

/// Rule 2. A challenger with other terms does not see a fresh lease as lapsed.
#[tokio::test]
async fn rule_2_the_record_holds_its_own_terms() {
    let own = Own::with(RedisOptions::default()).await;
    acquire(&own.store, &claim(1)).await;
    let terms = Terms::new(Duration::from_millis(1), Duration::from_secs(3600)).expect("sensible terms");
    let claimed = own.store.claim(&Claim { terms, ..claim(1) }, soon()).await;
    assert!(matches!(claimed, Ok(Claimed::InFlight { .. })), "{claimed:?}");
}

/// What an owner is told who asks so long before it gets to a server that has lost the record meanwhile.
async fn asked_late<R>(late: Duration, ask: impl AsyncFnOnce(&RedisStore, Grant) -> Result<R, StoreError>) -> (R, Own) {
    let clock = ServerClock::new();
    let own = Own::with(RedisOptions::default().clock(&clock)).await;
    let line = RedisProxy::to(own.server.address()).await;
    let store = connect(config(&line.url())).await;
    let grant = acquire(&store, &claim(1)).await;
    let held = Gate::default();
    line.next(1, named("EVALSHA"), LineFault::HoldBefore(held.clone()));
    let meanwhile = async {
        held.arrived(1).await;
        own.server.flush().await;
        clock.ahead(late);
        held.open();
    };
    let (said, ()) = tokio::join!(ask(&store, grant), meanwhile);
    (said.expect("the server answers"), own)
}

/// Rule 5. What was asked before the tombstone of its key could go writes nothing again: nobody owns it any more.
#[tokio::test]
async fn rule_5_a_renewal_that_comes_too_late_writes_no_record_again() {
    let renew = async |store: &RedisStore, grant| store.renew(&grant, soon()).await;
    let (renewed, own) = asked_late(RELEASED_TOMBSTONE + SECOND, renew).await;
    assert_eq!(renewed, Renewed::Lost(Loss::Absent));
    acquire(&own.store, &claim(1)).await;

    let (renewed, own) = asked_late(RELEASED_TOMBSTONE / 2, renew).await;
    assert_eq!(renewed, Renewed::Recreated, "its tombstone would still be there");
    assert!(matches!(own.store.claim(&claim(1), soon()).await, Ok(Claimed::InFlight { .. })));
}

#[tokio::test]
async fn rule_5_a_completion_that_comes_too_late_writes_no_record_again() {
    let complete = async |store: &RedisStore, grant| store.complete(&grant, &completion("late"), soon()).await;
    let (recorded, own) = asked_late(RELEASED_TOMBSTONE + SECOND, complete).await;
    assert_eq!(recorded, Recorded::Lost(Loss::Absent));
    acquire(&own.store, &claim(1)).await;

    let (recorded, own) = asked_late(RELEASED_TOMBSTONE / 2, complete).await;
    assert_eq!(recorded, Recorded::Recreated, "its tombstone would still be there");
    assert!(matches!(own.store.claim(&claim(1), soon()).await, Ok(Claimed::Completed(_))));
}

/// Rule 10. A server that follows another one is no place to fall back to, not even to read.
#[tokio::test]
async fn rule_10_a_read_only_server_answers_nothing() {
    let pair = pair().await;
    let store = connect(config(&pair.master().url()).durability(Durability::Local)).await;
    let grant = acquire(&store, &claim(1)).await;
    store.complete(&grant, &completion("once"), soon()).await.expect("recorded");
    pair.member(1).ask::<()>(cmd("REPLICAOF").arg("NO").arg("ONE")).await;
    let port = pair.member(1).address().port();
    pair.master().ask::<()>(cmd("REPLICAOF").arg("127.0.0.1").arg(port)).await;
    let claimed = store.claim(&claim(1), soon()).await.expect_err("it takes no writes");
    assert_eq!(claimed.kind(), ErrorKind::NotApplied, "{claimed:?}");
}

async fn refused(config: RedisConfig) -> RedisConnectError {
    RedisStore::connect_with(config).await.expect_err("it cannot be used")
}

#[tokio::test]
async fn a_replica_that_is_given_as_the_master_is_named() {
    let pair = pair().await;
    let error = refused(config(&pair.member(1).url())).await;
    assert!(matches!(error, RedisConnectError::Replica), "{error:?}");
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_named() {
    let group = SentinelGroup::start(RedisOptions::default()).await;
    let url = group.url().replace("/mymaster", "/another");
    let error = refused(config(&url)).await;
    assert!(error.to_string().contains("another"), "{error}");
    assert!(matches!(error, RedisConnectError::Master { .. }), "{error:?}");
    for sentinel in group.sentinels() {
        sentinel.kill9();
    }
    let error = refused(config(&group.url())).await;
    assert!(matches!(error, RedisConnectError::Sentinels(_)), "{error:?}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_named() {
    let certificates = Certificates::expired();
    let port = free_port().await;
    let file = |path: std::path::PathBuf| path.display().to_string();
    let options = RedisOptions::default()
        .set("tls-port", &port.to_string())
        .set("tls-cert-file", &file(certificates.certificate()))
        .set("tls-key-file", &file(certificates.key()))
        .set("tls-ca-cert-file", &file(certificates.authority_file()))
        .set("tls-auth-clients", "no");
    let _server = RedisServer::start(options).await;
    let trusting = config(&format!("rediss://127.0.0.1:{port}")).root_certificate(certificates.authority());
    let error = refused(trusting).await;
    assert!(matches!(error, RedisConnectError::Certificate(_)), "{error:?}");
}

#[tokio::test]
async fn a_user_who_may_not_see_replicas_is_told_what_auto_needs() {
    let rules = "~* resetchannels -@all +set +get +time +eval +evalsha";
    let server = RedisServer::start(RedisOptions::default().user("blind", "secret", rules)).await;
    let url = server.url_as("blind", "secret");
    let error = refused(config(&url)).await;
    assert!(matches!(error, RedisConnectError::Replicas), "{error:?}");
    connect(config(&url).durability(Durability::Local)).await;
}

#[tokio::test]
async fn disks_that_cannot_be_waited_for_are_named() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let error = refused(config(&server.url()).durability(Durability::Fsynced { replicas: 0 })).await;
    assert!(matches!(error, RedisConnectError::NoFsync(_)), "Redis 7.0 has no WAITAOF: {error:?}");
    let unlogged = RedisServer::start(RedisOptions::default().program(Program::Redis8)).await;
    let error = refused(config(&unlogged.url()).durability(Durability::Fsynced { replicas: 0 })).await;
    assert!(matches!(error, RedisConnectError::NoFsync(_)), "it keeps no log: {error:?}");
    let logged = RedisOptions::default().program(Program::Redis8).append_only("everysec");
    let logged = RedisServer::start(logged).await;
    let store = connect(config(&logged.url()).durability(Durability::Fsynced { replicas: 0 })).await;
    acquire(&store, &claim(1)).await;
}
