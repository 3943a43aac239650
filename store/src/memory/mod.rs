//! A bounded store in this process's memory.

mod room;
mod shards;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use self::room::{Place, Room};
use self::shards::{Records, Shards};
use crate::record::{Record, Transition};
use crate::{Clock, Deadline, DeadlinePassed, Key, Scanned, SteadyClock, StoreError, StoreTime, Transact};

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
/// Expired records are dropped a few at a time by the verbs themselves; there is no background task. Before a full store
/// refuses a key it looks for expired records everywhere.
///
/// The records are divided among locks, so verbs on different keys run at the same time. A page of
/// [`Store::list`](crate::Store::list) is in the order of the keys and holds every key that is there while it is made; but it is
/// made one part after the other, so of two keys that are written meanwhile it may show the later and not the earlier one.
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
    shards: Shards,
    room: Room,
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
        Self::with(self.0.room.capacity(), clock)
    }

    /// How many records are held, expired ones included that no verb has dropped yet. Never more than the bound; while
    /// verbs are running, those count that are about to add a record.
    pub fn len(&self) -> usize {
        self.0.room.taken()
    }

    /// Whether no record is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with(capacity: NonZeroUsize, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { shards: Shards::new(), room: Room::new(capacity), clock }))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("capacity", &self.0.room.capacity()).finish_non_exhaustive()
    }
}

impl Transact for MemoryStore {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        in_time(deadline)?;
        match self.0.transact(key, transition) {
            Ok(reply) => Ok(reply),
            Err(transition) => {
                self.0.transact_when_full(key, transition).map_err(|full| StoreError::not_applied(NAME, full))
            }
        }
    }

    async fn scan(
        &self,
        after: Option<Key>,
        limit: NonZeroUsize,
        deadline: Deadline,
    ) -> Result<Vec<Scanned>, StoreError> {
        in_time(deadline)?;
        let mut found = Vec::new();
        for shard in self.0.shards.behind(after.as_ref()) {
            let records = shard.lock();
            let now = self.0.clock.now();
            found.extend(records.behind(after, limit.get() - found.len(), now).map(Scanned::Record));
            if found.len() == limit.get() {
                break;
            }
        }
        Ok(found)
    }

    fn now(&self) -> StoreTime {
        self.0.clock.now()
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        in_time(deadline)?;
        self.0.drop_expired_anywhere();
        if self.0.room.is_full() { Err(StoreError::not_applied(NAME, self.0.full())) } else { Ok(()) }
    }
}

impl Shared {
    /// Hands the transition back if it might add a record, and the store is full.
    fn transact<R, F>(&self, key: Key, transition: F) -> Result<R, F>
    where
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R>,
    {
        let mut records = self.shards.of(&key).lock();
        // Read under the guard, so that the order of the times is the order of the writes.
        let now = self.clock.now();
        self.drop_expired(&mut records, now, DROPPED_PER_VERB);
        records.transact(key, now, || self.room.reserve(), transition)
    }

    /// The same, once nothing that has expired is left, or in the place of what was left.
    fn transact_when_full<R, F>(&self, key: Key, transition: F) -> Result<R, StoreFull>
    where
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R>,
    {
        // Before the guard: one thread holds one shard at a time.
        let place = self.place_of_an_expired().or_else(|| self.room.reserve());
        let mut records = self.shards.of(&key).lock();
        let now = self.clock.now();
        match records.transact(key, now, || place, transition) {
            Ok(reply) => Ok(reply),
            Err(transition) => match transition(None, now) {
                Transition { write: None, reply } => Ok(reply),
                Transition { write: Some(_), .. } => Err(self.full()),
            },
        }
    }

    fn place_of_an_expired(&self) -> Option<Place<'_>> {
        self.shards.all().find_map(|shard| {
            let mut records = shard.lock();
            let dropped = records.drop_expired(self.clock.now(), DROPPED_PER_VERB);
            self.room.take_over(dropped)
        })
    }

    fn drop_expired_anywhere(&self) {
        let mut left = DROPPED_PER_VERB;
        for shard in self.shards.all() {
            let mut records = shard.lock();
            left -= self.drop_expired(&mut records, self.clock.now(), left);
        }
    }

    fn drop_expired(&self, records: &mut Records, now: StoreTime, limit: usize) -> usize {
        let dropped = records.drop_expired(now, limit);
        self.room.give_back(dropped);
        dropped
    }

    fn full(&self) -> StoreFull {
        StoreFull { capacity: self.room.capacity().get() }
    }
}

fn in_time(deadline: Deadline) -> Result<(), StoreError> {
    if deadline.is_past() { Err(StoreError::not_applied(NAME, DeadlinePassed)) } else { Ok(()) }
}
