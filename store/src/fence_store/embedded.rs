//! Highest fences in one file of this host.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::mark::admit;
use super::{Admitted, FenceKey, FenceStore, Holder};
use crate::embedded::OpenError;
use crate::{Clock, Deadline, EmbeddedStore, StoreError};

/// Highest fences in one file of this host, durable before they are answered, through `kill -9` and loss of power.
///
/// The file is that of an [`EmbeddedStore`], with everything that [its module](crate::embedded) says: one process, a thread of
/// its own, commits that are shared by those who wait. A receiver that also keeps keys takes the fences of the same store,
/// [`EmbeddedStore::fences`]; then they share the file, its clock, and the commits.
///
/// ```
/// use idempotency_store::*;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("keys.redb");
/// # let (day, key) = (Duration::from_secs(86_400), FenceKey::new([1; 32]));
/// # let soon = || Deadline::after(Duration::from_secs(10));
/// # let [low, high] = [33, 34].map(|fence| Holder { fence: Fence::new(fence), owner: Owner::new([7; 16]) });
/// let store = EmbeddedStore::open(&path).await.unwrap();
/// store.fences().admit(&key, high, day, soon()).await.unwrap();
/// store.close().await;
///
/// let fences = EmbeddedFenceStore::open(&path).await.unwrap();
/// let late = fences.admit(&key, low, day, soon()).await.unwrap();
/// assert_eq!(late, Admitted::Fenced { highest: Fence::new(34) });
/// # });
/// ```
#[derive(Clone)]
pub struct EmbeddedFenceStore(EmbeddedStore);

impl EmbeddedFenceStore {
    /// Opens the file at `path`, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedStore::open`]; a file that is in use, by the process's own [`EmbeddedStore`] too, is refused.
    ///
    /// # Cancel safety
    ///
    /// As [`EmbeddedStore::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        EmbeddedStore::open(path).await.map(Self)
    }

    /// The same on another clock, for tests. It must not be behind the clock that the file was written with.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedFenceStore::open`].
    pub async fn open_with_clock(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        EmbeddedStore::open_with_clock(path, clock).await.map(Self)
    }

    /// Closes the file, also for the [`EmbeddedStore`] that these fences are of: see [`EmbeddedStore::close`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the file is closed even if the future is dropped.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

impl EmbeddedStore {
    /// The highest fences that are kept in the same file, for a receiver that keeps keys as well.
    pub fn fences(&self) -> EmbeddedFenceStore {
        EmbeddedFenceStore(self.clone())
    }
}

impl fmt::Debug for EmbeddedFenceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedFenceStore").field("path", &self.0.path()).finish_non_exhaustive()
    }
}

impl FenceStore for EmbeddedFenceStore {
    async fn admit(
        &self,
        key: &FenceKey,
        holder: Holder,
        retention: Duration,
        deadline: Deadline,
    ) -> Result<Admitted, StoreError> {
        self.0.mark(*key, deadline, move |current, now| admit(current, now, holder, retention)).await
    }
}
