use std::time::Duration;

use super::*;
use crate::redis::doctor::examination::Budget;
use crate::redis::doctor::facts::{ClusterFacts, Probe, Rights, Role, SentinelFacts, Skew, Transport};
use crate::redis::doctor::finding::Severity;

/// A server that is as it should be, in what its `INFO` says.
const INFO: &str = "redis_version:7.2.11\r\nrun_id:8f1c\r\nmaxmemory:1073741824\r\nmaxmemory_policy:noeviction\r\n\
    total_system_memory:8000000000\r\naof_enabled:1\r\naof_last_write_status:ok\r\naof_last_bgrewrite_status:ok\r\n\
    rdb_last_bgsave_status:ok\r\nevicted_keys:0\r\nrole:master\r\nconnected_slaves:0\r\nslave_read_only:1\r\n\
    master_replid:77aa\r\ncluster_enabled:0\r\n";

/// And in what its `CONFIG GET` says.
const CONFIG: [(Setting, &str); 7] = [
    (Setting::Appendfsync, "always"),
    (Setting::NoAppendfsyncOnRewrite, "no"),
    (Setting::Save, ""),
    (Setting::MinReplicasToWrite, "0"),
    (Setting::ReplicaPriority, "100"),
    (Setting::ProtoMaxBulkLen, "536870912"),
    (Setting::Timeout, "0"),
];

/// The server as it should be, except for what `INFO` says last.
fn info(last: &str) -> Facts {
    let mut facts = Facts::default();
    // The first line of a name counts.
    facts.read_info(&format!("{last}\r\n{INFO}"));
    for (setting, value) in CONFIG {
        facts.settings.set(setting, value);
    }
    facts.clock = Some(Skew { ahead: 1000, give_or_take: Duration::from_millis(1) });
    facts.scripts = Probe::Works;
    let no = Some(false);
    facts.rights = Some(Rights { user: "app".into(), missing: Some(vec![]), may_flush: no, reads_all_keys: no });
    facts.transport = Some(Transport { is_local: true, is_encrypted: false, has_password: true });
    facts
}

fn config(setting: Setting, value: &str) -> Facts {
    let mut facts = info("");
    facts.settings.set(setting, value);
    facts
}

/// What a test varies beside the facts.
#[derive(Clone)]
struct Given {
    topology: Topology,
    demand: Demand,
    examination: Examination,
    health: Health,
    duty: Duty,
}

const AUTO: Demand = Demand { replicas: 0, is_auto: true, fsync: false };

fn usual() -> Given {
    let (topology, demand, examination) = (Topology::Single, Demand::default(), Examination::new());
    Given { topology, demand, examination, health: Health::default(), duty: Duty::Master }
}

fn declaring(declarations: &[&str]) -> Given {
    let declare = |examination: Examination, text: &&str| examination.declare(text.parse().unwrap());
    Given { examination: declarations.iter().fold(Examination::new(), declare), ..usual() }
}

fn found(facts: Facts, given: &Given) -> Vec<Finding> {
    let nodes = [NodeFacts { node: "10.0.0.1:6379".into(), duty: given.duty, facts }];
    let Given { topology, demand, examination, health, .. } = given;
    judge(&nodes, &Bar { topology, demand: *demand, examination, health: *health })
}

/// The only finding, and nothing else.
#[track_caller]
fn only(facts: Facts, given: &Given, check: Check, severity: Severity, seen: &str) {
    let findings = found(facts, given);
    let [finding] = &findings[..] else { panic!("not one finding: {findings:#?}") };
    assert_eq!((finding.check, finding.severity), (check, severity), "{finding}");
    assert!(finding.seen.contains(seen), "{finding}");
    assert!(severity < Warning || !finding.remedy.is_empty(), "without a remedy: {finding}");
}

#[track_caller]
fn clean(facts: Facts, given: &Given) {
    assert_eq!(found(facts, given), []);
}

use Severity::{Error, Info, Warning};

#[test]
fn a_server_that_is_as_it_should_be_is_clean() {
    clean(info(""), &usual());
}

#[test]
fn d1_any_policy_that_drops_keys_is_an_error() {
    for policy in ["volatile-lru", "allkeys-lru", "volatile-ttl", "allkeys-random"] {
        let facts = info(&format!("maxmemory_policy:{policy}"));
        only(facts, &usual(), Check::EvictionPolicy, Error, policy);
    }
    only(info("maxmemory:0"), &usual(), Check::EvictionPolicy, Warning, "maxmemory is 0");
    let idle = info("maxmemory:0\r\nmaxmemory_policy:volatile-lru");
    only(idle, &usual(), Check::EvictionPolicy, Warning, "without a maxmemory");
}

