//! The bound of a store whose records lie in several shards.

use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many records there are, of how many there may be. A place is reserved before a record is added, so the bound holds at
/// every moment, whatever the shards do at the same time.
///
/// The order of this number and other memory does not matter: who may touch a record is decided by its shard's lock.
pub(super) struct Room {
    capacity: NonZeroUsize,
    taken: AtomicUsize,
}

/// The right to add one record. Given back when it is dropped.
pub(super) struct Place<'a>(&'a Room);

impl Room {
    pub(super) const fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, taken: AtomicUsize::new(0) }
    }

    pub(super) const fn capacity(&self) -> NonZeroUsize {
        self.capacity
    }

    /// The places that are taken: those of records, and those of the verbs that are about to add one.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken() >= self.capacity.get()
    }

    pub(super) fn reserve(&self) -> Option<Place<'_>> {
        let one_more = |taken: usize| (taken < self.capacity.get()).then(|| taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Place(self))
    }

    /// Gives back the places of records that were dropped. To be called under the lock that they were dropped under: then
    /// nobody finds their shard empty and their places taken.
    pub(super) fn give_back(&self, places: usize) {
        if places > 0 {
            self.taken.fetch_sub(places, Ordering::Relaxed);
        }
    }

    /// The same, but for one place, which is reserved again at once, so that it cannot go to somebody else.
    pub(super) fn take_over(&self, places: usize) -> Option<Place<'_>> {
        self.give_back(places.checked_sub(1)?);
        Some(Place(self))
    }
}

impl Place<'_> {
    /// The record is there; its place stays taken until [`Room::give_back`].
    pub(super) fn fill(self) {
        mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}
