//! The records, divided among locks.

use std::array;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::room::Place;
use crate::record::{Record, Transition};
use crate::{Key, Listed, StoreTime};

/// The leading bits of a key that name its shard. Keys are digests, so each shard gets as many; and the shards are in the
/// order of their keys, so a listing goes from one to the next.
const BITS: u32 = 6;

/// Many more than the threads that a server has, so that two of them rarely meet; few enough that a full store looks through all
/// of them before it refuses a key.
const SHARDS: usize = 1 << BITS;

pub(super) struct Shards {
    others: Box<[Shard; SHARDS - 1]>,
    last: Shard,
}

/// On cache lines of its own: threads that use two shards do not slow each other down.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Shard(Mutex<Records>);

/// The records of a shard and, for each of them, when it expires.
#[derive(Default)]
pub(super) struct Records {
    /// Sorted, so that a page of a listing costs what it holds and not what the store holds.
    by_key: BTreeMap<Key, Record>,
    by_expiry: BTreeSet<(StoreTime, Key)>,
}

impl Shards {
    pub(super) fn new() -> Self {
        Self { others: Box::new(array::from_fn(|_| Shard::default())), last: Shard::default() }
    }

    /// The shard of a key.
    pub(super) fn of(&self, key: &Key) -> &Shard {
        self.others.get(index(key)).unwrap_or(&self.last)
    }

    /// All of them, in the order of their keys.
    pub(super) fn all(&self) -> impl Iterator<Item = &Shard> {
        self.others.iter().chain(iter::once(&self.last))
    }

    /// Those that hold keys behind `after`, and perhaps others before it.
    pub(super) fn behind(&self, after: Option<&Key>) -> impl Iterator<Item = &Shard> {
        self.all().skip(after.map_or(0, index))
    }
}

fn index(key: &Key) -> usize {
    let [leading, ..] = *key.as_bytes();
    usize::from(leading >> (u8::BITS - BITS))
}

impl Shard {
    /// The records are whole whenever the guard is free: a transition that panics has not touched them.
    pub(super) fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    /// Runs the transition and writes what it returns. Where there is no record, and `place` gives no room for one, hands the
    /// transition back.
    pub(super) fn transact<'r, R, F>(
        &mut self,
        key: Key,
        now: StoreTime,
        place: impl FnOnce() -> Option<Place<'r>>,
        transition: F,
    ) -> Result<R, F>
    where
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R>,
    {
        match self.by_key.entry(key) {
            Entry::Occupied(mut current) => {
                let Transition { write, reply } = transition(Some(current.get()), now);
                if let Some(record) = write {
                    let expires_at = record.expires_at();
                    let old = current.insert(record);
                    self.by_expiry.remove(&(old.expires_at(), key));
                    self.by_expiry.insert((expires_at, key));
                }
                Ok(reply)
            }
            Entry::Vacant(vacant) => {
                let Some(place) = place() else { return Err(transition) };
                let Transition { write, reply } = transition(None, now);
                if let Some(record) = write {
                    self.by_expiry.insert((record.expires_at(), key));
                    vacant.insert(record);
                    place.fill();
                }
                Ok(reply)
            }
        }
    }

    /// At most `limit` records behind `after`, in the order of their keys.
    pub(super) fn behind(&self, after: Option<Key>, limit: usize, now: StoreTime) -> impl Iterator<Item = Listed> {
        let found = self.by_key.range((after.map_or(Unbounded, Excluded), Unbounded)).take(limit);
        found.map(move |(key, record)| Listed::new(*key, record, now))
    }

    /// Drops at most `limit` records that have expired, the oldest first, and tells how many they were.
    pub(super) fn drop_expired(&mut self, now: StoreTime, limit: usize) -> usize {
        let mut dropped = 0;
        while dropped < limit {
            match self.by_expiry.first() {
                Some(&(expires_at, key)) if expires_at <= now => {
                    self.by_expiry.pop_first();
                    self.by_key.remove(&key);
                    dropped += 1;
                }
                _ => break,
            }
        }
        dropped
    }
}
