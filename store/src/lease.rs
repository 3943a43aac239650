//! An attempt, the lease it may be granted, and the terms of that lease.

use std::time::Duration;

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    lease: Duration,
    retention: Duration,
}

/// Terms that would lose a key while its owner may still run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// The lease is shorter than a millisecond.
    #[error("the lease must last at least 1 ms; 30 s is the usual choice")]
    LeaseTooShort,
    /// The retention is shorter than two leases.
    #[error("the retention must be at least two leases: a key that expires while its owner runs would run twice")]
    RetentionTooShort,
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
        const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
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
        Self { lease: Duration::from_secs(30), retention: Duration::from_secs(60) }
    }

    /// How long the lease lasts without renewal.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How long the key is remembered after the last claim, renewal or completion.
    pub const fn retention(&self) -> Duration {
        self.retention
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
