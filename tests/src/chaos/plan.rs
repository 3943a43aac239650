//! What is run, on what, for how long.

use std::str::FromStr;
use std::time::Duration;

use idempotency_store::Durability;

use super::Mutation;

/// Which servers there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Topology {
    /// One Redis that logs what it writes, behind lines that break.
    Standalone,
    /// A master and a replica behind an address that moves: a fail-over takes about a second.
    Pair,
    /// A master, two replicas and three Sentinels.
    Sentinel,
    /// Three masters with a replica each.
    Cluster,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standalone, Self::Pair, Self::Sentinel, Self::Cluster];

    /// What a claim must wait for here, so that whoever is promoted has it: of two replicas, both.
    pub const fn durability(self) -> Durability {
        match self {
            Self::Sentinel => Durability::Replicated { replicas: 2 },
            Self::Standalone | Self::Pair | Self::Cluster => Durability::Auto,
        }
    }

    /// What it is called on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Pair => "pair",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|topology| topology.name() == name);
        found.ok_or_else(|| format!("no topology {name:?}: standalone, pair, sentinel or cluster"))
    }
}

/// Which store is tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The shipped store.
    Redis(Durability),
    /// A small store of the harness, with a guard removed or none.
    Naive(Mutation),
}

impl Subject {
    /// What it is called in reports.
    pub fn name(self) -> String {
        match self {
            Self::Redis(durability) => format!("RedisStore, {durability:?}"),
            Self::Naive(mutation) => format!("small store, {}", mutation.name()),
        }
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// Which servers there are.
    pub topology: Topology,
    /// Which store is tested.
    pub subject: Subject,
    /// How many servers with the layer there are.
    pub servers: usize,
    /// How many keys live at a time.
    pub clients: usize,
    /// For how long keys begin their lives. Those that have begun are finished.
    pub duration: Duration,
    /// How often an attempt's owner does not live: from 0 to 1.
    pub fates: f64,
    /// How many faults of lines per second.
    pub line_faults: f64,
    /// The pause between two faults of servers, drawn from up to twice this.
    pub gap: Duration,
    /// It ends as soon as a key broke the promise.
    pub until_broken: bool,
}

impl Plan {
    /// The usual one.
    pub const fn new(topology: Topology, subject: Subject, seed: u64) -> Self {
        let gap = match topology {
            Topology::Standalone => 700,
            Topology::Pair => 250,
            Topology::Sentinel | Topology::Cluster => 500,
        };
        Self {
            seed,
            topology,
            subject,
            servers: 8,
            clients: 600,
            duration: Duration::from_secs(20),
            fates: 0.08,
            line_faults: 8.0,
            gap: Duration::from_millis(gap),
            until_broken: false,
        }
    }

    /// For so long.
    pub const fn lasting(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Until a key broke the promise, or so long.
    pub const fn until_broken(mut self, at_most: Duration) -> Self {
        self.until_broken = true;
        self.lasting(at_most)
    }
}