#[test]
fn d2_evicted_keys_are_told_and_those_of_this_store_are_an_error() {
    only(info("evicted_keys:3"), &usual(), Check::EvictedKeys, Warning, "3 keys");
    let noticed = Given { health: Health { evicted_keys: 2, ..Health::default() }, ..usual() };
    only(info(""), &noticed, Check::EvictedKeys, Error, "2 keys");
}

#[test]
fn d3_a_server_that_forgets_on_a_restart_is_an_error() {
    only(info("aof_enabled:0"), &usual(), Check::Persistence, Error, "no snapshot");
    let mut debian = info("aof_enabled:0");
    debian.settings.set(Setting::Save, "3600 1 300 100");
    only(debian, &usual(), Check::Persistence, Error, "only snapshots");
    only(info("aof_last_write_status:err"), &usual(), Check::Persistence, Error, "last write");
    only(info("aof_last_bgrewrite_status:err"), &usual(), Check::Persistence, Warning, "rewrite");
    only(info("rdb_last_bgsave_status:err"), &usual(), Check::Persistence, Warning, "snapshot failed");
    clean(info("aof_enabled:0"), &declaring(&["persistence=external"]));
}

#[test]
fn d4_what_a_power_cut_takes_is_told() {
    only(config(Setting::Appendfsync, "no"), &usual(), Check::Fsync, Error, "appendfsync is no");
    only(config(Setting::Appendfsync, "everysec"), &usual(), Check::Fsync, Info, "everysec");
    only(config(Setting::NoAppendfsyncOnRewrite, "yes"), &usual(), Check::Fsync, Warning, "on-rewrite");
}

/// As a managed service that forbids `CONFIG` is seen.
fn without_config() -> Facts {
    let mut facts = info("");
    facts.settings = Settings::default();
    facts.read_info(INFO);
    facts
}

#[test]
fn what_the_server_does_not_say_is_unknown_until_it_is_declared() {
    only(without_config(), &usual(), Check::Fsync, Warning, "appendfsync is unknown");
    clean(without_config(), &declaring(&["appendfsync=always"]));
    only(without_config(), &declaring(&["appendfsync=no"]), Check::Fsync, Error, "appendfsync is no");
    clean(without_config(), &declaring(&["persistence=external"]));
    let contradicted = declaring(&["appendonly=yes", "maxmemory-policy=noeviction"]);
    let facts = info("maxmemory_policy:volatile-lru");
    only(facts, &contradicted, Check::EvictionPolicy, Error, "volatile-lru");
}

#[test]
fn of_a_server_that_says_nothing_each_unknown_is_told_and_nothing_is_an_error() {
    let findings = found(Facts::default(), &usual());
    let checks: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.check)).collect();
    let warnings = [Check::EvictionPolicy, Check::Persistence, Check::Fsync, Check::Role, Check::Clock]
        .map(|check| (Warning, check));
    let infos = [Check::EvictedKeys, Check::Version, Check::Acl].map(|check| (Info, check));
    assert_eq!(checks, [&warnings[..], &infos[..]].concat());
    let declared = declaring(&["maxmemory-policy=noeviction", "appendonly=yes", "appendfsync=always", "maxmemory=1gb"]);
    let warned = found(Facts::default(), &declared).into_iter().filter(|finding| finding.severity == Warning);
    assert_eq!(warned.map(|finding| finding.check).collect::<Vec<_>>(), [Check::Role, Check::Clock]);
}

#[test]
fn d5_only_the_one_master_may_be_written_to() {
    only(info("role:slave"), &usual(), Check::Role, Error, "replica");
    only(info("role:sentinel"), &usual(), Check::Role, Error, "sentinel");
    only(info("slave_read_only:0"), &usual(), Check::Role, Warning, "replica-read-only");
    let replica = Given { duty: Duty::Replica, topology: Topology::Sentinel(SENTINELS), ..usual() };
    clean(info("role:slave"), &replica);
    only(info("role:master"), &replica, Check::Role, Warning, "is a master");
}

/// What `INFO` of a `KeyDB` with `active-replica yes` says of its role.
#[test]
fn d5_s62_an_active_replica_is_an_error() {
    let keydb = "role:active-replica\r\nmaster_global_link_status:up\r\nconnected_slaves:0";
    only(info(keydb), &usual(), Check::Role, Error, "active-replica");
}

