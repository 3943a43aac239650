//! What the verbs of a store ask and answer. One type per question and per reply; no logic.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::{Answer, Attempt, Checkpoint, Completed, Fence, Grant, StoreTime, Terms};

/// Asking for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Who asks for what.
    pub attempt: Attempt,
    /// The terms to grant it on; a record that exists keeps its own.
    pub terms: Terms,
    /// The greatest fence that the caller has seen, so that fences grow even over a store whose clock went back.
    pub high_water: Option<Fence>,
    /// What to do with a key whose last owner is gone.
    pub on_abandoned: OnAbandoned,
}

/// What a claim does with an indeterminate key: one that an owner held and did not complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnAbandoned {
    /// Nothing: nobody knows whether it ran, so it is not run again.
    #[default]
    Refuse,
    /// Take it over with a greater fence, as long as fewer than this many attempts have run.
    Reexecute {
        /// How many attempts may run in all, the first included.
        max_attempts: NonZeroU32,
    },
}

/// The reply to a claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claimed {
    /// The caller owns the key now, or owned it already and lost the reply.
    Acquired {
        /// The lease and what goes with it.
        grant: Grant,
        /// What an earlier owner left, if this is a take-over.
        checkpoint: Option<Checkpoint>,
    },
    /// Another attempt holds the lease.
    InFlight {
        /// The time until its lease lapses.
        remaining: Duration,
    },
    /// The work is done.
    Completed(Completed),
    /// The key was used for a different request.
    Mismatch,
    /// An owner held the key and nobody knows whether it ran.
    Indeterminate(Indeterminate),
    /// This very attempt was released before; the claim was a delayed duplicate and is void.
    Stale,
}

/// What is known of a key whose last owner is gone: enough for somebody who can find out whether it ran to do so, and to
/// [`resolve`](crate::Store::resolve) it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Indeterminate {
    /// The fence of the last owner; [`Store::resolve`](crate::Store::resolve) and [`Store::erase`](crate::Store::erase)
    /// ask for it.
    pub fence: Fence,
    /// How many attempts were granted the key.
    pub attempts: u32,
    /// When the key was last claimed, renewed or marked, on the store's clock.
    pub since: StoreTime,
    /// Why the owner gave up; `None` if it did not say so: its lease lapsed.
    pub reason: Option<Reason>,
    /// How long ago, on the store's clock, the key was last claimed, renewed or marked. Whether an effect of the last owner
    /// can still arrive is to be judged by this, and by nothing that the caller's clock says.
    pub quiet_for: Duration,
    /// What an owner noted last.
    pub checkpoint: Option<Checkpoint>,
}

impl Indeterminate {
    /// What to give to [`Store::resolve`](crate::Store::resolve) or [`Store::erase`](crate::Store::erase), so that nothing is
    /// settled that has changed since.
    pub const fn seen(&self) -> Seen {
        Seen { fence: self.fence, since: Some(self.since) }
    }
}

/// A key as it was seen by somebody who decides about it, and what has to be unchanged for the decision to count.
///
/// An owner that was stopped may come back, renew its lapsed lease and act, without a new fence. So the fence alone does
/// not tell that nothing has happened; the time does. [`Indeterminate::seen`], [`Entry::seen`](crate::Entry::seen) and
/// [`Listed::seen`](crate::Listed::seen) have both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The fence of the last owner.
    pub fence: Fence,
    /// When the key was last claimed, renewed or settled; `None` leaves that out of account.
    pub since: Option<StoreTime>,
}

impl From<Fence> for Seen {
    /// The fence alone: whatever its owner has done meanwhile is left out of account.
    fn from(fence: Fence) -> Self {
        Self { fence, since: None }
    }
}

/// How the key stands when a verb finds that its caller does not hold it any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Another attempt holds the lease.
    InFlight {
        /// The time until its lease lapses.
        remaining: Duration,
    },
    /// Another attempt completed the same request; this is its answer.
    Completed(Completed),
    /// Marked or lapsed, and its outcome unknown.
    Indeterminate,
    /// Known not to have run.
    Released,
    /// The key now belongs to a different request.
    Mismatch,
    /// There is no record, and it is too late to write it again.
    Absent,
}

/// The reply to a renewal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Renewed {
    /// The lease lasts its full term from now.
    Held,
    /// The store had lost the record; it was written again. Raise an alarm: a duplicate may have run in between.
    Recreated,
    /// The caller does not hold the key. It must not start anything new.
    Lost(Loss),
}

/// The reply to a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checkpointed {
    /// Stored; the lease's deadline is unchanged.
    Held,
    /// The caller does not hold the key.
    Lost(Loss),
}

/// The reply to a completion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// The answer is what every later attempt gets.
    Recorded,
    /// The store had lost the record; it was written again, completed. Raise an alarm.
    Recreated,
    /// Nothing was written: the caller does not hold the key.
    Lost(Loss),
}

/// The reply to a release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Released {
    /// The next claim of another attempt is granted.
    Released,
    /// This attempt had taken over, and an earlier one may have run: the key is indeterminate, as before the take-over.
    Indeterminate,
    /// There was no record; a tombstone now refuses a claim of this attempt that is still on its way.
    Absent,
    /// The caller does not hold the key.
    Lost(Loss),
}

/// Why an owner gave up a key without knowing whether its work was done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The handler panicked.
    Panic,
    /// The handler failed without an answer.
    Failure,
    /// The process shut down before the handler was done.
    Shutdown,
    /// The attempt was cancelled while the handler ran.
    Cancelled,
    /// An earlier attempt may have run; the one that took over from it gave the key back without running.
    TakeoverReleased,
}

/// The reply to an abandonment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Abandoned {
    /// The key is indeterminate now, without waiting for the lease to lapse.
    Abandoned,
    /// The caller does not hold the key.
    Lost(Loss),
}

/// What somebody who knows says about an indeterminate key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// It ran, and this is the answer to replay.
    Completed(Answer),
    /// It did not run; the next claim is granted.
    NotExecuted,
}

/// The reply to a resolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolved {
    /// The key stands as was said.
    Resolved,
    /// The key is not indeterminate under that fence any more; look again before deciding anew.
    Conflict,
}

/// The reply to an erasure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Erased {
    /// The key is forgotten, and the next request with it runs.
    Erased,
    /// An attempt is running; nothing was written. Let it end, or its lease lapse.
    InFlight {
        /// The time until its lease lapses.
        remaining: Duration,
    },
    /// The key has another fence than the one that was seen; nothing was written. Look again before deciding anew.
    Conflict,
    /// There is no record.
    Absent,
}
