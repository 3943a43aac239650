//! The judgement: from what is known of the nodes to findings. Pure; nothing is asked here.

mod access;
mod disk;
mod nodes;
mod room;
mod server;
#[cfg(test)]
mod tests;

use super::detectors::Health;
use super::examination::Examination;
use super::facts::{Demand, Duty, Facts, NodeFacts, Topology};
use super::finding::{Check, Finding};
use super::settings::{Setting, Settings};

/// What the nodes are judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) demand: Demand,
    pub(crate) examination: &'a Examination,
    /// What was noticed before this examination.
    pub(crate) health: Health,
}

/// One node and what it is judged by.
struct Case<'a> {
    facts: &'a Facts,
    duty: Duty,
    /// As the node says, or as was declared.
    settings: Settings,
    bar: &'a Bar<'a>,
}

/// Judges one node; each gives what it finds.
const RULES: [fn(&Case<'_>) -> Vec<Finding>; 14] = [
    room::eviction_policy,
    room::evicted_keys,
    disk::persistence,
    disk::fsync,
    nodes::role,
    nodes::replicas,
    server::clock,
    server::version,
    access::scripts,
    access::rights,
    access::transport,
    nodes::cluster,
    room::memory,
    server::limits,
];

/// What is wrong or unknown with these nodes: the worst first, then in the order of the checks.
pub(crate) fn judge(nodes: &[NodeFacts], bar: &Bar<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> = nodes.iter().flat_map(|node| judge_node(node, bar)).collect();
    findings.extend(nodes::sentinels(bar.topology));
    findings.extend(room::noticed_evictions(bar.health));
    findings.extend(server::epochs(bar.health));
    sort(&mut findings);
    findings
}

/// The worst first, then in the order of the checks.
pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|one, other| {
        let by_check = || (one.check, &one.node).cmp(&(other.check, &other.node));
        other.severity.cmp(&one.severity).then_with(by_check)
    });
}

fn judge_node(node: &NodeFacts, bar: &Bar<'_>) -> Vec<Finding> {
    let settings = node.facts.settings.or(&bar.examination.declared);
    let case = Case { facts: &node.facts, duty: node.duty, settings, bar };
    RULES.iter().flat_map(|rule| rule(&case)).map(|finding| finding.at(&node.node)).collect()
}

impl Case<'_> {
    fn setting(&self, setting: Setting) -> Option<&str> {
        self.settings.get(setting)
    }

    /// Whether acknowledged writes are kept by somebody else than Redis.
    fn is_kept_elsewhere(&self) -> bool {
        self.setting(Setting::Persistence) == Some("external")
    }
}

/// A setting that the server does not say and nobody has declared.
fn undeclared(check: Check, setting: Setting, example: &str) -> Finding {
    Finding::warning(check, format!("{setting} is unknown: the server does not say it")).remedy(format!(
        "find it out and declare it, such as {setting}={example}, or let the user run INFO and CONFIG GET"
    ))
}
