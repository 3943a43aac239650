//! The doctor on real servers: what it finds, where it is not told, and what it notices while a store runs.

use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idempotency_store::RedisStore;
use idempotency_store::redis::doctor::{Check, Declaration, Diagnosis, Event, Examination, Finding, Severity};
use idempotency_tests::redis_proxy::named;
use idempotency_tests::{
    Bank, LineFault, RedisCluster, RedisOptions, RedisPair, RedisProxy, RedisServer, SentinelGroup, Server, command,
    eventually, within,
};
use redis::cmd;

use crate::DEMO;
use crate::redis_own::{Own, soon};

const LEASE: Duration = Duration::from_secs(30);

/// What the store needs, and what the doctor asks for beside it.
const RIGHTS: &str = "~idem:* resetchannels -@all +set +get +getrange +setrange +pttl +pexpire +time +eval +evalsha \
                      +ping +wait +hello +info +config|get +acl|whoami +acl|dryrun";

/// A server as it should be, with a user who may do what is needed.
fn sound(rights: &str) -> RedisOptions {
    RedisOptions::default().append_only("always").max_memory("100mb").user("app", "pass", rights)
}

/// Redis 7.0 has known holes whose fixes Debian brings without a new number.
fn patched() -> Examination {
    Examination::new().declare("lua-fixes=backported".parse().unwrap())
}

async fn store(server: &RedisServer) -> RedisStore {
    RedisStore::connect(&alone(server)).await.expect("a user who may do what is needed")
}

/// A server that is meant to have no replica.
fn alone(server: &RedisServer) -> String {
    format!("{}?durability=local", server.url_as("app", "pass"))
}

async fn diagnose(store: &RedisStore, examination: &Examination) -> Diagnosis {
    store.diagnose(examination, soon()).await.expect("a server that answers")
}

fn find(diagnosis: &Diagnosis, check: Check) -> &Finding {
    let found = diagnosis.findings.iter().find(|finding| finding.check == check);
    found.unwrap_or_else(|| panic!("no {check} in {:#?}", diagnosis.findings))
}

fn checks(diagnosis: &Diagnosis) -> Vec<(Severity, Check)> {
    diagnosis.findings.iter().map(|finding| (finding.severity, finding.check)).collect()
}

