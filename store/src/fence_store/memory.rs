//! Highest fences in this process's memory, bounded.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::mark::{Mark, admit};
use super::{Admitted, FenceKey, FenceStore, Holder};
use crate::{Clock, Deadline, DeadlinePassed, MemoryStore, SteadyClock, StoreError, StoreFull, StoreTime};

const NAME: &str = "memory";

/// How many expired marks an admission drops on its way: more than the one that it can add, so the store shrinks after a
/// peak.
const DROPPED_PER_ADMISSION: usize = 8;

/// Highest fences in this process's memory: for a receiver of one process that may forget them when it ends.
///
/// After a restart an attempt that was superseded before it is admitted again. Where that matters, take a store that
/// lasts.
///
/// Cloning shares the marks. Their number is bounded ([`MemoryStore::DEFAULT_CAPACITY`] unless said otherwise; about 200
/// bytes each). A live mark is never forgotten to make room: a full store refuses keys that it does not know, with
/// [`StoreFull`], and goes on judging those that it does. Expired marks are dropped a few at a time by the admissions
/// themselves; there is no background task.
///
/// ```
/// use idempotency_store::MemoryFenceStore;
/// use std::num::NonZeroUsize;
///
/// let store = MemoryFenceStore::bounded(NonZeroUsize::new(10_000).unwrap());
/// assert!(store.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryFenceStore(Arc<Shared>);

struct Shared {
    marks: Mutex<Marks>,
    capacity: NonZeroUsize,
    clock: Arc<dyn Clock>,
}

impl MemoryFenceStore {
    /// An empty store of [`MemoryStore::DEFAULT_CAPACITY`] on a [`SteadyClock`].
    pub fn new() -> Self {
        Self::bounded(MemoryStore::DEFAULT_CAPACITY)
    }

    /// An empty store of at most `capacity` marks on a [`SteadyClock`].
    pub fn bounded(capacity: NonZeroUsize) -> Self {
        Self::with(capacity, Arc::new(SteadyClock::new()))
    }

    /// A **new, empty** store with the bound of this one, on another clock.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self::with(self.0.capacity, clock)
    }

    /// How many marks are held, expired ones included that were not dropped yet.
    pub fn len(&self) -> usize {
        self.0.marks().by_key.len()
    }

    /// Whether no mark is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with(capacity: NonZeroUsize, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { marks: Mutex::default(), capacity, clock }))
    }
}

impl Default for MemoryFenceStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryFenceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFenceStore").field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}

impl FenceStore for MemoryFenceStore {
    async fn admit(
        &self,
        key: &FenceKey,
        holder: Holder,
        retention: Duration,
        deadline: Deadline,
    ) -> Result<Admitted, StoreError> {
        if deadline.is_past() {
            return Err(StoreError::not_applied(NAME, DeadlinePassed));
        }
        let mut marks = self.0.marks();
        // Read under the guard, so that the order of the times is the order of the writes.
        let now = self.0.clock.now();
        marks.drop_expired(now, DROPPED_PER_ADMISSION);
        let (write, admitted) = admit(marks.by_key.get(key), now, holder, retention);
        if let Some(mark) = write {
            marks.put(*key, mark, self.0.capacity).map_err(|full| StoreError::not_applied(NAME, full))?;
        }
        Ok(admitted)
    }
}

impl Shared {
    /// The marks are whole whenever the guard is free: nothing under it panics between two writes.
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The marks and, for each of them, when it expires.
#[derive(Default)]
struct Marks {
    by_key: HashMap<FenceKey, Mark>,
    by_expiry: BTreeSet<(StoreTime, FenceKey)>,
}

impl Marks {
    /// Writes over what is there, or adds as long as there is room.
    fn put(&mut self, key: FenceKey, mark: Mark, capacity: NonZeroUsize) -> Result<(), StoreFull> {
        if !self.by_key.contains_key(&key) && self.by_key.len() >= capacity.get() {
            return Err(StoreFull { capacity: capacity.get() });
        }
        if let Some(old) = self.by_key.insert(key, mark) {
            self.by_expiry.remove(&(old.expires_at, key));
        }
        self.by_expiry.insert((mark.expires_at, key));
        Ok(())
    }

    /// Drops at most `limit` marks that have expired, the oldest first.
    fn drop_expired(&mut self, now: StoreTime, limit: usize) {
        for _ in 0..limit {
            match self.by_expiry.first() {
                Some(&(expires_at, key)) if expires_at <= now => {
                    self.by_expiry.pop_first();
                    self.by_key.remove(&key);
                }
                _ => return,
            }
        }
    }
}
