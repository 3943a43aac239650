//! One key as an operator sees it.

use std::time::Duration;

use crate::{Fence, Key, Reason, Seen, StoreTime, record::Record};

/// Where in its life a key is, at one moment on the store's clock. An absent key has no standing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// An owner holds a lease that has not lapsed.
    InFlight,
    /// Done: an answer, or a tombstone that says that it was not kept.
    Completed,
    /// Nobody knows whether it ran: marked by its owner, or in flight and past the lease.
    Indeterminate,
    /// Known not to have run, or erased.
    Released,
}

/// What the store knows of a key: the reply to [`Store::inspect`](crate::Store::inspect).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where the record lives.
    pub key: Key,
    /// The record, with its answer or its checkpoint.
    pub record: Record,
    /// The store's time when it was read. Everything below is as of then.
    pub at: StoreTime,
}

impl Entry {
    /// Where in its life the key was.
    pub fn standing(&self) -> Standing {
        self.record.standing(self.at)
    }

    /// The fence to give to [`Store::resolve`](crate::Store::resolve) or [`Store::erase`](crate::Store::erase).
    pub const fn fence(&self) -> Fence {
        self.record.fence
    }

    /// The same with the time, so that nothing is decided about a key that has changed since.
    pub const fn seen(&self) -> Seen {
        Seen { fence: self.record.fence, since: Some(self.record.since) }
    }

    /// Why an owner gave up, if one has said so.
    pub const fn reason(&self) -> Option<Reason> {
        self.record.reason()
    }

    /// The time until the lease would lapse; zero for a key that is not in flight.
    pub fn remaining(&self) -> Duration {
        match self.standing() {
            Standing::InFlight => self.record.remaining(self.at),
            _ => Duration::ZERO,
        }
    }

    /// How long ago the key was last claimed, renewed or settled.
    pub fn quiet_for(&self) -> Duration {
        self.at.since(self.record.since)
    }

    /// The time until the record is forgotten.
    pub fn expires_in(&self) -> Duration {
        self.record.expires_at().since(self.at)
    }
}
