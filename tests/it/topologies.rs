//! The several servers of a test: each topology comes up, fails over and heals.

use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use idempotency_tests::redis_proxy::named;
use idempotency_tests::{
    Certificates, LineFault, LoneNode, Program, RedisCluster, RedisOptions, RedisPair, RedisServer, SentinelGroup,
    ServerClock,
};
use redis::cmd;

/// As many acknowledgements as a `WAIT` gets.
async fn acknowledged(server: &RedisServer, key: &str) -> i64 {
    let mut connection = server.connection().await;
    let mut both = redis::pipe();
    both.cmd("SET").arg(key).arg("value").ignore().cmd("WAIT").arg(1).arg(2000);
    let (acknowledged,): (i64,) = both.query_async(&mut connection).await.unwrap();
    acknowledged
}

#[tokio::test]
async fn a_promoted_replica_has_what_was_acknowledged_and_the_old_master_forgets_the_rest() {
    let pair = RedisPair::start(RedisOptions::default(), 1).await;
    assert_eq!(acknowledged(pair.master(), "shared").await, 1);
    pair.promote(1).await;
    // There are two masters now.
    pair.member(0).set("only the old one's", "value").await;
    assert_eq!(pair.master().get("shared").await.as_deref(), Some(&b"value"[..]));
    pair.rejoin(0).await;
    assert_eq!(pair.member(0).get("only the old one's").await, None);
    assert_eq!(acknowledged(pair.master(), "afterwards").await, 1);
    assert_eq!(pair.replicas().count(), 1);
}

#[tokio::test]
async fn a_killed_and_a_paused_replica_do_not_acknowledge() {
    let pair = RedisPair::start(RedisOptions::default().password("secret"), 1).await;
    pair.member(1).stop().await;
    let mut connection = pair.master().connection().await;
    let mut both = redis::pipe();
    both.cmd("SET").arg("key").arg("value").ignore().cmd("WAIT").arg(1).arg(50);
    let (none,): (i64,) = both.query_async(&mut connection).await.unwrap();
    assert_eq!(none, 0);
    pair.member(1).cont();
    pair.until_in_sync().await;
    pair.member(1).kill9();
    pair.rejoin(1).await;
    assert_eq!(acknowledged(pair.master(), "again").await, 1);
}

#[tokio::test]
async fn every_kind_of_server_replicates() {
    for program in Program::ALL {
        let pair = RedisPair::start(RedisOptions::default().program(program), 1).await;
        assert_eq!(acknowledged(pair.master(), "key").await, 1, "{program:?}");
        let info: String = pair.master().ask(cmd("INFO").arg("server")).await;
        let version = match program {
            Program::System => "redis_version:",
            Program::Redis8 => "redis_version:8.",
            Program::Valkey8 => "valkey_version:8.",
        };
        assert!(info.contains(version), "{info}");
    }
}

#[tokio::test]
async fn sentinels_fail_over_when_told_and_when_the_master_dies() {
    let group = SentinelGroup::start(RedisOptions::default()).await;
    assert!(group.url().starts_with("redis+sentinel://default:"), "{}", group.url());
    let first = group.master().await;
    let second = group.fail_over().await;
    group.until_complete().await;
    assert_ne!(first.address(), second.address());
    second.kill9();
    let third = group.until_other_than(second.address()).await;
    assert_ne!(third.address(), second.address());
    second.restart().await;
    group.until_follows(second).await;
}

#[tokio::test]
async fn a_split_has_two_masters_and_heals() {
    let group = SentinelGroup::start(RedisOptions::default()).await;
    let old = group.split().await;
    let new = group.master().await;
    assert_ne!(old.address(), new.address());
    // Both take writes, and no replica sees those of the old one.
    old.set("forgotten", "value").await;
    new.set("kept", "value").await;
    assert_eq!(old.info("role").await, "master");
    assert_eq!(old.info("connected_slaves").await, "0");
    group.heal(old).await;
    assert_eq!(old.get("forgotten").await, None);
    assert_eq!(old.get("kept").await.as_deref(), Some(&b"value"[..]));
}