/// Runs the demo to its end: its status, and what it printed.
async fn demo(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        within("the program ends", command(DEMO, arguments).kill_on_drop(true).output()).await.unwrap();
    (status.code(), [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
}

/// `appendonly no` with snapshots, and no limit of memory, as Debian's package has it.
fn debian() -> RedisOptions {
    RedisOptions::default().set("save", "3600 1 300 100 60 10000")
}

#[tokio::test]
async fn a_default_server_forgets_keys_and_the_doctor_says_what_to_do() {
    let own = Own::with(debian()).await;
    let diagnosis = diagnose(&own.store, &patched()).await;
    let expected = [
        (Severity::Error, Check::Persistence),
        (Severity::Warning, Check::EvictionPolicy),
        (Severity::Warning, Check::Acl),
        (Severity::Info, Check::Replicas),
    ];
    assert_eq!(checks(&diagnosis), expected);
    let persistence = find(&diagnosis, Check::Persistence);
    assert!(persistence.seen.contains("save 3600 1 300 100 60 10000"), "{persistence}");
    assert!(persistence.remedy.contains("appendonly yes"), "{persistence}");
    assert_eq!(persistence.node.as_deref(), Some(own.server.address().to_string().as_str()));
    assert!(find(&diagnosis, Check::EvictionPolicy).remedy.contains("maxmemory"));
    assert!(find(&diagnosis, Check::Acl).seen.contains("\"default\""));

    let (status, report) = demo(&["doctor", "--store", &own.server.url()]).await;
    assert_eq!(status, Some(1), "{report}");
    for part in ["D3 persistence", "D1 eviction-policy", "remedy set appendonly yes", "asked: INFO, TIME, CONFIG GET"] {
        assert!(report.contains(part), "no {part:?} in {report}");
    }
}

#[tokio::test]
async fn a_server_that_is_set_up_well_is_clean_and_nothing_of_the_examination_stays() {
    let server = RedisServer::start(sound(RIGHTS)).await;
    let store = store(&server).await;
    let diagnosis = diagnose(&store, &patched()).await;
    assert_eq!(diagnosis.findings, []);
    assert!(diagnosis.is_clean() && diagnosis.looks.iter().all(|look| look.refused.is_none()), "{diagnosis:?}");
    for key in server.keys("").await {
        let left = server.pttl(&key).await;
        assert!((0..=60_000).contains(&left), "{key} stays for {left} ms");
    }
    let url = alone(&server);
    let (status, report) = demo(&["doctor", "--store", &url, "--declare", "lua-fixes=backported", "--strict"]).await;
    assert_eq!(status, Some(0), "{report}");
    assert!(report.contains("0 errors, 0 warnings, 0 notes") && !report.contains("pass"), "{report}");
    let (status, report) = demo(&["doctor", "--store", &url, "--strict", "--keys-per-second", "1000000"]).await;
    assert_eq!(status, Some(1), "{report}");
    assert!(report.contains("D9 version") && report.contains("D14 memory"), "{report}");
}

#[tokio::test]
async fn a_pair_that_is_set_up_well_is_clean() {
    let pair = RedisPair::start(sound(RIGHTS), 1).await;
    let store = RedisStore::connect(&pair.master().url_as("app", "pass")).await.expect("a pair of one's own");
    let diagnosis = diagnose(&store, &patched()).await;
    assert_eq!(diagnosis.findings, []);
}

/// Every node, and the Sentinels, are looked at.
#[tokio::test]
async fn sentinels_and_clusters_are_examined_whole() {
    let group = SentinelGroup::start(RedisOptions::default()).await;
    let store = RedisStore::connect(&group.url()).await.expect("a master");
    let seen = checks(&diagnose(&store, &patched()).await);
    assert!(seen.contains(&(Severity::Error, Check::Persistence)), "{seen:?}");
    assert!(seen.iter().all(|(severity, check)| *check != Check::Topology || *severity == Severity::Info), "{seen:?}");
    group.sentinels()[1].kill9();
    group.sentinels()[2].kill9();
    eventually("the quorum is missed", async || {
        let seen = checks(&diagnose(&store, &patched()).await);
        seen.iter().any(|(severity, check)| *check == Check::Topology && *severity > Severity::Info).then_some(())
    })
    .await;

    let cluster = RedisCluster::start(RedisOptions::default()).await;
    let store = RedisStore::connect(&cluster.url()).await.expect("its masters");
    let diagnosis = diagnose(&store, &patched()).await;
    let forgetful = diagnosis.findings.iter().filter(|finding| finding.check == Check::Persistence);
    assert_eq!(forgetful.count(), 3, "one for each master: {diagnosis:?}");
}

#[tokio::test]
async fn what_a_user_may_not_ask_is_unknown_until_it_is_declared() {
    let server = RedisServer::start(sound(&format!("{RIGHTS} -config|get"))).await;
    let store = store(&server).await;
    let diagnosis = diagnose(&store, &patched()).await;
    assert_eq!(checks(&diagnosis), [(Severity::Warning, Check::Fsync)]);
    let refused = diagnosis.looks.iter().filter_map(|look| Some((look.at, look.refused.as_deref()?)));
    assert_eq!(refused.collect::<Vec<_>>(), [("CONFIG GET", "NOPERM")]);
    assert!(find(&diagnosis, Check::Fsync).remedy.contains("appendfsync=everysec"));
    let declared = patched().declare("appendfsync=always".parse::<Declaration>().unwrap());
    assert_eq!(diagnose(&store, &declared).await.findings, []);
}

/// As most managed services do, by renaming it away or in a proxy of theirs.
#[tokio::test]
async fn a_server_without_config_is_examined_all_the_same() {
    let (own, line) = Own::behind_a_line().await;
    line.set(named("CONFIG"), LineFault::Answer("-ERR unknown command 'CONFIG'\r\n".into()));
    let store = RedisStore::connect(&line.url()).await.unwrap();
    let diagnosis = diagnose(&store, &patched()).await;
    assert!(diagnosis.looks.iter().any(|look| look.at == "CONFIG GET" && look.refused.as_deref() == Some("ERR")));
    assert_eq!(find(&diagnosis, Check::Persistence).severity, Severity::Error, "INFO says it");
    drop(own);
}

#[tokio::test]
async fn a_user_who_may_ask_for_nothing_gets_unknowns_and_a_working_store() {
    let rights =
        "~idem:* resetchannels -@all +set +get +getrange +setrange +pttl +pexpire +time +eval +evalsha +ping +hello";
    let server = RedisServer::start(sound(rights)).await;
    let diagnosis = diagnose(&store(&server).await, &patched()).await;
    let warnings =
        [Check::EvictionPolicy, Check::Persistence, Check::Fsync, Check::Role].map(|it| (Severity::Warning, it));
    let infos = [Check::EvictedKeys, Check::Version, Check::Acl].map(|it| (Severity::Info, it));
    assert_eq!(checks(&diagnosis), [&warnings[..], &infos[..]].concat());
}

#[tokio::test]
async fn a_user_who_lacks_a_right_is_told_which() {
    let server = RedisServer::start(sound(&format!("{RIGHTS} -pexpire -evalsha"))).await;
    let diagnosis = diagnose(&store(&server).await, &patched()).await;
    assert!(find(&diagnosis, Check::Acl).seen.contains("may not run PEXPIRE, EVALSHA"), "{:#?}", diagnosis.findings);
    let canary = find(&diagnosis, Check::Canary);
    assert_eq!(canary.severity, Severity::Error);
    assert!(canary.seen.contains("NOPERM") || canary.seen.contains("permission"), "{canary}");
}

#[tokio::test]
async fn a_full_server_is_found_by_the_canary() {
    let own = Own::with(RedisOptions::default().append_only("everysec").max_memory("1mb")).await;
    let diagnosis = diagnose(&own.store, &patched()).await;
    let canary = find(&diagnosis, Check::Canary);
    assert!(canary.severity == Severity::Error && canary.seen.contains("at its claim"), "{canary}");
    assert_eq!(find(&diagnosis, Check::Fsync).severity, Severity::Info);
}

/// Writes keys with an expiry until the server has dropped some.
async fn press(server: &RedisServer) {
    const FILL: &str = "for i = 1, 100 do \
        redis.call('SET', 'filler:' .. ARGV[1] .. ':' .. i, string.rep('x', 10000), 'PX', 3600000) end";
    for round in 0..100 {
        server.ask::<()>(cmd("EVAL").arg(FILL).arg(0).arg(round)).await;
        if server.info("evicted_keys").await != "0" {
            return;
        }
    }
    panic!("nothing is evicted");
}

#[tokio::test]
async fn s60_a_server_that_evicts_is_refused_or_warned_of_and_evictions_raise_an_alarm() {
    let options = || RedisOptions::default().append_only("everysec").max_memory("8mb").eviction("volatile-lru");
    let own = Own::with(options()).await;
    let url = own.server.url();
    let (status, refusal) = demo(&["serve", "--listen", "127.0.0.1:0", "--store", &url]).await;
    assert_eq!(status, Some(2), "{refusal}");
    let last = refusal.lines().last().unwrap_or_default();
    assert!(last.contains("the store is not safe: D1 eviction-policy: maxmemory-policy is volatile-lru"), "{last}");
    assert!(last.contains("--allow-unsafe-store"), "{last}");

    let bank = Bank::start(DEMO).await;
    let service = Server::on(DEMO, &url, bank.url()).start().await;
    let warning = service.process.logged("D1 eviction-policy").await;
    assert!(warning.contains("WARN"), "{warning}");

    assert_eq!(own.store.observe(LEASE, soon()).await.unwrap(), []);
    press(&own.server).await;
    let events = own.store.observe(LEASE, soon()).await.unwrap();
    let [Event::Evicted { keys }] = events[..] else { panic!("{events:?}") };
    assert_eq!(own.store.health().evicted_keys, keys);
    let diagnosis = diagnose(&own.store, &patched()).await;
    assert_eq!(find(&diagnosis, Check::EvictedKeys).severity, Severity::Error);
    // The service has looked by itself.
    eventually("the service raises the alarm", || async {
        let log = service.process.log();
        log.lines().any(|line| line.contains("ERROR") && line.contains("Redis evicted")).then_some(())
    })
    .await;
}

/// What a `KeyDB` with `active-replica yes` says, as far as it differs.
#[tokio::test]
async fn s62_an_active_replica_is_refused() {
    const INFO: &str = "redis_version:7.2.11\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n\
                        evicted_keys:0\r\nrole:active-replica\r\nconnected_slaves:0\r\ncluster_enabled:0\r\n";
    let server = RedisServer::start(RedisOptions::default().append_only("always")).await;
    let line = RedisProxy::to(server.address()).await;
    line.set(named("INFO"), LineFault::Answer(format!("${}\r\n{INFO}\r\n", INFO.len()).into()));
    let store = RedisStore::connect(&line.url()).await.unwrap();
    let role = find(&diagnose(&store, &patched()).await, Check::Role).clone();
    assert!(role.severity == Severity::Error && role.seen.contains("active-replica"), "{role}");
    let (status, refusal) = demo(&["serve", "--listen", "127.0.0.1:0", "--store", &line.url()]).await;
    let last = refusal.lines().last().unwrap_or_default();
    assert!(status == Some(2) && last.contains("the store is not safe: D5 role"), "{refusal}");
}

/// The server's clock is stepped by a day: what it has completed would be gone, and run again.
#[tokio::test]
async fn s58_a_clock_that_is_stepped_raises_an_alarm() {
    let (own, line) = Own::behind_a_line().await;
    assert_eq!(own.store.observe(LEASE, soon()).await.unwrap(), []);
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 86_400;
    let time = format!("*2\r\n${}\r\n{tomorrow}\r\n$1\r\n0\r\n", tomorrow.to_string().len());
    line.set(named("TIME"), LineFault::Answer(time.into()));
    let events = own.store.observe(LEASE, soon()).await.unwrap();
    assert!(matches!(events[..], [Event::ClockSkewed { severity: Severity::Error, .. }]), "{events:?}");
    let clock = find(&diagnose(&own.store, &patched()).await, Check::Clock).clone();
    assert!(clock.severity == Severity::Error && clock.seen.contains("ahead"), "{clock}");
    line.heal();
    assert_eq!(own.store.observe(LEASE, soon()).await.unwrap(), [Event::ClockAgrees]);
}

#[tokio::test]
async fn a_server_that_restarted_is_another_epoch() {
    let own = Own::with(RedisOptions::default().append_only("always")).await;
    assert_eq!(own.store.observe(LEASE, soon()).await.unwrap(), []);
    own.server.restart().await;
    let events =
        eventually("the store is connected again", || async { own.store.observe(LEASE, soon()).await.ok() }).await;
    assert_eq!((events, own.store.health().epochs), (vec![Event::EpochChanged], 1));
    assert_eq!(find(&diagnose(&own.store, &patched()).await, Check::Epoch).severity, Severity::Warning);
}

#[tokio::test]
async fn a_replica_is_no_master() {
    let master = RedisServer::start(RedisOptions::default().append_only("always")).await;
    let own = Own::with(RedisOptions::default().append_only("always").max_memory("100mb")).await;
    let host = master.address().ip().to_string();
    own.server.ask::<()>(cmd("REPLICAOF").arg(host).arg(master.address().port())).await;
    let diagnosis = diagnose(&own.store, &patched()).await;
    assert!(find(&diagnosis, Check::Role).seen.contains("is a replica"), "{:#?}", diagnosis.findings);
    assert!(find(&diagnosis, Check::Canary).seen.contains("read only"), "{:#?}", diagnosis.findings);
}
