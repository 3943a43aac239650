//! What is known of one key, and what follows from it. The transitions between states are in [`record`](crate::record).

use std::time::Duration;

use crate::{
    Answer, Attempt, Checkpoint, Completed, Completion, Fence, Fingerprint, Grant, Indeterminate, Loss, Owner, Reason,
    Seen, Standing, StoreTime, Terms,
};

/// How long a released key refuses delayed packets of the attempt that released it.
pub const RELEASED_TOMBSTONE: Duration = Duration::from_secs(60);

/// What is known of one key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Where in its life the key is.
    pub state: State,
    /// Who holds it, or held it last.
    pub owner: Owner,
    /// The fence of that owner.
    pub fence: Fence,
    /// How many attempts were granted the key.
    pub attempts: u32,
    /// What the request was.
    pub fingerprint: Fingerprint,
    /// The terms that the key was claimed on; of a completed one, with the retention of its answer.
    pub terms: Terms,
    /// When the state began, or the lease was renewed.
    pub since: StoreTime,
}

/// Where in its life a key is. *Indeterminate* is marked here or derived: in flight and past the lease.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// An owner holds the lease.
    InFlight {
        /// What this or an earlier owner noted.
        checkpoint: Option<Checkpoint>,
    },
    /// Done; every later attempt gets this.
    Completed(Answer),
    /// Its owner gave up and nobody knows whether it ran.
    Indeterminate {
        /// Why the owner gave up.
        reason: Reason,
        /// What an owner noted.
        checkpoint: Option<Checkpoint>,
    },
    /// Known not to have run.
    Released,
}

impl Record {
    /// When the record ceases to exist. Every verb judges this by itself; removing expired records is housekeeping.
    pub fn expires_at(&self) -> StoreTime {
        self.since.after(match self.state {
            State::Released => RELEASED_TOMBSTONE,
            _ => self.terms.retention(),
        })
    }

    /// The time until the lease lapses; zero when it has.
    pub fn remaining(&self, now: StoreTime) -> Duration {
        self.terms.lease().saturating_sub(now.since(self.since))
    }

    /// Where in its life the key is at this time: in flight and past the lease is indeterminate.
    ///
    /// Expiry is not judged here; see [`Record::expires_at`].
    pub fn standing(&self, now: StoreTime) -> Standing {
        match &self.state {
            State::InFlight { .. } if self.has_lapsed(now) => Standing::Indeterminate,
            State::InFlight { .. } => Standing::InFlight,
            State::Completed(_) => Standing::Completed,
            State::Indeterminate { .. } => Standing::Indeterminate,
            State::Released => Standing::Released,
        }
    }

    /// Why an owner gave up, if one has said so.
    pub const fn reason(&self) -> Option<Reason> {
        match self.state {
            State::Indeterminate { reason, .. } => Some(reason),
            _ => None,
        }
    }

    pub(crate) fn has_lapsed(&self, now: StoreTime) -> bool {
        self.remaining(now).is_zero()
    }

    pub(crate) fn is_held_by(&self, grant: &Grant) -> bool {
        self.owner == grant.attempt.owner && self.fence == grant.fence
    }

    pub(crate) fn completed(&self, answer: &Answer) -> Completed {
        Completed { answer: answer.clone(), fence: self.fence, recorded_at: self.since, expires_at: self.expires_at() }
    }

    pub(crate) fn grant(&self, attempt: Attempt) -> Grant {
        Grant { attempt, fence: self.fence, number: self.attempts, terms: self.terms }
    }

    /// What is known of a key that nobody runs: marked indeterminate, or in flight and lapsed.
    pub(crate) fn indeterminate(&self, now: StoreTime) -> Option<Indeterminate> {
        let checkpoint = match &self.state {
            State::Indeterminate { checkpoint, .. } => checkpoint,
            State::InFlight { checkpoint } if self.has_lapsed(now) => checkpoint,
            _ => return None,
        };
        Some(Indeterminate {
            fence: self.fence,
            attempts: self.attempts,
            reason: self.reason(),
            since: self.since,
            quiet_for: now.since(self.since),
            checkpoint: checkpoint.clone(),
        })
    }

    /// Whether nothing has happened to the key since it was seen like this.
    ///
    /// A server that derives `since` from a remaining expiry does so to the millisecond. Whatever happens to a lapsed or
    /// settled key moves it by more than this.
    pub(crate) fn is_as(&self, seen: Seen) -> bool {
        const TOLERANCE: Duration = Duration::from_millis(5);
        self.fence == seen.fence && seen.since.is_none_or(|since| self.since <= since.after(TOLERANCE))
    }

    /// How the key stands for an attempt that does not hold it.
    pub(crate) fn loss(&self, now: StoreTime, fingerprint: Fingerprint) -> Loss {
        match &self.state {
            State::Released => Loss::Released,
            _ if self.fingerprint != fingerprint => Loss::Mismatch,
            State::Completed(answer) => Loss::Completed(self.completed(answer)),
            State::InFlight { .. } if !self.has_lapsed(now) => Loss::InFlight { remaining: self.remaining(now) },
            State::InFlight { .. } | State::Indeterminate { .. } => Loss::Indeterminate,
        }
    }

    pub(crate) fn with_state(&self, state: State, since: StoreTime) -> Self {
        Self { state, since, ..*self }
    }

    /// The same with an answer, which may have a retention of its own.
    pub(crate) fn with_answer(&self, completion: &Completion, since: StoreTime) -> Self {
        let terms = completion.retention.map_or(self.terms, |retention| self.terms.keeping(retention));
        Self { terms, ..self.with_state(State::Completed(completion.answer.clone()), since) }
    }

    /// The record of a grant, as long as its owner notes nothing.
    pub(crate) const fn in_flight(grant: &Grant, since: StoreTime) -> Self {
        Self {
            state: State::InFlight { checkpoint: None },
            owner: grant.attempt.owner,
            fence: grant.fence,
            attempts: grant.number,
            fingerprint: grant.attempt.fingerprint,
            terms: grant.terms,
            since,
        }
    }
}
