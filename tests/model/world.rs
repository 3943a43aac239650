//! The state of a model: servers, attempts, what is on the line between them, the downstream, and what has happened.

use std::collections::BTreeSet;

use idempotency_store::record::Record;

use crate::design::Design;

/// Everything at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    /// How many leases' worth of time has passed.
    pub(crate) lapses: u8,
    /// The servers of the store.
    pub(crate) servers: Servers,
    /// The attempts, in the order of their arrival.
    pub(crate) attempts: Vec<Attempt>,
    /// What is on its way to the store, in any order. What is never taken from here is lost.
    pub(crate) requests: BTreeSet<Request>,
    /// What is on its way back.
    pub(crate) replies: BTreeSet<Reply>,
    /// What the handler's effects go to.
    pub(crate) downstream: Effects,
    /// What the properties are about.
    pub(crate) history: History,
}

/// The store: the second server is a replica of the first until it takes its place.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Servers {
    pub(crate) first: Server,
    pub(crate) second: Server,
    /// What the first has written and the second has not yet.
    pub(crate) backlog: Vec<Write>,
    /// Whether the second has been made master.
    pub(crate) failed_over: bool,
    /// Whether the first has noticed that its replica is gone.
    pub(crate) notices_loss: bool,
}

/// One server, and what it holds for the one key.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Server {
    pub(crate) record: Option<Record>,
    /// The counter that fences are drawn from where they are not from the clock.
    pub(crate) counter: u64,
    /// The attempt whose release was the last thing that was granted here.
    pub(crate) freed: Option<u8>,
}

/// A write on its way to the replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Write {
    pub(crate) by: Connection,
    pub(crate) record: Option<Record>,
    pub(crate) counter: u64,
}

/// Who wrote: each time that an attempt asks, it does so on another connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Connection {
    pub(crate) of: u8,
    pub(crate) number: u8,
}

/// Which server something goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Which {
    First,
    Second,
}

/// One attempt: the arrival of a request, and all that its server does for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Attempt {
    pub(crate) phase: Phase,
    pub(crate) asks: u8,
    pub(crate) sends: u8,
    pub(crate) renewals: u8,
    /// How far its server's estimate of the store's time is off, in microseconds.
    pub(crate) skew: i64,
}

/// Where an attempt stands. One that was stopped or killed stays where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// It has not arrived.
    Absent,
    /// It has asked for the key.
    Asking,
    /// It holds a grant and runs its handler.
    Running(Granted),
    /// Its handler has answered.
    Completing(Granted, Outcome),
    /// It has released what it may have been granted.
    Releasing(Option<u64>),
    /// Nothing more is to come of it.
    Gone,
    /// Its client has the recorded answer.
    Answered,
}

/// What an attempt remembers of its grant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Granted {
    pub(crate) fence: u64,
    pub(crate) number: u32,
}

/// What a handler answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Outcome {
    /// The downstream did it; this is the number of its effect.
    Effect(u8),
    /// The handler does not know or was refused, and answers an error.
    Failure,
}

/// A verb on its way to a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Request {
    pub(crate) by: Connection,
    pub(crate) to: Which,
    pub(crate) verb: Verb,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Verb {
    Claim,
    Renew(Granted),
    Complete(Granted, Outcome),
    Release(Option<u64>),
    Abandon(Granted),
}

/// A reply on its way to the attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Reply {
    pub(crate) to: Connection,
    pub(crate) news: News,
    /// Whether the replica has acknowledged what had to be. Until then the server holds the reply back.
    pub(crate) acknowledged: bool,
}

/// The replies after which an attempt does something that it could not do without.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum News {
    Acquired(Granted),
    Recorded(Outcome),
    /// The key is completed, with this answer.
    Completed(Outcome),
}

/// What the downstream has done.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Effects {
    pub(crate) count: u8,
    pub(crate) highest_fence: u64,
}

/// What the properties are about; nothing acts on it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct History {
    /// The grants, in the order in which the store gave them.
    pub(crate) grants: Vec<Trace>,
    /// The answers that clients were given for good.
    pub(crate) told: BTreeSet<Outcome>,
}

/// A grant, and whether its owner has called the downstream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Trace {
    pub(crate) owner: u8,
    pub(crate) fence: u64,
    pub(crate) acted: bool,
}

impl World {
    /// Nothing has happened, and the clients' clocks are off by this.
    pub(crate) fn new(skews: &[i64]) -> Self {
        let attempt = |&skew: &i64| Attempt { phase: Phase::Absent, asks: 0, sends: 0, renewals: 0, skew };
        Self {
            lapses: 0,
            servers: Servers::default(),
            attempts: skews.iter().map(attempt).collect(),
            requests: BTreeSet::new(),
            replies: BTreeSet::new(),
            downstream: Effects::default(),
            history: History::default(),
        }
    }

    /// All ways in which the clients' clocks can be off.
    pub(crate) fn starts(design: &Design) -> Vec<Self> {
        let mut ways = vec![Vec::new()];
        for _ in 0..design.attempts {
            let one_more = |way: &Vec<i64>| {
                let way = way.clone();
                design.skews.iter().map(move |&skew| [way.clone(), vec![skew]].concat())
            };
            ways = ways.iter().flat_map(one_more).collect();
        }
        ways.iter().map(|way| Self::new(way)).collect()
    }

    pub(crate) fn attempt(&mut self, who: u8) -> &mut Attempt {
        &mut self.attempts[usize::from(who)]
    }

    pub(crate) fn phase(&self, who: u8) -> Phase {
        self.attempts[usize::from(who)].phase
    }
}

impl Phase {
    /// The fence of the grant that it has heard of.
    pub(crate) const fn fence(self) -> Option<u64> {
        match self {
            Self::Running(granted) | Self::Completing(granted, _) => Some(granted.fence),
            _ => None,
        }
    }

    /// Whether an attempt that was granted the key may yet call the downstream. `resumes` is whether one does that has
    /// given up.
    pub(crate) const fn may_act(self, resumes: bool) -> bool {
        match self {
            Self::Asking | Self::Running(_) => true,
            Self::Releasing(_) => resumes,
            Self::Absent | Self::Completing(..) | Self::Gone | Self::Answered => false,
        }
    }
}

impl Servers {
    pub(crate) fn get(&self, which: Which) -> &Server {
        match which {
            Which::First => &self.first,
            Which::Second => &self.second,
        }
    }

    pub(crate) fn get_mut(&mut self, which: Which) -> &mut Server {
        match which {
            Which::First => &mut self.first,
            Which::Second => &mut self.second,
        }
    }
}
