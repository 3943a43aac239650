//! What is noticed while the store runs: keys that were evicted, a server that is another one, clocks that drift apart.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::facts::{Facts, Role, Skew};
use super::finding::Severity;

/// What has been noticed since the store was connected. Export it as counters and a gauge; each event is also logged when it
/// is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// Keys that the server dropped under memory pressure, whosever they were. Each of ours among them may run again.
    pub evicted_keys: u64,
    /// How often the server was another one than before: restarted, or replaced by a replica. What it had not persisted or
    /// replicated is forgotten.
    pub epochs: u64,
    /// How far the server's clock is ahead of this host's, in microseconds; negative where it is behind. `None` until
    /// it has been read, and where the user may not.
    pub clock_ahead: Option<i64>,
    /// How often the server was looked at.
    pub looks: u64,
}

/// Something that was noticed. `Display` names it without any key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server dropped keys under memory pressure.
    Evicted {
        /// How many since it was last looked at.
        keys: u64,
    },
    /// The server is another one than it was: it restarted, or another took its place.
    EpochChanged,
    /// The clocks differ by more than they should.
    ClockSkewed {
        /// By how many microseconds the server's is ahead; negative where it is behind.
        ahead: i64,
        /// [`Severity::Error`] above a tenth of the lease, [`Severity::Warning`] above a second.
        severity: Severity,
    },
    /// The clocks agree again.
    ClockAgrees,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicted { keys } => {
                write!(f, "Redis evicted {keys} keys; a forgotten key runs again; set maxmemory-policy noeviction")
            }
            Self::EpochChanged => {
                write!(f, "Redis restarted or another server took its place; what it did not keep runs again")
            }
            Self::ClockSkewed { ahead, .. } => {
                let skew = Skew { ahead: *ahead, give_or_take: Duration::ZERO };
                write!(f, "the clock of Redis is {skew} of this host's; let NTP slew both, never step them")
            }
            Self::ClockAgrees => write!(f, "the clock of Redis agrees with this host's again"),
        }
    }
}

/// The most that clocks should differ, whatever the lease.
const SKEW: Duration = Duration::from_secs(1);

/// How bad it is that clocks differ by so much. An error where the lease would be judged wrong by a tenth or more.
pub(super) fn judge(skew: Skew, lease: Duration) -> Option<Severity> {
    let skew = skew.at_least();
    match (skew > (lease / 10).max(SKEW), skew > SKEW) {
        (true, _) => Some(Severity::Error),
        (false, true) => Some(Severity::Warning),
        (false, false) => None,
    }
}

/// Compares what is seen with what was seen before. Nodes are told apart by the names that the caller gives them: where
/// several servers serve one purpose in turn, as the master of a Sentinel does, one name for all makes a fail-over visible.
#[derive(Debug, Default)]
pub(crate) struct Detectors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    health: Health,
    nodes: BTreeMap<String, Seen>,
}

/// What a node was like when it was last looked at.
#[derive(Debug, Default)]
struct Seen {
    run_id: Option<String>,
    replication_id: Option<String>,
    evicted_keys: Option<u64>,
    skewed: Option<Severity>,
}

impl Detectors {
    /// Takes in what a node says now, logs what is new, and tells it. The first look at a node is what later ones are
    /// compared with.
    pub(crate) fn observe(&self, node: &str, facts: &Facts, lease: Duration) -> Vec<Event> {
        let events = self.lock().observe(node, facts, lease);
        for event in &events {
            match event {
                Event::Evicted { .. } | Event::ClockSkewed { severity: Severity::Error, .. } => {
                    tracing::error!(node, "{event}");
                }
                Event::EpochChanged | Event::ClockSkewed { .. } => tracing::warn!(node, "{event}"),
                Event::ClockAgrees => tracing::info!(node, "{event}"),
            }
        }
        events
    }

    pub(crate) fn health(&self) -> Health {
        self.lock().health
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn observe(&mut self, node: &str, facts: &Facts, lease: Duration) -> Vec<Event> {
        let first = !self.nodes.contains_key(node);
        let seen = self.nodes.entry(node.to_owned()).or_default();
        let mut events = Vec::new();
        if seen.is_replaced_by(facts) {
            self.health.epochs += 1;
            events.push(Event::EpochChanged);
            // It counts from 0 again.
            seen.evicted_keys = Some(0);
        }
        let before = seen.evicted_keys.unwrap_or_else(|| if first { facts.evicted_keys.unwrap_or(0) } else { 0 });
        let keys = facts.evicted_keys.unwrap_or(before).saturating_sub(before);
        if keys > 0 {
            self.health.evicted_keys += keys;
            events.push(Event::Evicted { keys });
        }
        events.extend(seen.compare_clocks(facts, lease));
        seen.remember(facts);
        self.health.clock_ahead = facts.clock.map(|skew| skew.ahead).or(self.health.clock_ahead);
        self.health.looks += 1;
        events
    }
}

impl Seen {
    /// Whether this is not the server any more that it was, or has another history.
    fn is_replaced_by(&self, facts: &Facts) -> bool {
        let differs =
            |was: &Option<String>, is: &Option<String>| matches!((was, is), (Some(was), Some(is)) if was != is);
        // A master without replicas takes a new replication id after an hour, and has no former one then: no fail-over.
        let was_promoted = facts.role == Some(Role::Master) && facts.former_replication_id.is_some();
        differs(&self.run_id, &facts.run_id) || was_promoted && differs(&self.replication_id, &facts.replication_id)
    }

