//! An attempt, the lease it may be granted, and the terms of that lease.

use std::time::Duration;

use crate::state::RELEASED_TOMBSTONE;
use crate::{Fence, Fingerprint, Key, Owner};

/// One arrival of a request: the key it carries, who asks, and what exactly is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Where the record lives.
    pub key: Key,
    /// Drawn anew for each attempt, kept when a verb is asked again.
    pub owner: Owner,
    /// What the request was.
    pub fingerprint: Fingerprint,
}

/// The right to run: a key, its owner, and the fence that every later write is checked against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Where the record lives.
    pub key: Key,
    /// Who holds the lease.
    pub owner: Owner,
    /// Greater than every fence granted for this key before.
    pub fence: Fence,
}

/// How long a lease lasts without renewal, and how long the key is remembered.
///
/// Both are written into the record with the claim and are used from there by every later verb, so that servers that are
/// configured differently never judge one record by two rules.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Terms {
    lease: Duration,
    retention: Duration,
}

/// Terms that would lose a key while its owner may still run, or before late packets of it have died out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// The lease is shorter than a millisecond.
    #[error("the lease must last at least 1 ms; 30 s is the usual choice")]
    LeaseTooShort,
    /// The retention is shorter than two leases.
    #[error("the retention must be at least two leases: a key that expires while its owner runs would run twice")]
    RetentionTooShort,
    /// An answer would be kept for less than the tombstone of a released key.
    #[error("an answer must be kept for at least 60 s: what its owner sent before may still arrive")]
    AnswerTooShort,
    /// A duration is more than ten years.
    #[error("a lease or retention of more than ten years is a mistake in its unit")]
    TooLong,
}

impl Terms {
    /// Terms of a lease that lapses after `lease` without renewal, of a key that is kept for `retention`. Both are cut
    /// to whole milliseconds, the unit that every store can represent.
    ///
    /// # Errors
    ///
    /// [`TermsError`] if the lease is shorter than a millisecond, the retention shorter than two leases, or either longer
    /// than ten years.
    pub fn new(lease: Duration, retention: Duration) -> Result<Self, TermsError> {
        if lease < Duration::from_millis(1) {
            return Err(TermsError::LeaseTooShort);
        }
        if lease > TEN_YEARS || retention > TEN_YEARS {
            return Err(TermsError::TooLong);
        }
        if retention < lease * 2 {
            return Err(TermsError::RetentionTooShort);
        }
        Ok(Self { lease: whole_millis(lease), retention: whole_millis(retention) })
    }

    /// A released record keeps no lease; it needs terms only because every record has them.
    pub(crate) const fn of_tombstone() -> Self {
        Self { lease: Duration::from_secs(30), retention: RELEASED_TOMBSTONE }
    }

    /// The terms of a record that is completed: its answer may be kept for less than two leases, because nobody runs any
    /// more.
    ///
    /// # Errors
    ///
    /// As [`Terms::new`], and of the retention whatever neither a claim nor a [`Retention`] can ask for.
    pub(crate) fn of_completed(lease: Duration, retention: Duration) -> Result<Self, TermsError> {
        let is_lease = lease >= Duration::from_millis(1) && lease <= TEN_YEARS;
        match Retention::new(retention) {
            Ok(retention) if is_lease => Ok(Self { lease: whole_millis(lease), retention: retention.0 }),
            _ => Self::new(lease, retention),
        }
    }

    /// The same lease, and the key remembered for this long.
    pub(crate) const fn keeping(self, retention: Retention) -> Self {
        Self { lease: self.lease, retention: retention.0 }
    }

    /// How long the lease lasts without renewal.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How long the key is remembered after the last claim, renewal or completion. Of a completed record this is how
    /// long its answer is kept, which its [`Completion`](crate::Completion) may have said.
    pub const fn retention(&self) -> Duration {
        self.retention
    }
}

/// No duration of this crate is longer.
const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// How long one answer is kept, where that is not the retention of its key: see [`Completion`](crate::Completion).
///
/// ```
/// use idempotency_store::{Retention, TermsError};
/// use std::time::Duration;
///
/// let hour = Retention::new(Duration::from_secs(3600)).unwrap();
/// assert_eq!(hour.get(), Duration::from_secs(3600));
/// assert_eq!(Retention::new(Duration::from_secs(59)), Err(TermsError::AnswerTooShort));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Retention(Duration);

impl Retention {
    /// A retention of this duration, cut to whole milliseconds.
    ///
    /// The least is the life of a released key's tombstone, 60 s, for the same reason: a renewal or a completion that was
    /// sent before and arrives after the record has gone must be too old to write it again.
    ///
    /// # Errors
    ///
    /// [`TermsError::AnswerTooShort`] below 60 s, [`TermsError::TooLong`] above ten years.
    pub fn new(duration: Duration) -> Result<Self, TermsError> {
        if duration < RELEASED_TOMBSTONE {
            return Err(TermsError::AnswerTooShort);
        }
        if duration > TEN_YEARS {
            return Err(TermsError::TooLong);
        }
        Ok(Self(whole_millis(duration)))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Default for Terms {
    /// A lease of 30 s and a retention of 24 h.
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), retention: Duration::from_secs(24 * 60 * 60) }
    }
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A granted claim: everything that its owner needs to renew, complete, release or abandon it.
///
/// It carries what a store would need to write the record again, in case the store lost it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Whose claim was granted.
    pub attempt: Attempt,
    /// The fencing token of this grant.
    pub fence: Fence,
    /// 1 for the first run of a key, one more for each take-over.
    pub number: u32,
    /// The terms that stand in the record.
    pub terms: Terms,
}

impl Grant {
    /// The lease that this grant is.
    pub const fn lease(&self) -> Lease {
        Lease { key: self.attempt.key, owner: self.attempt.owner, fence: self.fence }
    }

    /// Whether an earlier attempt of this key held a lease and its outcome is unknown.
    pub const fn is_takeover(&self) -> bool {
        self.number > 1
    }
}
