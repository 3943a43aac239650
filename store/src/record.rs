//! The life of one key: a record and its pure transitions.
//!
//! Each function takes the record as it is (or none), the store's time and a question, and returns the reply together
//! with what is to be written. They do no I/O and read no clock. A store that can read and write one record atomically runs
//! them through [`Transact`](crate::Transact); scripts and SQL of other stores are tested against them.
//!
//! A record holds one time only, `since`: when its present state began or its lease was last renewed. Its lease lapses
//! at `since + lease`, and it expires at `since + retention` (a released one after a minute). Redis derives the same time
//! from the key's remaining expiry, so all stores judge alike.

use std::time::Duration;

pub use crate::state::{RELEASED_TOMBSTONE, Record, State};
use crate::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Entry, Erased, Fence, Fingerprint, Grant,
    Key, Loss, OnAbandoned, Owner, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Standing,
    StoreTime, Terms,
};

/// A caller's high-water that is further ahead of the store's clock than this is not spread to other keys.
pub const MAX_HIGH_WATER_LEAD: Duration = Duration::from_secs(60 * 60);

/// What a verb does to the record, and what it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition<R> {
    /// The record to write, or `None` to leave the store untouched.
    pub write: Option<Record>,
    /// The reply, valid once the write is done.
    pub reply: R,
}

impl<R> Transition<R> {
    const fn keep(reply: R) -> Self {
        Self { write: None, reply }
    }

    const fn put(record: Record, reply: R) -> Self {
        Self { write: Some(record), reply }
    }
}

/// The record, unless it has expired.
fn live(current: Option<&Record>, now: StoreTime) -> Option<&Record> {
    current.filter(|record| now < record.expires_at())
}

/// The next fence: at least the store's time, and greater than every fence that the key or the caller has seen.
///
/// A high-water far ahead of the clock comes from one broken clock; it is left to the key that carries it.
fn next_fence(now: StoreTime, previous: Option<Fence>, high_water: Option<Fence>) -> Fence {
    let ceiling = now.after(MAX_HIGH_WATER_LEAD).as_micros();
    let high_water = high_water.filter(|fence| fence.get() <= ceiling);
    let above = |fence: Option<Fence>| fence.map_or(0, |fence| fence.get().saturating_add(1));
    Fence::new(now.as_micros().max(above(previous)).max(above(high_water)))
}

/// Asks for the key.
pub fn claim(current: Option<&Record>, now: StoreTime, claim: &Claim) -> Transition<Claimed> {
    let Some(record) = live(current, now) else {
        return acquire(claim, now, None, 1, None);
    };
    let attempt = claim.attempt;
    match &record.state {
        State::Released if record.owner == attempt.owner => Transition::keep(Claimed::Stale),
        State::Released => acquire(claim, now, Some(record.fence), 1, None),
        _ if record.fingerprint != attempt.fingerprint => Transition::keep(Claimed::Mismatch),
        State::Completed(answer) => Transition::keep(Claimed::Completed(record.completed(answer))),
        State::InFlight { checkpoint } if record.owner == attempt.owner => {
            // Its reply was lost. The lease starts anew: the answer that the owner acts on is this one.
            let renewed = Record { since: now, ..record.clone() };
            let reply = Claimed::Acquired { grant: renewed.grant(attempt), checkpoint: checkpoint.clone() };
            Transition::put(renewed, reply)
        }
        State::InFlight { .. } | State::Indeterminate { .. } => claim_held(record, now, claim),
    }
}

/// A claim on a key that another attempt holds or held.
fn claim_held(record: &Record, now: StoreTime, claim: &Claim) -> Transition<Claimed> {
    let Some(known) = record.indeterminate(now) else {
        return Transition::keep(Claimed::InFlight { remaining: record.remaining(now) });
    };
    match claim.on_abandoned {
        // An owner that asks again for a key that it has given up is a delayed duplicate of its first claim.
        OnAbandoned::Reexecute { max_attempts }
            if record.attempts < max_attempts.get() && record.owner != claim.attempt.owner =>
        {
            acquire(claim, now, Some(record.fence), record.attempts.saturating_add(1), known.checkpoint)
        }
        // The fence stays: a paused owner that comes back can still complete.
        _ => Transition::keep(Claimed::Indeterminate(known)),
    }
}

