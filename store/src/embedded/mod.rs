//! A durable store in one file of this host, on [redb](https://docs.rs/redb).
//!
//! # What it promises
//!
//! 1. A verb answers after what it wrote is on the disk (`fdatasync`). A granted claim survives `kill -9` and
//!    the loss of power, as far as the disk keeps its own promises.
//! 2. Verbs that wait at the same time share a commit, so the disk bounds the latency of a verb and hardly the throughput of
//!    the store.
//! 3. One process has the file open; the next is refused. Time on the store's clock does not go back over a restart.
//! 4. A file that is not a store, or not whole, is refused and left exactly as it is.
//! 5. A record whose bytes are damaged is never executed over and never overwritten before it expires.
//! 6. After a failure of the disk the store opens its file again by itself, with the next verb.
//!
//! Every verb is blocking work; it runs on a thread of the store's own. The futures need a tokio runtime whose time driver is
//! enabled.
//!
//! # Example
//!
//! ```
//! use idempotency_store::{Deadline, EmbeddedStore, Store};
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("keys.redb");
//! let store = EmbeddedStore::open(&path).await.unwrap();
//! assert!(store.ping(Deadline::after(Duration::from_secs(1))).await.is_ok());
//!
//! // One process, one store, one file.
//! let refused = EmbeddedStore::open(&path).await.unwrap_err();
//! assert!(refused.to_string().contains("in use by another process"));
//!
//! store.close().await;
//! assert!(EmbeddedStore::open(&path).await.is_ok());
//! # });
//! ```
//!
//! # The file
//!
//! Copy it while no process has it open. It holds what the handlers answered, so it is created readable by its owner only.
//! Its length follows the largest number of records that were live at a time; the space of expired ones is used again, and
//! given back to the file system as the end of the file becomes free.
//!
//! After a crash a file of up to 256 MiB is read from beginning to end as it is opened, to find what is free and to check it:
//! within about a second, if the system has it in memory. So its commits need one sync. Above that a commit notes what is free, which
//! takes a second sync, and the file opens in milliseconds, whatever its length. A file that was
//! [closed](EmbeddedStore::close) opens as fast. The records are the same either way.
//!
//! The format has a number. A version of this crate reads the files of the versions before it, and refuses those of later
//! ones; a file that it has opened is of its own format from then on. Network file systems whose locks or syncs are not those of a local disk void every promise above.

mod checksum;
mod handle;
mod jobs;
mod marks;
mod open;
mod refusal;
mod rehearsal;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::refusal::{OpenError, Refusal};

use self::handle::Handle;
use self::jobs::Reply;
use self::open::OnDisk;
use self::tables::{ReadError, Tables};
use crate::fence_store::mark::Mark;
use crate::fence_store::{Admitted, FenceKey};
use crate::record::{Record, Transition};
use crate::{Clock, Deadline, Key, Scanned, SteadyClock, StoreError, StoreTime, Transact};

const NAME: &str = "embedded";

/// Records in one file of this host; see the [module's documentation](self) for what it promises.
///
/// Cloning shares the store. When the last clone is dropped the file is closed in the background;
/// [`EmbeddedStore::close`] waits for it.
#[derive(Clone)]
pub struct EmbeddedStore(Arc<Handle>);

/// How much the store has done since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Verbs that were carried out or failed in the attempt, sweeps and pings included.
    pub verbs: u64,
    /// Verbs that changed the file.
    pub writes: u64,
    /// Commits that carried them. Much less than `writes` under load.
    pub commits: u64,
    /// Expired records and fences that were removed.
    pub swept: u64,
}

/// The store was closed; nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store was closed")]
pub struct Closed;

/// The database panicked in the attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the database panicked")]
struct Panicked;

