//! Whether a Redis server can be trusted with keys, and what to do where it cannot.
//!
//! A store is no better than its server. The defaults of many installations are wrong for it: they forget keys on a restart or
//! drop them when memory is short, and a key that is forgotten runs again. [`RedisStore::diagnose`] asks the server how it
//! is set up, lets a trial key live through the store's own verbs, and says of each thing that is not as it should be what
//! was seen, what follows from it and what to do.
//!
//! | check | looks at | worst |
//! |---|---|---|
//! | D1 `eviction-policy` | `maxmemory-policy` is `noeviction`; `maxmemory` is set | error |
//! | D2 `evicted-keys` | no key was evicted | error |
//! | D3 `persistence` | `appendonly` is `yes`; the last writes to disk succeeded | error |
//! | D4 `fsync` | `appendfsync` is `always` or `everysec`; `no-appendfsync-on-rewrite` is `no` | error |
//! | D5 `role` | the server is the one master, not one of several (`active-replica`) | error |
//! | D6 `replicas` | there are the replicas that claims wait for; `min-replicas-to-write` | error |
//! | D7 `canary` | claim, renewal, completion, replay and release work | error |
//! | D8 `clock` | the server's clock and this host's: over 1 s, over a tenth of the lease | error |
//! | D9 `version` | Redis 7.0 or Valkey 7.2; known holes in scripts | error |
//! | D10 `scripts` | scripts may be run, and are understood | error |
//! | D11 `acl` | the user may run what is needed, and no more | error |
//! | D12 `transport` | TLS and a password, unless the connection stays on this host | warning |
//! | D13 `topology` | a Cluster serves all slots, masters have replicas; Sentinels have a quorum | error |
//! | D14 `memory` | the keys of a retention fit, where a [`Budget`] is given | warning |
//! | D15 `limits` | `proto-max-bulk-len` takes the largest answer; `timeout` is no shorter than the lease | warning |
//! | D16 `epoch` | the server is the one that it was | warning |
//!
//! # Where the server does not say
//!
//! Nothing is guessed. Managed services forbid `CONFIG`, and a user with few rights may not run `INFO` either: what
//! cannot be seen is a finding of its own, unless somebody vouches for it with a [`Declaration`]. What the server says
//! counts more than what is declared.
//!
//! # While the store runs
//!
//! The store looks at its server every ten seconds. It logs evictions, a server that restarted or was replaced, and
//! clocks that drift apart, and counts them: [`RedisStore::health`].
//!
//! # Example
//!
//! ```no_run
//! use idempotency_store::redis::doctor::{Examination, Severity};
//! use idempotency_store::{Deadline, RedisStore};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = RedisStore::connect("redis://127.0.0.1:6379").await?;
//! let diagnosis = store.diagnose(&Examination::new(), Deadline::after(Duration::from_secs(10))).await?;
//! for finding in &diagnosis.findings {
//!     println!("{finding}");
//! }
//! if diagnosis.worst() == Some(Severity::Error) {
//!     return Err("this server forgets keys".into());
//! }
//! # Ok(())
//! # }
//! ```

mod canary;
mod detectors;
mod examination;
mod facts;
mod finding;
mod gather;
mod patrol;
mod rules;
mod settings;
mod version;

use tokio::time::timeout;

use super::failure::sort;
use super::{NAME, RedisStore};
use crate::{Deadline, DeadlinePassed, StoreError};
use facts::{Demand, Duty, Facts, NodeFacts, Topology};
use gather::{Inquiry, gather, vitals};
use rules::{Bar, judge};

pub(super) use patrol::Ward;

pub use detectors::{Event, Health};
pub use examination::{Budget, Examination};
pub use facts::Look;
pub use finding::{Check, Finding, Severity};
pub use settings::{Declaration, DeclarationError, Setting};

/// What an examination came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What is not as it should be, or could not be seen: the worst first, then in the order of the checks.
    pub findings: Vec<Finding>,
    /// What the server was asked, and whether it said.
    pub looks: Vec<Look>,
}

impl Diagnosis {
    /// The severity of the worst finding; `None` if there is none.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Whether there is nothing but information.
    pub fn is_clean(&self) -> bool {
        self.worst() <= Some(Severity::Info)
    }
}

impl RedisStore {
    /// Examines the server: see the [module](self) for what is looked at.
    ///
    /// It writes two keys of its own, which are random and gone after a minute; nothing else is changed. Cancelling it
    /// leaves no more than these.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server cannot be reached or does not answer until the deadline. What it refuses to say or to
    /// do is no error but a finding.
    pub async fn diagnose(&self, examination: &Examination, deadline: Deadline) -> Result<Diagnosis, StoreError> {
        let ward = self.ward();
        let facts = self.facts(true, deadline).await?;
        ward.detectors.observe(&ward.node, &facts, examination.lease);
        let looks = facts.looks.clone();
        let nodes = [NodeFacts { node: ward.node.clone(), duty: Duty::Master, facts }];
        let health = ward.detectors.health();
        let bar = Bar { topology: &Topology::Single, demand: Demand::default(), examination, health };
        let mut findings = judge(&nodes, &bar);
        findings.extend(canary::sing(self, deadline).await);
        rules::sort(&mut findings);
        Ok(Diagnosis { findings, looks })
    }

    /// Looks at the server now, as the store does by itself every ten seconds, and tells what is new: evicted keys, another
    /// server, clocks that drifted apart. Each is also logged and counted in [`RedisStore::health`].
    ///
    /// `lease` is that of the layer, by a tenth of which the clocks may differ.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server cannot be reached or does not answer until the deadline.
    pub async fn observe(&self, lease: std::time::Duration, deadline: Deadline) -> Result<Vec<Event>, StoreError> {
        let facts = self.facts(false, deadline).await?;
        let ward = self.ward();
        Ok(ward.detectors.observe(&ward.node, &facts, lease))
    }

    /// What has been noticed of the server since the store was connected.
    pub fn health(&self) -> Health {
        self.ward().detectors.health()
    }

    /// All facts of the server, or those that change while it runs.
    async fn facts(&self, all: bool, deadline: Deadline) -> Result<Facts, StoreError> {
        let mut connection = self.0.link.live(deadline).await?.connection.clone();
        let inquiry = Inquiry { prefix: &self.0.prefix, transport: &self.ward().transport };
        let asked = async { if all { gather(&mut connection, inquiry).await } else { vitals(&mut connection).await } };
        let answered = timeout(deadline.remaining(), asked).await;
        answered.map_err(|_| StoreError::unknown(NAME, DeadlinePassed))?.map_err(sort)
    }
}
