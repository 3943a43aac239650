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

use std::time::Duration;

use tokio::time::timeout;

use super::failure::sort;
use super::link::Tries;
use super::servers::Servers;
use super::{Durability, NAME, RedisStore};
use crate::{Deadline, DeadlinePassed, StoreError};
use facts::{Demand, Duty, NodeFacts, SentinelFacts, Topology, Transport};
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
        let nodes = self.facts(true, deadline).await?;
        self.compare(&nodes, examination.lease);
        let mut looks: Vec<Look> = Vec::new();
        for look in nodes.iter().flat_map(|node| &node.facts.looks) {
            if !looks.contains(look) {
                looks.push(look.clone());
            }
        }
        let topology = self.place(deadline).await;
        let demand = demand(self.0.shared.config.durability);
        let bar = Bar { topology: &topology, demand, examination, health: self.health() };
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
    pub async fn observe(&self, lease: Duration, deadline: Deadline) -> Result<Vec<Event>, StoreError> {
        let nodes = self.facts(false, deadline).await?;
        Ok(self.compare(&nodes, lease))
    }

    /// What has been noticed of the server since the store was connected.
    pub fn health(&self) -> Health {
        self.0.ward.detectors.health()
    }

    fn compare(&self, nodes: &[NodeFacts], lease: Duration) -> Vec<Event> {
        let is_cluster = self.0.topology.is_cluster();
        let observe = |node: &NodeFacts| {
            // Whoever is the master is the same to the store; which node has gone is for the Cluster to know.
            let name = if is_cluster { &node.node } else { "the master" };
            self.0.ward.detectors.observe(name, &node.facts, lease)
        };
        nodes.iter().flat_map(observe).collect()
    }

    /// All facts of the masters, or those that change while they run.
    async fn facts(&self, all: bool, deadline: Deadline) -> Result<Vec<NodeFacts>, StoreError> {
        let shared = &self.0.shared;
        let mut nodes = Vec::new();
        for link in self.0.topology.links() {
            let live = link.live(deadline, Tries::Many).await?;
            let mut connection = live.line.connection.clone();
            let transport = Transport::of(live.info());
            let inquiry = Inquiry { prefix: &shared.config.prefix, scripts: &shared.scripts, transport: &transport };
            let asked = async {
                if all {
                    gather(&mut connection, inquiry).await
                } else {
                    vitals(&mut connection, inquiry.scripts).await
                }
            };
            let answered = timeout(deadline.remaining(), asked).await;
            let facts = answered.map_err(|_| StoreError::unknown(NAME, DeadlinePassed))?.map_err(sort)?;
            nodes.push(NodeFacts { node: live.info().addr().to_string(), duty: Duty::Master, facts });
        }
        Ok(nodes)
    }

    /// How the masters are found. A Sentinel that does not answer says nothing, which is a finding.
    async fn place(&self, deadline: Deadline) -> Topology {
        match &self.0.shared.config.servers {
            Servers::One(_) => Topology::Single,
            Servers::Cluster(..) => Topology::Cluster,
            Servers::Sentinel(sentinels) => {
                let config = &self.0.shared.config;
                let asked = async {
                    let mut connection = sentinels.any(config, config.connect_timeout).await.ok()?;
                    gather::sentinel(&mut connection, &sentinels.master).await.ok()
                };
                let said = timeout(deadline.remaining(), asked).await.ok().flatten();
                Topology::Sentinel(said.unwrap_or(SentinelFacts { quorum: None, priorities: None }))
            }
        }
    }
}

/// What the durability asks of the servers.
fn demand(durability: Durability) -> Demand {
    match durability {
        Durability::Local => Demand::default(),
        Durability::Auto => Demand { is_auto: true, ..Demand::default() },
        Durability::Replicated { replicas } => Demand { replicas: replicas.into(), ..Demand::default() },
        Durability::Fsynced { replicas } => Demand { replicas: replicas.into(), fsync: true, is_auto: false },
    }
}
