//! What the doctor says: one finding per thing that is not as it should be, or that could not be seen.

use std::fmt;

/// How bad a finding is. Ordered: the worst is the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know; nothing has to be done.
    Info,
    /// The promise holds, but not as well as it could, or it could not be seen whether it does.
    Warning,
    /// The promise does not hold: a key can be forgotten, or requests are refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What is checked. `Display` gives the number and the name, such as `D1 eviction-policy`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Check {
    /// D1: under memory pressure, new keys are refused and no key is dropped.
    EvictionPolicy,
    /// D2: no key has been dropped under memory pressure.
    EvictedKeys,
    /// D3: keys survive a restart, and persisting them does not fail.
    Persistence,
    /// D4: how much a power cut takes.
    Fsync,
    /// D5: the node that is written to is the one master.
    Role,
    /// D6: there are the replicas that the claims wait for.
    Replicas,
    /// D7: the store's own verbs work on this server.
    Canary,
    /// D8: the server's clock agrees with this host's.
    Clock,
    /// D9: the server is new enough, and has no known hole in its scripts.
    Version,
    /// D10: scripts may be run.
    Scripts,
    /// D11: the user may do what the store needs, and no more.
    Acl,
    /// D12: the connection is encrypted and authenticated, unless it stays on this host.
    Transport,
    /// D13: the Cluster or the Sentinels are in order.
    Topology,
    /// D14: the keys of a whole retention fit into memory.
    Memory,
    /// D15: the server takes the largest answer and keeps idle connections.
    Limits,
    /// D16: the server is the one that it was before.
    Epoch,
}

impl Check {
    /// The number of the check: 1 is D1.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The name of the check, as [`docs/doctor.md`] has it.
    ///
    /// [`docs/doctor.md`]: https://github.com/tower-idempotency/tower-idempotency/blob/main/docs/doctor.md
    pub const fn name(self) -> &'static str {
        match self {
            Self::EvictionPolicy => "eviction-policy",
            Self::EvictedKeys => "evicted-keys",
            Self::Persistence => "persistence",
            Self::Fsync => "fsync",
            Self::Role => "role",
            Self::Replicas => "replicas",
            Self::Canary => "canary",
            Self::Clock => "clock",
            Self::Version => "version",
            Self::Scripts => "scripts",
            Self::Acl => "acl",
            Self::Transport => "transport",
            Self::Topology => "topology",
            Self::Memory => "memory",
            Self::Limits => "limits",
            Self::Epoch => "epoch",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "D{} {}", self.number(), self.name())
    }
}

/// One thing that is not as it should be, or that could not be seen. `Display` is one line:
/// severity, check, node, what was seen, what follows from it and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// Which check found it.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// The node that it is about, as `host:port`; none where it is about all of them.
    pub node: Option<String>,
    /// What was seen, or that it could not be.
    pub seen: String,
    /// What follows for the keys.
    pub consequence: String,
    /// What to do; empty where nothing has to be done.
    pub remedy: String,
}

impl Finding {
    pub(crate) fn new(check: Check, severity: Severity, seen: impl Into<String>) -> Self {
        let (consequence, remedy) = (String::new(), String::new());
        Self { check, severity, node: None, seen: seen.into(), consequence, remedy }
    }

    pub(crate) fn error(check: Check, seen: impl Into<String>) -> Self {
        Self::new(check, Severity::Error, seen)
    }

    pub(crate) fn warning(check: Check, seen: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, seen)
    }

    pub(crate) fn info(check: Check, seen: impl Into<String>) -> Self {
        Self::new(check, Severity::Info, seen)
    }

    pub(crate) fn so(mut self, consequence: impl Into<String>) -> Self {
        self.consequence = consequence.into();
        self
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    pub(crate) fn at(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.check)?;
        if let Some(node) = &self.node {
            write!(f, " at {node}")?;
        }
        write!(f, ": {}", self.seen)?;
        let parts = [&self.consequence, &self.remedy];
        parts.into_iter().filter(|part| !part.is_empty()).try_for_each(|part| write!(f, "; {part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_has_its_number_and_its_name() {
        assert_eq!(Check::EvictionPolicy.to_string(), "D1 eviction-policy");
        assert_eq!(Check::Clock.to_string(), "D8 clock");
        assert_eq!(Check::Epoch.to_string(), "D16 epoch");
    }

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::error(Check::Persistence, "appendonly no").so("a restart forgets every key");
        let finding = finding.remedy("set appendonly yes").at("10.0.0.1:6379");
        let line =
            "error: D3 persistence at 10.0.0.1:6379: appendonly no; a restart forgets every key; set appendonly yes";
        assert_eq!(finding.to_string(), line);
        assert_eq!(Finding::info(Check::Acl, "unseen").to_string(), "info: D11 acl: unseen");
    }

    #[test]
    fn the_worst_is_the_greatest() {
        assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Info);
    }
}
