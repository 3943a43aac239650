//! The answers that are kept, and whether one of them may be told.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::moment::{Clocks, Moment};
use crate::{Attempt, Claimed, Clock, Completed, Fingerprint, Key};

/// What an entry takes besides its answer: key, times, and its place in the map.
const ENTRY_LEN: u64 = 256;

/// The cache is divided into parts with a lock each, none of them smaller than 32 answers of this size.
const LARGE: usize = 64 * 1024;

/// Answers that were replayed, bounded in bytes and time.
pub(super) struct Replays {
    ttl: Duration,
    capacity: NonZeroUsize,
    clocks: Clocks,
    kept: Cache<Key, Kept, Weight>,
    /// How often this process has forgotten everything.
    forgotten: AtomicU64,
    found: AtomicU64,
}

/// A completed record, as one claim saw it.
#[derive(Clone)]
struct Kept {
    fingerprint: Fingerprint,
    completed: Completed,
    until: Moment,
    forgotten: u64,
}

/// When a claim came: nothing counts that was kept for longer, and what it brings counts from here.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    at: Moment,
    forgotten: u64,
}

/// Forgets everything when it is dropped.
pub(super) struct Forgets<'a>(&'a AtomicU64);

#[derive(Clone, Copy)]
struct Weight;

impl Weighter<Key, Kept> for Weight {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        ENTRY_LEN.saturating_add(kept.completed.answer.as_bytes().len() as u64)
    }
}

impl Replays {
    pub(super) fn new(ttl: Duration, capacity: NonZeroUsize) -> Self {
        Self::on(ttl, capacity, Clocks::of_the_system())
    }

    pub(super) fn with_capacity(&self, capacity: NonZeroUsize) -> Self {
        Self::on(self.ttl, capacity, self.clocks.clone())
    }

    pub(super) fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self::on(self.ttl, self.capacity, Clocks::both(clock))
    }

    fn on(ttl: Duration, capacity: NonZeroUsize, clocks: Clocks) -> Self {
        let kept = Cache::with_weighter(capacity.get() / LARGE, capacity.get() as u64, Weight);
        Self { ttl, capacity, clocks, kept, forgotten: AtomicU64::new(0), found: AtomicU64::new(0) }
    }

    pub(super) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    /// A claim arrives.
    pub(super) fn arrival(&self) -> Arrival {
        Arrival { at: self.clocks.now(), forgotten: self.forgotten.load(Ordering::SeqCst) }
    }

    /// What the store would say of a key that it has said is completed, if that still counts.
    pub(super) fn find(&self, attempt: &Attempt, arrival: Arrival) -> Option<Claimed> {
        let kept = self.kept.get(&attempt.key)?;
        if !kept.counts_for(arrival) {
            // Another claim may have put a newer one in its place meanwhile.
            self.kept.remove_if(&attempt.key, |kept| !kept.counts_for(arrival));
            return None;
        }
        self.found.fetch_add(1, Ordering::Relaxed);
        Some(if kept.fingerprint == attempt.fingerprint {
            Claimed::Completed(kept.completed)
        } else {
            Claimed::Mismatch
        })
    }

    /// Keeps what the store has replayed to a claim.
    pub(super) fn keep(&self, attempt: &Attempt, completed: &Completed, arrival: Arrival) {
        let until = arrival.at.after(self.ttl, completed.expires_at);
        let Arrival { at, forgotten } = arrival;
        if at.is_before(until) {
            let kept = Kept { fingerprint: attempt.fingerprint, completed: completed.clone(), until, forgotten };
            self.kept.insert(attempt.key, kept);
        }
    }

    /// Whatever was replayed to claims that arrive before the result is dropped does not count after that.
    pub(super) const fn forgets(&self) -> Forgets<'_> {
        Forgets(&self.forgotten)
    }
}

impl Kept {
    /// Whether it may be told to a claim that arrives so.
    fn counts_for(&self, arrival: Arrival) -> bool {
        self.forgotten == arrival.forgotten && arrival.at.is_before(self.until)
    }
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replays").field("ttl", &self.ttl).field("capacity", &self.capacity).finish_non_exhaustive()
    }
}
