//! A bounded store in this process's memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::record::{Record, Transition};
use crate::{Clock, Deadline, DeadlinePassed, Key, Listed, Scanned, SteadyClock, StoreError, StoreTime, Transact};

const NAME: &str = "memory";

/// How many expired records a verb drops on its way. More than the one that a verb can add, so the store shrinks after a
/// peak; few enough that no caller pays for the peak alone.
const DROPPED_PER_VERB: usize = 8;

/// Records in this process's memory: for one process, for tests, and for keys that need not survive a restart.
///
/// Cloning shares the records. The number of records is bounded ([`MemoryStore::DEFAULT_CAPACITY`] unless said
/// otherwise); their bytes are not, so the bound on a recorded answer is the other half of the sum. A live record is never
/// evicted: a full store refuses keys that it does not know, with [`StoreFull`], and goes on serving those that it does.
///
/// Expired records are dropped a few at a time by the verbs themselves; there is no background task.
///
/// ```
/// use idempotency_store::MemoryStore;
/// use std::num::NonZeroUsize;
///
/// let store = MemoryStore::bounded(NonZeroUsize::new(10_000).unwrap());
/// assert!(store.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    records: Mutex<Records>,
    capacity: NonZeroUsize,
    clock: Arc<dyn Clock>,
}

/// The store holds as many live records as it may; nothing was written.
///
/// Found as the [source](std::error::Error::source) of a [`NotApplied`](crate::ErrorKind::NotApplied) error. Either more
/// keys arrive within their retention than was planned for (raise the bound or shorten the retention), or somebody floods
/// the service with fresh keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store is full: all of its {capacity} records are live")]
pub struct StoreFull {
    /// The bound of the store.
    pub capacity: usize,
}

impl MemoryStore {
    /// One million records; with small answers, a few hundred megabytes.
    pub const DEFAULT_CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999_999);

    /// An empty store of [`MemoryStore::DEFAULT_CAPACITY`] on a [`SteadyClock`].
    pub fn new() -> Self {
        Self::bounded(Self::DEFAULT_CAPACITY)
    }

    /// An empty store of at most `capacity` records on a [`SteadyClock`].
    pub fn bounded(capacity: NonZeroUsize) -> Self {
        Self::with(capacity, Arc::new(SteadyClock::new()))
    }

    /// A **new, empty** store with the bound of this one, on another clock. A store has one clock for life, so this one
    /// and its clones stay as they are.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self::with(self.0.capacity, clock)
    }

    /// How many records are held, expired ones included that no verb has dropped yet.
    pub fn len(&self) -> usize {
        self.0.records().by_key.len()
    }

    /// Whether no record is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with(capacity: NonZeroUsize, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { records: Mutex::default(), capacity, clock }))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}

impl Transact for MemoryStore {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        in_time(deadline)?;
        let mut records = self.0.records();
        // Read under the guard, so that the order of the times is the order of the writes.
        let now = self.0.clock.now();
        records.drop_expired(now, DROPPED_PER_VERB);
        let Transition { write, reply } = transition(records.by_key.get(&key), now);
        if let Some(record) = write {
            records.put(key, record, self.0.capacity).map_err(|full| StoreError::not_applied(NAME, full))?;
        }
        Ok(reply)
    }

    async fn scan(
        &self,
        after: Option<Key>,
        limit: NonZeroUsize,
        deadline: Deadline,
    ) -> Result<Vec<Scanned>, StoreError> {
        in_time(deadline)?;
        let records = self.0.records();
        let now = self.0.clock.now();
        let behind = records.by_key.range((after.map_or(Unbounded, Excluded), Unbounded)).take(limit.get());
        Ok(behind.map(|(key, record)| Scanned::Record(Listed::new(*key, record, now))).collect())
    }

    fn now(&self) -> StoreTime {
        self.0.clock.now()
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        in_time(deadline)?;
        let mut records = self.0.records();
        records.drop_expired(self.0.clock.now(), DROPPED_PER_VERB);
        records.has_room(self.0.capacity).map_err(|full| StoreError::not_applied(NAME, full))
    }
}

impl Shared {
    /// The records are whole whenever the guard is free: a transition that panics has not touched them.
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_time(deadline: Deadline) -> Result<(), StoreError> {
    if deadline.is_past() { Err(StoreError::not_applied(NAME, DeadlinePassed)) } else { Ok(()) }
}

/// The records and, for each of them, when it expires.
#[derive(Default)]
struct Records {
    /// Sorted, so that a page of a listing costs what it holds and not what the store holds.
    by_key: BTreeMap<Key, Record>,
    by_expiry: BTreeSet<(StoreTime, Key)>,
}

impl Records {
    /// Writes over what is there, or adds as long as there is room.
    fn put(&mut self, key: Key, record: Record, capacity: NonZeroUsize) -> Result<(), StoreFull> {
        if !self.by_key.contains_key(&key) {
            self.has_room(capacity)?;
        }
        let expires_at = record.expires_at();
        if let Some(old) = self.by_key.insert(key, record) {
            self.by_expiry.remove(&(old.expires_at(), key));
        }
        self.by_expiry.insert((expires_at, key));
        Ok(())
    }

    fn has_room(&self, capacity: NonZeroUsize) -> Result<(), StoreFull> {
        if self.by_key.len() < capacity.get() { Ok(()) } else { Err(StoreFull { capacity: capacity.get() }) }
    }

    /// Drops at most `limit` records that have expired, the oldest first.
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