impl EmbeddedStore {
    /// Opens the store in the file at `path`, which is created if it does not exist.
    ///
    /// Its clock is a [`SteadyClock`] that starts at the wall clock's time, or at the greatest time noted in the file if the
    /// wall clock has gone back since.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which names the path, the reason and the remedy. The file is then as it was before.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the file may have been created; it is closed in the background.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let clock = |time| -> Arc<dyn Clock> { Arc::new(SteadyClock::starting_at(SteadyClock::new().now().max(time))) };
        Ok(Self(Arc::new(Handle::start(OnDisk::new(path.as_ref()), clock).await?)))
    }

    /// The same on another clock, for tests. It must not be behind the clock that the file was written with.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedStore::open`].
    pub async fn open_with_clock(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Handle::start(OnDisk::new(path.as_ref()), |_| clock).await?)))
    }

    /// Closes the file, for this handle and all of its clones, and waits until it is unlocked. Verbs that were queued
    /// before are carried out; later ones are refused with [`Closed`]. Closing twice is as good as once.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the file is closed even if the future is dropped.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Removes at most `limit` records and fences that have expired, and tells how many they were. Transactions do so on their own,
    /// a few at a time, and so does an idle store; this is for those who want the space now.
    ///
    /// # Errors
    ///
    /// As for any verb; asking again is always safe.
    pub async fn sweep(&self, limit: usize, deadline: Deadline) -> Result<usize, StoreError> {
        let sweep = move |tables: &mut Tables<'_>, now| {
            let swept = tables.sweep(now, limit)?;
            Ok(Reply { reply: Ok(swept), wrote: swept > 0 })
        };
        let swept = self.0.call(deadline, sweep).await?;
        self.0.counters().swept.fetch_add(swept as u64, Ordering::Relaxed);
        Ok(swept)
    }

    /// How many records the file holds, expired ones included that were not swept yet.
    ///
    /// # Errors
    ///
    /// As for any verb.
    pub async fn count(&self, deadline: Deadline) -> Result<u64, StoreError> {
        self.0.call(deadline, |tables, _| Ok(Reply { reply: Ok(tables.count()?), wrote: false })).await
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = self.0.counters();
        Stats {
            verbs: read(&counters.verbs),
            writes: read(&counters.writes),
            commits: read(&counters.commits),
            swept: read(&counters.swept),
        }
    }

    /// Reads the mark of a key, lets `admit` decide, and writes what that returns, in one transaction.
    pub(crate) async fn mark<F>(&self, key: FenceKey, deadline: Deadline, admit: F) -> Result<Admitted, StoreError>
    where
        F: FnOnce(Option<&Mark>, StoreTime) -> (Option<Mark>, Admitted) + Send + 'static,
    {
        let verb = move |tables: &mut Tables<'_>, now| {
            let current = match tables.marks.get(&key) {
                Ok(current) => current,
                Err(ReadError::Storage(error)) => return Err(error),
                Err(ReadError::Record(error)) => {
                    return Ok(Reply { reply: Err(StoreError::corrupt(NAME, error)), wrote: false });
                }
            };
            let (write, admitted) = admit(current.as_ref(), now);
            if let Some(mark) = &write {
                tables.marks.put(&key, current.as_ref(), mark)?;
            }
            Ok(Reply { reply: Ok(admitted), wrote: write.is_some() })
        };
        self.0.call(deadline, verb).await
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl Transact for EmbeddedStore {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        let verb = move |tables: &mut Tables<'_>, now| {
            let current = match tables.get(&key) {
                Ok(current) => current,
                Err(ReadError::Storage(error)) => return Err(error),
                Err(ReadError::Record(error)) => {
                    return Ok(Reply { reply: Err(StoreError::corrupt(NAME, error)), wrote: false });
                }
            };
            let Transition { write, reply } = transition(current.as_ref(), now);
            if let Some(record) = &write {
                tables.put(&key, current.as_ref(), record)?;
            }
            Ok(Reply { reply: Ok(reply), wrote: write.is_some() })
        };
        self.0.call(deadline, verb).await
    }

    async fn scan(
        &self,
        after: Option<Key>,
        limit: NonZeroUsize,
        deadline: Deadline,
    ) -> Result<Vec<Scanned>, StoreError> {
        let scan = move |tables: &mut Tables<'_>, now| {
            Ok(Reply { reply: Ok(tables.scan(after, limit.get(), now)?), wrote: false })
        };
        self.0.call(deadline, scan).await
    }

    fn now(&self) -> StoreTime {
        self.0.now()
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        // Passes through the queue and opens the tables, after a failure the file too.
        self.0.call(deadline, |_, _| Ok(Reply { reply: Ok(()), wrote: false })).await
    }
}