fn acquire(
    claim: &Claim,
    now: StoreTime,
    previous: Option<Fence>,
    attempts: u32,
    checkpoint: Option<Checkpoint>,
) -> Transition<Claimed> {
    let record = Record {
        state: State::InFlight { checkpoint: checkpoint.clone() },
        attempts,
        fence: next_fence(now, previous, claim.high_water),
        ..first(claim, now)
    };
    let grant = record.grant(claim.attempt);
    Transition::put(record, Claimed::Acquired { grant, checkpoint })
}

/// Whether a verb that finds no record may write it again: the grant is younger than its retention, and the verb was
/// issued so recently that a tombstone of its own release could not have expired meanwhile.
fn may_recreate(now: StoreTime, issued_at: StoreTime, grant: &Grant) -> bool {
    let granted_at = StoreTime::from_micros(grant.fence.get());
    now.since(granted_at) < grant.terms.retention() && now.since(issued_at) < RELEASED_TOMBSTONE
}

/// The record of a first claim on an absent key, for stores that can write it without looking.
pub(crate) fn first(claim: &Claim, now: StoreTime) -> Record {
    Record {
        state: State::InFlight { checkpoint: None },
        owner: claim.attempt.owner,
        fence: next_fence(now, None, claim.high_water),
        attempts: 1,
        fingerprint: claim.attempt.fingerprint,
        terms: claim.terms,
        since: now,
    }
}

/// Makes the lease last its full term from now. `issued_at` is when the owner asked, on the store's clock.
pub fn renew(current: Option<&Record>, now: StoreTime, issued_at: StoreTime, grant: &Grant) -> Transition<Renewed> {
    match live(current, now) {
        None if may_recreate(now, issued_at, grant) => {
            Transition::put(Record::in_flight(grant, now), Renewed::Recreated)
        }
        None => Transition::keep(Renewed::Lost(Loss::Absent)),
        Some(record) => match &record.state {
            State::InFlight { .. } if record.is_held_by(grant) => {
                Transition::put(Record { since: now, ..record.clone() }, Renewed::Held)
            }
            _ => Transition::keep(Renewed::Lost(record.loss(now, grant.attempt.fingerprint))),
        },
    }
}

/// Records the answer, even past the lease's deadline as long as nobody took over.
///
/// The record's retention becomes that of the answer, if it has its own. Whether a lost record is written again does not
/// depend on it: the key was to be remembered for the grant's retention while its owner ran.
pub fn complete(
    current: Option<&Record>,
    now: StoreTime,
    issued_at: StoreTime,
    grant: &Grant,
    completion: &Completion,
) -> Transition<Recorded> {
    match live(current, now) {
        None if may_recreate(now, issued_at, grant) => {
            Transition::put(Record::in_flight(grant, now).with_answer(completion, now), Recorded::Recreated)
        }
        None => Transition::keep(Recorded::Lost(Loss::Absent)),
        Some(record) => match &record.state {
            State::InFlight { .. } | State::Indeterminate { .. } if record.is_held_by(grant) => {
                Transition::put(record.with_answer(completion, now), Recorded::Recorded)
            }
            State::Completed(_) if record.is_held_by(grant) => Transition::keep(Recorded::Recorded),
            _ => Transition::keep(Recorded::Lost(record.loss(now, grant.attempt.fingerprint))),
        },
    }
}

/// Keeps a note with the key. The lease's deadline does not move.
pub fn checkpoint(
    current: Option<&Record>,
    now: StoreTime,
    grant: &Grant,
    checkpoint: &Checkpoint,
) -> Transition<Checkpointed> {
    let Some(record) = live(current, now) else {
        return Transition::keep(Checkpointed::Lost(Loss::Absent));
    };
    match &record.state {
        State::InFlight { .. } if record.is_held_by(grant) => {
            let state = State::InFlight { checkpoint: Some(checkpoint.clone()) };
            Transition::put(record.with_state(state, record.since), Checkpointed::Held)
        }
        _ => Transition::keep(Checkpointed::Lost(record.loss(now, grant.attempt.fingerprint))),
    }
}

