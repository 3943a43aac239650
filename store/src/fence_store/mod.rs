//! The receiver's side of fencing: the highest fence per key, so that a superseded attempt is told to stop.
//!
//! A service that is called by attempts of somebody else's keys gets two things with each call: a key, the same for all
//! attempts of one operation, and a [`Fence`] with its [`Owner`], which differ. An attempt that was paused while another one
//! took over carries a lower fence than that other one. [`FenceStore::admit`] remembers the highest fence of each key and
//! refuses the rest:
//!
//! | the fence is | and the owner is | reply | what stands then |
//! |---|---|---|---|
//! | the first of its key | | Admitted | this fence |
//! | greater than the highest | | Admitted | this fence |
//! | equal to the highest | the same | Admitted: its reply was lost, or it does several calls | this fence |
//! | equal to the highest | another | Fenced | the first of the two |
//! | lower | | Fenced | the highest |
//!
//! The owner is compared because two stores that did not know of each other can grant one fence twice, after a fail-over for
//! instance. A check that let the equal fence pass would let both run.
//!
//! **Compare fences per key only.** Two keys that touch one account are legitimately concurrent, and the one with the lower
//! fence is no less entitled. There is no method here that takes a business row.
//!
//! A fence orders attempts; it does not make an effect happen once. Attempt A does the work and dies, attempt B comes with a
//! greater fence, is admitted, and does the work again. And a check followed by the work is two steps: an attempt that was
//! admitted before a greater fence came may still be at work. What closes both is a *dedup on the key*, in front of the work
//! (a [`Store`](crate::Store)) or in its transaction.
//!
//! ```
//! use idempotency_store::*;
//! use std::time::Duration;
//!
//! # #[cfg(feature = "memory")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = MemoryFenceStore::new();
//! let key = FenceKey::new([1; 32]); // a digest of whose key it is, and of the key
//! let day = Duration::from_secs(24 * 60 * 60);
//! let soon = || Deadline::after(Duration::from_secs(3));
//!
//! let paused = Holder { fence: Fence::new(33), owner: Owner::random()? };
//! let successor = Holder { fence: Fence::new(34), owner: Owner::random()? };
//! assert_eq!(store.admit(&key, paused, day, soon()).await?, Admitted::Admitted);
//! assert_eq!(store.admit(&key, successor, day, soon()).await?, Admitted::Admitted);
//! assert_eq!(store.admit(&key, paused, day, soon()).await?, Admitted::Fenced { highest: Fence::new(34) });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod boxed;
#[cfg(any(feature = "embedded", feature = "redis"))]
pub(crate) mod bytes;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "embedded")]
mod embedded;
pub mod mark;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::short;
use crate::{Deadline, Fence, Owner, StoreError};

pub use boxed::BoxFenceStore;
#[cfg(feature = "embedded")]
pub use embedded::EmbeddedFenceStore;
#[cfg(feature = "memory")]
pub use memory::MemoryFenceStore;
#[cfg(feature = "redis")]
pub use redis::RedisFenceStore;

/// Whose highest fence is kept: a keyed digest of (scope, key), as [`Key`](crate::Key) is. It has a type of its own, because
/// a record and the highest fence of one key are two different things.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceKey([u8; 32]);

/// An attempt as its receiver sees it: the fence that it was granted, and its owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Holder {
    /// The fencing token.
    pub fence: Fence,
    /// The attempt that it was granted to.
    pub owner: Owner,
}

/// What an attempt is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admitted {
    /// No attempt of this key with a greater fence has been here. The attempt may go on.
    Admitted,
    /// The attempt was superseded; it must stop. Asking again never helps.
    Fenced {
        /// The fence that stands. Equal to the attempt's own if another owner was here first with the same one.
        highest: Fence,
    },
}

/// Where the highest fence of each key is kept; see the [module's documentation](self).
///
/// [`admit`](FenceStore::admit) is **atomic per key**, **durable before it answers** as far as the store is durable at all, and
/// **idempotent per holder**. A store that cannot answer fails; the caller then refuses the attempt, for an unasked fence is
/// no fence.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep fences",
    label = "expected a fence store: `MemoryFenceStore`, `EmbeddedFenceStore`, `RedisFenceStore`, a `BoxFenceStore`, or an \
             `Arc` of one",
    note = "open one first, e.g. `MemoryFenceStore::new()`, or take that of a store: `embedded_store.fences()`"
)]
pub trait FenceStore: Send + Sync + 'static {
    /// Lets an attempt pass, unless a greater fence of its key, or the same fence of another owner, has passed before.
    ///
    /// What passes is remembered for `retention` from now, and never for less than was promised before. An attempt that
    /// comes later than that may pass again, so this is to be at least the time for which attempts can still arrive: the
    /// retention of the caller's own store, 24 hours usually. It is cut to whole milliseconds, and to between one of them
    /// and ten years.
    ///
    /// # Errors
    ///
    /// [`NotApplied`](crate::ErrorKind::NotApplied): nothing was written. [`Unknown`](crate::ErrorKind::Unknown): the fence may
    /// stand now; ask again as the same holder. [`Corrupt`](crate::ErrorKind::Corrupt): what stands cannot be read and was left
    /// as it is; nothing may pass.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future neither undoes nor stops it: the fence may stand now, or later. That does no harm, because the
    /// same holder is admitted again.
    fn admit(
        &self,
        key: &FenceKey,
        holder: Holder,
        retention: Duration,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Admitted, StoreError>> + Send;
}

impl<S: FenceStore> FenceStore for Arc<S> {
    async fn admit(
        &self,
        key: &FenceKey,
        holder: Holder,
        retention: Duration,
        deadline: Deadline,
    ) -> Result<Admitted, StoreError> {
        S::admit(self, key, holder, retention, deadline).await
    }
}

impl FenceKey {
    /// A key from its digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for FenceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(f, "FenceKey", &self.0)
    }
}
