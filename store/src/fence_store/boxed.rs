//! The erased twin of [`FenceStore`], for choosing a backend at run time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Admitted, FenceKey, FenceStore, Holder};
use crate::{Deadline, StoreError};

type Reply<'a> = Pin<Box<dyn Future<Output = Result<Admitted, StoreError>> + Send + 'a>>;

/// Any fence store behind one type. Cloning shares the store; each admission costs one allocation more.
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use idempotency_store::{BoxFenceStore, MemoryFenceStore};
///
/// let store = BoxFenceStore::new(MemoryFenceStore::new());
/// # let _ = store;
/// # }
/// ```
#[derive(Clone)]
pub struct BoxFenceStore(Arc<dyn Erased>);

impl BoxFenceStore {
    /// Erases the type of `store`.
    pub fn new(store: impl FenceStore) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for BoxFenceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxFenceStore(..)")
    }
}

/// [`FenceStore`] with a boxed future.
trait Erased: Send + Sync {
    fn admit<'a>(&'a self, key: &'a FenceKey, holder: Holder, retention: Duration, deadline: Deadline) -> Reply<'a>;
}

impl<S: FenceStore> Erased for S {
    fn admit<'a>(&'a self, key: &'a FenceKey, holder: Holder, retention: Duration, deadline: Deadline) -> Reply<'a> {
        Box::pin(FenceStore::admit(self, key, holder, retention, deadline))
    }
}

impl FenceStore for BoxFenceStore {
    async fn admit(
        &self,
        key: &FenceKey,
        holder: Holder,
        retention: Duration,
        deadline: Deadline,
    ) -> Result<Admitted, StoreError> {
        self.0.admit(key, holder, retention, deadline).await
    }
}