#[test]
fn d6_replicas_that_claims_wait_for_must_be_there() {
    let demanding = |replicas, fsync| Given { demand: Demand { replicas, fsync, is_auto: false }, ..usual() };
    let two = "connected_slaves:2\r\nslave0:ip=a,state=online\r\nslave1:ip=b,state=online";
    clean(info(two), &demanding(2, false));
    only(info(two), &demanding(3, false), Check::Replicas, Error, "wait for 3 replicas, and 2");
    only(info(two), &usual(), Check::Replicas, Warning, "do not wait");
    only(info(""), &Given { demand: AUTO, ..usual() }, Check::Replicas, Info, "no replica");
    only(info(two), &Given { demand: AUTO, ..usual() }, Check::Replicas, Warning, "1 of 2 replicas");
    clean(info(two), &demanding(2, false));
    clean(info(two), &declaring(&["persistence=external"]));
    let old = format!("redis_version:7.0.15\r\n{two}");
    let patched = Given { demand: demanding(2, true).demand, ..declaring(&["lua-fixes=backported"]) };
    only(info(&old), &patched, Check::Replicas, Error, "no WAITAOF");
    let mut starved = info(&format!("{two}\r\nmin_slaves_good_slaves:0"));
    starved.settings.set(Setting::MinReplicasToWrite, "1");
    only(starved, &demanding(2, false), Check::Replicas, Error, "min-replicas-to-write is 1, and 0");
    let pair = Given { topology: Topology::Sentinel(SENTINELS), ..demanding(2, false) };
    only(info(two), &pair, Check::Replicas, Info, "min-replicas-to-write is 0");
}

#[test]
fn d8_clocks_are_judged_by_the_lease_and_the_round_trip_is_allowed_for() {
    let ahead = |ahead, round| {
        let give_or_take = Duration::from_millis(round);
        Facts { clock: Some(Skew { ahead, give_or_take }), ..info("") }
    };
    clean(ahead(1_900_000, 1000), &usual());
    only(ahead(1_900_000, 1), &usual(), Check::Clock, Warning, "1.9s ahead");
    only(ahead(-4_000_000, 1), &usual(), Check::Clock, Error, "4s behind");
    let patient = Given { examination: Examination::new().lease(Duration::from_secs(60)), ..usual() };
    only(ahead(-4_000_000, 1), &patient, Check::Clock, Warning, "4s behind");
}

/// Scenario 58: the clock of the server is a retention ahead.
#[test]
fn d8_s58_a_clock_that_is_a_day_ahead_is_an_error() {
    let clock = Some(Skew { ahead: 90_000_000_000, give_or_take: Duration::from_millis(1) });
    only(Facts { clock, ..info("") }, &usual(), Check::Clock, Error, "90000s ahead");
}

#[test]
fn d9_old_servers_and_known_holes_are_told() {
    only(info("redis_version:6.2.20"), &usual(), Check::Version, Error, "6.2.20");
    only(info("redis_version:7.0.15"), &usual(), Check::Version, Warning, "CVE-2025-49844");
    clean(info("redis_version:7.0.15"), &declaring(&["lua-fixes=backported"]));
    only(info("valkey_version:8.1.4"), &usual(), Check::Version, Warning, "CVE-2025-67733");
}

#[test]
fn d10_scripts_that_do_not_run_are_an_error() {
    let with = |scripts| Facts { scripts, ..info("") };
    only(with(Probe::Forbidden), &usual(), Check::Scripts, Error, "may not run scripts");
    only(with(Probe::Fails("ERR".into())), &usual(), Check::Scripts, Error, "ERR");
}

#[test]
fn d11_a_user_may_do_what_is_needed_and_no_more() {
    let with = |missing: &[&'static str], may_flush, reads_all_keys| {
        let rights = Rights { user: "app".into(), missing: Some(missing.to_vec()), may_flush, reads_all_keys };
        Facts { rights: Some(rights), ..info("") }
    };
    let (yes, no) = (Some(true), Some(false));
    only(with(&["EVALSHA"], no, no), &usual(), Check::Acl, Error, "EVALSHA");
    only(with(&[], yes, yes), &usual(), Check::Acl, Warning, "empty the server and read every key");
    only(with(&[], no, yes), &usual(), Check::Acl, Warning, "read every key");
    only(Facts { rights: None, ..info("") }, &usual(), Check::Acl, Info, "may not ask");
}