#[tokio::test]
async fn a_cluster_fails_over_and_heals() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    let mut masters = cluster.masters().await;
    assert_eq!(masters, [0, 1, 2]);
    assert_eq!(cluster.kill_master(0).await, 3);
    cluster.rejoin(0).await;
    assert_eq!(cluster.fail_over(3, false).await, 0);
    cluster.until_follows(3).await;
    masters = cluster.masters().await;
    assert_eq!(masters, [0, 1, 2]);
}

#[tokio::test]
async fn a_slot_moves_with_its_keys() {
    let cluster = RedisCluster::start_with(RedisOptions::default(), 3, false, Duration::from_secs(5)).await;
    let slot = cluster.slot_of("a-key").await;
    let from = cluster.owner_of(slot).await;
    let to = (from + 1) % 3;
    cluster.node(from).set("a-key", "value").await;
    let moving = cluster.begin_move(slot, to).await;
    let mut connection = cluster.node(from).connection().await;
    let asked: redis::RedisResult<Option<String>> = cmd("GET").arg("{a-key}2").query_async(&mut connection).await;
    assert_eq!(asked.unwrap_err().code(), Some("ASK"));
    cluster.finish_move(moving).await;
    cluster.until_well().await;
    assert_eq!(cluster.owner_of(slot).await, to);
    assert_eq!(cluster.node(to).get("a-key").await.as_deref(), Some(&b"value"[..]));
    cluster.reshard(slot..=slot.saturating_add(3), from).await;
    assert_eq!(cluster.owner_of(slot).await, from);
}

#[tokio::test]
async fn all_of_them_can_speak_nothing_but_tls() {
    let certificates = Certificates::new();
    let options = || RedisOptions::default().tls(&certificates);
    let (group, cluster) = tokio::join!(
        SentinelGroup::start(options()).boxed(),
        RedisCluster::start_with(options(), 1, true, Duration::from_secs(5)).boxed()
    );
    assert!(group.url().starts_with("rediss+sentinel://"), "{}", group.url());
    assert!(cluster.url().starts_with("rediss+cluster://"), "{}", cluster.url());
    assert!(acknowledged(group.master().await, "key").await >= 1);
    assert_eq!(acknowledged(cluster.node(0), "key").await, 1);
}

#[tokio::test]
async fn the_clock_of_a_server_is_stepped_while_it_runs() {
    let hour = Duration::from_secs(3600);
    let clock = ServerClock::new();
    for program in Program::ALL {
        clock.right();
        let server = RedisServer::start(RedisOptions::default().program(program).clock(&clock)).await;
        server.ask::<()>(cmd("SET").arg("key").arg("value").arg("PX").arg(60_000)).await;
        let ahead = |seconds: u64| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            i64::try_from(seconds).unwrap() - i64::try_from(now).unwrap()
        };
        let time = || async { server.ask::<(u64, u64)>(&cmd("TIME")).await.0 };
        assert!(ahead(time().await).abs() <= 1);
        clock.behind(hour);
        assert!((-3601..=-3599).contains(&ahead(time().await)));
        assert!(server.pttl("key").await > 3_600_000, "{program:?}");
        clock.ahead(hour);
        assert!((3599..=3601).contains(&ahead(time().await)));
        assert_eq!(server.get("key").await, None, "{program:?}");
    }
}

#[tokio::test]
async fn a_lone_node_carries_out_a_command_and_drops_the_socket() {
    let node = LoneNode::start().await;
    let shown: String = node.server.ask(cmd("CLUSTER").arg("NODES")).await;
    assert!(shown.contains(&format!(":{}@", node.line.address().port())), "{shown}");
    node.line.set(named("INCR"), LineFault::CutAfter);
    let client = redis::Client::open(node.line.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let lost: redis::RedisResult<i64> = cmd("INCR").arg("count").query_async(&mut connection).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(node.server.get("count").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(node.line.seen("INCR"), 1);
}
