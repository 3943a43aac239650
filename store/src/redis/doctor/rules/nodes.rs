//! Who is master, and who could take over. D5, D6, D13.

use super::Case;
use crate::redis::doctor::facts::{Duty, Role, SentinelFacts, Topology};
use crate::redis::doctor::finding::{Check, Finding};
use crate::redis::doctor::settings::Setting;

const SLOTS: u64 = 16_384;

pub(super) fn role(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Role;
    let finding = match (&case.facts.role, case.duty) {
        (Some(Role::Master), Duty::Master) | (Some(Role::Replica), Duty::Replica) => None,
        (Some(Role::ActiveReplica), _) => {
            let finding =
                Finding::error(check, "the server is one of several that take writes at once (active-replica)");
            let finding = finding.so("two of them grant the same key, and its request runs twice");
            Some(finding.remedy("set active-replica no, and write to one master"))
        }
        (Some(Role::Replica), Duty::Master) => {
            let finding = Finding::error(check, "the server is a replica").so("every request with a key is refused");
            Some(finding.remedy("give the address of the master, or of the Sentinels that know it"))
        }
        (Some(Role::Master), Duty::Replica) => {
            let finding = Finding::warning(check, "the server was to be a replica and is a master");
            Some(
                finding
                    .so("it may be a second master")
                    .remedy("find out whom the Sentinels or the Cluster take for master"),
            )
        }
        (Some(Role::Other(role)), _) => {
            let finding = Finding::error(check, format!("the server's role is {role}"));
            Some(finding.so("it does not keep keys").remedy("give the address of a master"))
        }
        (None, _) => {
            let finding = Finding::warning(check, "the server's role is unknown");
            Some(
                finding.remedy("let the user run INFO or ROLE; a server with several masters cannot be told otherwise"),
            )
        }
    };
    let writable = case.setting(Setting::ReplicaReadOnly) == Some("no");
    let loose = writable.then(|| {
        let finding = Finding::warning(check, "replica-read-only is no");
        finding.so("clients may write to replicas, which nobody else sees").remedy("set replica-read-only yes")
    });
    finding.into_iter().chain(loose).collect()
}

pub(super) fn replicas(case: &Case<'_>) -> Vec<Finding> {
    if case.duty != Duty::Master || case.is_kept_elsewhere() {
        return Vec::new();
    }
    [acknowledgements(case), disks(case), least_replicas(case)].into_iter().flatten().collect()
}

/// Whether there are the replicas that the claims wait for, or some that they do not wait for.
fn acknowledgements(case: &Case<'_>) -> Option<Finding> {
    let (check, demand) = (Check::Replicas, case.bar.demand);
    let forget = "a fail-over forgets the claims that no replica had yet, and their requests run twice";
    match (case.facts.online_replicas, demand.replicas) {
        (None, 0) => None,
        (None, _) => {
            let finding = Finding::warning(check, "how many replicas are online is unknown");
            Some(finding.remedy("let the user run INFO"))
        }
        (Some(online), wanted) if online < wanted => {
            let finding = Finding::error(check, format!("claims wait for {wanted} replicas, and {online} are online"));
            Some(finding.so("new keys are refused").remedy("bring replicas up, or wait for fewer of them"))
        }
        (Some(0), _) if demand.is_auto => {
            let finding = Finding::info(check, "the server has no replica");
            Some(finding.so("claims wait for none; what survives is what its disk keeps"))
        }
        (Some(1..), 0) if !demand.is_auto => {
            let finding = Finding::warning(check, "the server has replicas, and claims do not wait for them");
            Some(finding.so(forget).remedy("let claims wait for a replica, or never fail over to one"))
        }
        (Some(online), wanted) if (wanted > 0 || demand.is_auto) && online > wanted.max(1) => {
            let seen = format!("claims wait for {} of {online} replicas", wanted.max(1));
            let finding = Finding::warning(check, seen).so("a fail-over to another one of them forgets claims");
            Some(
                finding
                    .remedy(format!("choose the durability replicated:{online}, so that whoever is promoted has them")),
            )
        }
        _ => None,
    }
}

/// Whether the claims can wait for disks.
fn disks(case: &Case<'_>) -> Option<Finding> {
    let cannot = case.facts.version.as_ref().filter(|version| !version.waits_for_disks());
    let finding = match cannot {
        _ if !case.bar.demand.fsync => return None,
        Some(version) => {
            Finding::error(Check::Replicas, format!("claims wait for disks, and {version} has no WAITAOF"))
                .remedy("use Redis 7.2 or Valkey, or wait for replicas only")
        }
        None if case.setting(Setting::Appendonly) == Some("no") => {
            Finding::error(Check::Replicas, "claims wait for disks, and appendonly is no").remedy("set appendonly yes")
        }
        None => return None,
    };
    Some(finding.so("new keys are refused"))
}