/// Gives the key back, because this attempt is known not to have run. `fence` is `None` where the claim's reply was never
/// seen.
///
/// A key that was taken over is indeterminate again, with its fence, attempts and checkpoint: nobody knows about the
/// earlier attempt any more than before.
///
/// A key that is absent gets the tombstone too: the claim that is being given up may still be on its way, and would
/// otherwise leave a record that nobody owns.
pub fn release(
    current: Option<&Record>,
    now: StoreTime,
    attempt: &Attempt,
    fence: Option<Fence>,
) -> Transition<Released> {
    let Some(record) = live(current, now) else {
        return Transition::put(tombstone(now, attempt, fence), Released::Absent);
    };
    let owned = record.owner == attempt.owner && fence.is_none_or(|fence| fence == record.fence);
    match &record.state {
        State::InFlight { .. } if owned && record.attempts <= 1 => {
            Transition::put(record.with_state(State::Released, now), Released::Released)
        }
        // The attempt that took over did not run; an earlier one may have.
        State::InFlight { checkpoint } if owned => {
            let state = State::Indeterminate { reason: Reason::TakeoverReleased, checkpoint: checkpoint.clone() };
            Transition::put(record.with_state(state, now), Released::Indeterminate)
        }
        State::Indeterminate { reason: Reason::TakeoverReleased, .. } if owned => {
            Transition::keep(Released::Indeterminate)
        }
        State::Released if record.owner == attempt.owner => Transition::keep(Released::Released),
        _ => Transition::keep(Released::Lost(record.loss(now, attempt.fingerprint))),
    }
}

fn tombstone(now: StoreTime, attempt: &Attempt, fence: Option<Fence>) -> Record {
    Record {
        state: State::Released,
        owner: attempt.owner,
        fence: fence.unwrap_or(Fence::new(0)).max(Fence::new(now.as_micros())),
        attempts: 0,
        fingerprint: attempt.fingerprint,
        terms: Terms::of_tombstone(),
        since: now,
    }
}

/// Says at once that nobody knows whether the work was done, instead of letting the lease lapse.
pub fn abandon(current: Option<&Record>, now: StoreTime, grant: &Grant, reason: Reason) -> Transition<Abandoned> {
    let Some(record) = live(current, now) else {
        return Transition::keep(Abandoned::Lost(Loss::Absent));
    };
    match &record.state {
        State::InFlight { checkpoint } if record.is_held_by(grant) => {
            let state = State::Indeterminate { reason, checkpoint: checkpoint.clone() };
            Transition::put(record.with_state(state, now), Abandoned::Abandoned)
        }
        State::Indeterminate { .. } if record.is_held_by(grant) => Transition::keep(Abandoned::Abandoned),
        _ => Transition::keep(Abandoned::Lost(record.loss(now, grant.attempt.fingerprint))),
    }
}

/// Settles an indeterminate key, if it still is the one that was looked at.
pub fn resolve(current: Option<&Record>, now: StoreTime, seen: Seen, resolution: &Resolution) -> Transition<Resolved> {
    let indeterminate = live(current, now).filter(|record| record.indeterminate(now).is_some() && record.is_as(seen));
    let Some(record) = indeterminate else {
        return Transition::keep(Resolved::Conflict);
    };
    let resolved = match resolution {
        // The record loses its owner: a late completion of that owner must learn that another answer stands, or its
        // client would get one and every retry the other.
        Resolution::Completed(answer) => {
            Record { owner: Owner::NOBODY, ..record.with_state(State::Completed(answer.clone()), now) }
        }
        Resolution::NotExecuted => record.with_state(State::Released, now),
    };
    Transition::put(resolved, Resolved::Resolved)
}

/// Looks, and writes nothing.
pub fn inspect(current: Option<&Record>, now: StoreTime, key: Key) -> Transition<Option<Entry>> {
    Transition::keep(live(current, now).map(|record| Entry { key, record: record.clone(), at: now }))
}

/// Forgets a key that nobody runs, if it still is the one that was looked at. What stays for a minute is a tombstone with
/// its fence, of no owner: what the last owner sent before cannot settle the key any more.
pub fn erase(current: Option<&Record>, now: StoreTime, seen: Seen) -> Transition<Erased> {
    let Some(record) = live(current, now) else {
        return Transition::keep(Erased::Absent);
    };
    match record.standing(now) {
        _ if record.fence != seen.fence => Transition::keep(Erased::Conflict),
        Standing::InFlight => Transition::keep(Erased::InFlight { remaining: record.remaining(now) }),
        Standing::Released if record.owner == Owner::NOBODY => Transition::keep(Erased::Erased),
        _ if !record.is_as(seen) => Transition::keep(Erased::Conflict),
        _ => {
            let nobodys =
                Attempt { key: Key::new([0; 32]), owner: Owner::NOBODY, fingerprint: Fingerprint::new([0; 32]) };
            Transition::put(Record { fence: record.fence, ..tombstone(now, &nobodys, None) }, Erased::Erased)
        }
    }
}
