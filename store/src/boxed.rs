//! The erased twin of [`Store`], for choosing a backend at run time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, Fence, Grant,
    Key, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Store, StoreError,
};

type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Any store behind one type. Cloning shares the store; each verb costs one allocation more.
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use idempotency_store::{BoxStore, Deadline, MemoryStore, Store};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = BoxStore::new(MemoryStore::new());
/// assert!(store.ping(Deadline::after(Duration::from_secs(1))).await.is_ok());
/// # });
/// # }
/// ```
#[derive(Clone)]
pub struct BoxStore(Arc<dyn DynStore>);

impl BoxStore {
    /// Erases the type of `store`.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for BoxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxStore(..)")
    }
}

/// [`Store`] with boxed futures. Verb by verb the same; a verb that is missing here does not compile in `BoxStore`.
trait DynStore: Send + Sync {
    fn claim<'a>(&'a self, claim: &'a Claim, deadline: Deadline) -> Reply<'a, Claimed>;
    fn renew<'a>(&'a self, grant: &'a Grant, deadline: Deadline) -> Reply<'a, Renewed>;
    fn checkpoint<'a>(
        &'a self,
        grant: &'a Grant,
        checkpoint: &'a Checkpoint,
        deadline: Deadline,
    ) -> Reply<'a, Checkpointed>;
    fn complete<'a>(&'a self, grant: &'a Grant, completion: &'a Completion, deadline: Deadline) -> Reply<'a, Recorded>;
    fn release<'a>(&'a self, attempt: &'a Attempt, fence: Option<Fence>, deadline: Deadline) -> Reply<'a, Released>;
    fn abandon<'a>(&'a self, grant: &'a Grant, reason: Reason, deadline: Deadline) -> Reply<'a, Abandoned>;
    fn resolve<'a>(
        &'a self,
        key: Key,
        seen: Seen,
        resolution: &'a Resolution,
        deadline: Deadline,
    ) -> Reply<'a, Resolved>;
    fn inspect(&self, key: Key, deadline: Deadline) -> Reply<'_, Option<Entry>>;
    fn list<'a>(&'a self, query: &'a Query, deadline: Deadline) -> Reply<'a, Page>;
    fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Reply<'_, Erased>;
    fn ping(&self, deadline: Deadline) -> Reply<'_, ()>;
}

impl<S: Store> DynStore for S {
    fn claim<'a>(&'a self, claim: &'a Claim, deadline: Deadline) -> Reply<'a, Claimed> {
        Box::pin(Store::claim(self, claim, deadline))
    }

    fn renew<'a>(&'a self, grant: &'a Grant, deadline: Deadline) -> Reply<'a, Renewed> {
        Box::pin(Store::renew(self, grant, deadline))
    }

    fn checkpoint<'a>(
        &'a self,
        grant: &'a Grant,
        checkpoint: &'a Checkpoint,
        deadline: Deadline,
    ) -> Reply<'a, Checkpointed> {
        Box::pin(Store::checkpoint(self, grant, checkpoint, deadline))
    }

    fn complete<'a>(&'a self, grant: &'a Grant, completion: &'a Completion, deadline: Deadline) -> Reply<'a, Recorded> {
        Box::pin(Store::complete(self, grant, completion, deadline))
    }

    fn release<'a>(&'a self, attempt: &'a Attempt, fence: Option<Fence>, deadline: Deadline) -> Reply<'a, Released> {
        Box::pin(Store::release(self, attempt, fence, deadline))
    }

    fn abandon<'a>(&'a self, grant: &'a Grant, reason: Reason, deadline: Deadline) -> Reply<'a, Abandoned> {
        Box::pin(Store::abandon(self, grant, reason, deadline))
    }

    fn resolve<'a>(
        &'a self,
        key: Key,
        seen: Seen,
        resolution: &'a Resolution,
        deadline: Deadline,
    ) -> Reply<'a, Resolved> {
        Box::pin(Store::resolve(self, key, seen, resolution, deadline))
    }

    fn inspect(&self, key: Key, deadline: Deadline) -> Reply<'_, Option<Entry>> {
        Box::pin(Store::inspect(self, key, deadline))
    }

    fn list<'a>(&'a self, query: &'a Query, deadline: Deadline) -> Reply<'a, Page> {
        Box::pin(Store::list(self, query, deadline))
    }

    fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Reply<'_, Erased> {
        Box::pin(Store::erase(self, key, seen, deadline))
    }

    fn ping(&self, deadline: Deadline) -> Reply<'_, ()> {
        Box::pin(Store::ping(self, deadline))
    }
}

impl Store for BoxStore {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        self.0.claim(claim, deadline).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        self.0.renew(grant, deadline).await
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        self.0.checkpoint(grant, checkpoint, deadline).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        self.0.complete(grant, completion, deadline).await
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        self.0.release(attempt, fence, deadline).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        self.0.abandon(grant, reason, deadline).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        self.0.resolve(key, seen, resolution, deadline).await
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        self.0.inspect(key, deadline).await
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        self.0.list(query, deadline).await
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        self.0.erase(key, seen, deadline).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        self.0.ping(deadline).await
    }
}