/// `min-replicas-to-write`: narrows the window in which a master that was cut off still takes claims; it does not close it.
fn least_replicas(case: &Case<'_>) -> Option<Finding> {
    let least = case.settings.number(Setting::MinReplicasToWrite)?;
    let good = case.facts.good_replicas.or(case.facts.online_replicas)?;
    if least > good {
        let seen = format!("min-replicas-to-write is {least}, and {good} replicas are near enough");
        let finding = Finding::error(Check::Replicas, seen).so("new keys are refused until more of them are");
        return Some(finding.remedy("bring replicas up, or look at their lag"));
    }
    let is_open = least == 0 && good > 0 && *case.bar.topology != Topology::Single;
    is_open.then(|| {
        let finding = Finding::info(Check::Replicas, "min-replicas-to-write is 0");
        let finding = finding.so("a master that is cut off goes on taking writes until it is demoted, and loses them");
        finding.remedy("set min-replicas-to-write 1 and min-replicas-max-lag 10; it shortens this to seconds")
    })
}

pub(super) fn cluster(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Topology;
    match (case.bar.topology, case.facts.is_cluster) {
        (Topology::Cluster, Some(false)) => {
            let finding =
                Finding::error(check, "the server is no node of a Cluster").so("every request with a key is refused");
            vec![finding.remedy("give its address as redis://, or those of the Cluster's nodes")]
        }
        (Topology::Cluster, _) => cluster_state(case),
        (_, Some(true)) => {
            let finding = Finding::error(check, "the server is a node of a Cluster, and is used as if it stood alone");
            let finding = finding.so("keys that live on other nodes are refused");
            vec![finding.remedy("give the address as redis+cluster://")]
        }
        _ => Vec::new(),
    }
}

fn cluster_state(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Topology;
    let cluster = case.facts.cluster.clone().unwrap_or_default();
    let mut findings = Vec::new();
    match (cluster.is_ok, cluster.slots) {
        (Some(true), Some(SLOTS)) => {}
        (Some(is_ok), slots) => {
            let state = if is_ok { "ok" } else { "fail" };
            let slots = slots.map_or_else(|| "an unknown number".to_owned(), |slots| slots.to_string());
            let finding =
                Finding::error(check, format!("cluster_state is {state}, {slots} of {SLOTS} slots are served"));
            let finding = finding.so("keys in the other slots are refused");
            findings.push(finding.remedy("bring the missing masters up, or give their slots to others"));
        }
        (None, _) => {
            let finding = Finding::warning(check, "the state of the Cluster is unknown");
            findings.push(finding.remedy("let the user run CLUSTER INFO and CLUSTER NODES"));
        }
    }
    if let Some(lone) = cluster.lone_masters.filter(|lone| !lone.is_empty()) {
        let finding = Finding::warning(check, format!("masters without a replica: {}", lone.join(", ")));
        let finding = finding.so("the keys of a master that dies are gone, or refused until it is back");
        findings.push(finding.remedy("give each master a replica"));
    }
    findings
}

pub(super) fn sentinels(topology: &Topology) -> Vec<Finding> {
    let Topology::Sentinel(SentinelFacts { quorum, priorities }) = topology else { return Vec::new() };
    let check = Check::Topology;
    let mut findings = Vec::new();
    match quorum {
        Some(Ok(())) => {}
        Some(Err(why)) => {
            let finding = Finding::warning(check, format!("the Sentinels cannot fail over: {why}"));
            let finding = finding.so("when the master dies, every request with a key is refused");
            findings.push(finding.remedy("bring the missing Sentinels up; three on three hosts are the least"));
        }
        None => {
            let finding = Finding::warning(check, "whether the Sentinels can fail over is unknown");
            findings.push(finding.remedy("let the user run SENTINEL CKQUORUM"));
        }
    }
    let mut priorities = priorities.iter().flatten();
    let first = priorities.next();
    if priorities.any(|priority| Some(priority) != first) {
        let finding = Finding::warning(check, "the replicas have different replica-priority");
        let finding = finding.so("one that lacks acknowledged claims may be preferred to one that has them");
        findings.push(finding.remedy("give all of them the same replica-priority"));
    }
    findings
}