    fn compare_clocks(&mut self, facts: &Facts, lease: Duration) -> Option<Event> {
        let skew = facts.clock?;
        let severity = judge(skew, lease);
        let was = std::mem::replace(&mut self.skewed, severity);
        match severity {
            Some(severity) if was < Some(severity) => Some(Event::ClockSkewed { ahead: skew.ahead, severity }),
            None if was.is_some() => Some(Event::ClockAgrees),
            _ => None,
        }
    }

    fn remember(&mut self, facts: &Facts) {
        self.run_id = facts.run_id.clone().or(self.run_id.take());
        self.replication_id = facts.replication_id.clone().or(self.replication_id.take());
        self.evicted_keys = facts.evicted_keys.or(self.evicted_keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn facts(run: &str, evicted: u64) -> Facts {
        let (run_id, replication_id) = (Some(run.to_owned()), Some("r1".to_owned()));
        Facts { run_id, replication_id, evicted_keys: Some(evicted), role: Some(Role::Master), ..Facts::default() }
    }

    fn with_clock(ahead: i64) -> Facts {
        Facts { clock: Some(Skew { ahead, give_or_take: Duration::from_millis(1) }), ..facts("a", 0) }
    }

    #[test]
    fn evictions_are_counted_from_the_first_look_on() {
        let detectors = Detectors::default();
        assert_eq!(detectors.observe("n", &facts("a", 7), LEASE), []);
        assert_eq!(detectors.observe("n", &facts("a", 7), LEASE), []);
        assert_eq!(detectors.observe("n", &facts("a", 9), LEASE), [Event::Evicted { keys: 2 }]);
        assert_eq!(detectors.observe("m", &facts("b", 100), LEASE), [], "another node");
        assert_eq!(detectors.health().evicted_keys, 2);
    }

    #[test]
    fn a_server_that_restarted_counts_from_0() {
        let detectors = Detectors::default();
        detectors.observe("n", &facts("a", 7), LEASE);
        let events = detectors.observe("n", &facts("b", 3), LEASE);
        assert_eq!(events, [Event::EpochChanged, Event::Evicted { keys: 3 }]);
        let Health { evicted_keys, epochs, looks, .. } = detectors.health();
        assert_eq!((evicted_keys, epochs, looks), (3, 1, 2));
    }

    #[test]
    fn a_promoted_replica_is_another_epoch_and_a_new_backlog_is_not() {
        let detectors = Detectors::default();
        detectors.observe("n", &facts("a", 0), LEASE);
        let backlog = Facts { replication_id: Some("r2".into()), ..facts("a", 0) };
        assert_eq!(detectors.observe("n", &backlog, LEASE), []);
        let promoted =
            Facts { replication_id: Some("r3".into()), former_replication_id: Some("r2".into()), ..facts("a", 0) };
        assert_eq!(detectors.observe("n", &promoted, LEASE), [Event::EpochChanged]);
        assert_eq!(detectors.observe("n", &promoted, LEASE), []);
    }

    #[test]
    fn clocks_that_drift_apart_are_told_once_and_when_it_gets_worse() {
        let detectors = Detectors::default();
        let told = |ahead| detectors.observe("n", &with_clock(ahead), LEASE);
        let skewed = |ahead, severity| vec![Event::ClockSkewed { ahead, severity }];
        assert_eq!(told(900_000), []);
        assert_eq!(told(-2_000_000), skewed(-2_000_000, Severity::Warning));
        assert_eq!(told(-2_000_000), []);
        assert_eq!(told(86_400_000_000), skewed(86_400_000_000, Severity::Error));
        assert_eq!(told(2_000_000), [], "better, but not well");
        assert_eq!(told(0), [Event::ClockAgrees]);
        assert_eq!(detectors.health().clock_ahead, Some(0));
    }

    #[test]
    fn what_is_not_said_is_no_event() {
        let detectors = Detectors::default();
        detectors.observe("n", &facts("a", 7), LEASE);
        assert_eq!(detectors.observe("n", &Facts::default(), LEASE), []);
        assert_eq!(detectors.observe("n", &facts("a", 7), LEASE), []);
        assert_eq!(detectors.observe("n", &facts("a", 8), LEASE), [Event::Evicted { keys: 1 }]);
    }

    #[test]
    fn a_tenth_of_a_short_lease_is_not_less_than_a_second() {
        let skew = |ahead| Skew { ahead, give_or_take: Duration::ZERO };
        assert_eq!(judge(skew(900_000), Duration::from_secs(2)), None);
        assert_eq!(judge(skew(1_100_000), Duration::from_secs(2)), Some(Severity::Error));
        assert_eq!(judge(skew(2_900_000), LEASE), Some(Severity::Warning));
        assert_eq!(judge(skew(3_100_000), LEASE), Some(Severity::Error));
    }
}