#[test]
fn d12_what_leaves_the_host_is_encrypted_and_authenticated() {
    let with = |is_encrypted, has_password| Facts {
        transport: Some(Transport { is_local: false, is_encrypted, has_password }),
        ..info("")
    };
    clean(with(true, true), &usual());
    only(with(false, true), &usual(), Check::Transport, Warning, "unencrypted");
    only(with(true, false), &usual(), Check::Transport, Warning, "no password");
}

const SENTINELS: SentinelFacts = SentinelFacts { quorum: Some(Ok(())), priorities: None };

#[test]
fn d13_a_cluster_serves_every_slot_and_every_master_has_a_replica() {
    let given = Given { topology: Topology::Cluster, demand: AUTO, ..usual() };
    let with = |is_ok, slots, lone: &[&str]| {
        let lone_masters = Some(lone.iter().map(|&lone| lone.to_owned()).collect());
        let cluster = Some(ClusterFacts { is_ok: Some(is_ok), slots: Some(slots), lone_masters });
        Facts { cluster, online_replicas: Some(1), ..config(Setting::MinReplicasToWrite, "1") }
    };
    let with = |is_ok, slots, lone: &[&str]| Facts { is_cluster: Some(true), ..with(is_ok, slots, lone) };
    clean(with(true, 16_384, &[]), &given);
    only(with(false, 16_384, &[]), &given, Check::Topology, Error, "cluster_state is fail");
    only(with(true, 10_923, &[]), &given, Check::Topology, Error, "10923 of 16384");
    only(with(true, 16_384, &["10.0.0.2:6379"]), &given, Check::Topology, Warning, "10.0.0.2:6379");
    only(info("cluster_enabled:1"), &usual(), Check::Topology, Error, "stood alone");
    let blind = Facts { cluster: None, ..with(true, 0, &[]) };
    only(blind, &given, Check::Topology, Warning, "unknown");
}

#[test]
fn d13_sentinels_can_fail_over_and_prefer_no_replica() {
    let given = |quorum, priorities: &[u64]| {
        let sentinels = SentinelFacts { quorum, priorities: Some(priorities.to_vec()) };
        Given { topology: Topology::Sentinel(sentinels), ..usual() }
    };
    clean(info(""), &given(Some(Ok(())), &[100, 100]));
    let lacking = Some(Err("NOQUORUM 1 usable Sentinels".to_owned()));
    only(info(""), &given(lacking, &[]), Check::Topology, Warning, "NOQUORUM");
    only(info(""), &given(None, &[]), Check::Topology, Warning, "unknown");
    only(info(""), &given(Some(Ok(())), &[100, 1]), Check::Topology, Warning, "replica-priority");
}

#[test]
fn d14_the_keys_of_a_retention_fit() {
    let budget = |keys_per_second| {
        let budget = Budget { keys_per_second, retention: Duration::from_secs(86_400), answer_bytes: 600 };
        Given { examination: Examination::new().budget(budget), ..usual() }
    };
    clean(info(""), &budget(9));
    only(info(""), &budget(10), Check::Memory, Warning, "need 824 MiB, the server has 1024 MiB");
    let mut silent = info("");
    silent.settings = Settings::default();
    silent.system_memory = None;
    let findings = found(silent, &budget(1));
    assert!(findings.iter().any(|finding| finding.check == Check::Memory && finding.severity == Warning));
}

#[test]
fn d15_the_largest_answer_is_taken_and_idle_connections_stay() {
    only(config(Setting::ProtoMaxBulkLen, "1048576"), &usual(), Check::Limits, Warning, "proto-max-bulk-len");
    only(config(Setting::Timeout, "30"), &usual(), Check::Limits, Warning, "timeout is 30 s");
    clean(config(Setting::Timeout, "31"), &usual());
}

#[test]
fn d16_a_server_that_was_replaced_is_told() {
    let given = Given { health: Health { epochs: 2, ..Health::default() }, ..usual() };
    only(info(""), &given, Check::Epoch, Warning, "2 times");
}

#[test]
fn the_worst_comes_first() {
    let facts = info("aof_enabled:0\r\nmaxmemory:0\r\nevicted_keys:1");
    let findings = found(facts, &Given { demand: AUTO, ..usual() });
    let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(checks, [Check::Persistence, Check::EvictionPolicy, Check::EvictedKeys, Check::Replicas]);
    assert!(findings.iter().all(|finding| finding.node.as_deref() == Some("10.0.0.1:6379")));
}

#[test]
fn a_role_is_read_under_both_of_its_names() {
    assert_eq!((Role::read("slave"), Role::read("replica")), (Role::Replica, Role::Replica));
}
