//! What the handler learns about its attempt.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time;

use bytes::Bytes;
use idempotency_store::{Checkpoint, Fence, Grant, Lease};
use tokio::time::Instant;

use crate::checkpoint::{CheckpointError, Notes};
use crate::engine::Hold;
use crate::key::IdempotencyKey;
use crate::secret::Secret;

/// The attempt that a handler runs in. It is in the extensions of every request that runs under a key; with the feature
/// `axum` it is an extractor, and `Option<Idempotency>` is one for routes where the key is optional, the method may be
/// safe, or the layer [fails open](crate::OnUnavailable::FailOpen).
///
/// `Clone` is cheap.
#[derive(Clone)]
pub struct Idempotency(Arc<Context>);

/// What there is to know about an attempt that runs.
pub(crate) struct Context {
    pub(crate) key: IdempotencyKey,
    pub(crate) grant: Grant,
    pub(crate) claimed_at: Instant,
    pub(crate) hold: Arc<Hold>,
    pub(crate) secret: Secret,
    /// What an earlier attempt left, then what this one saved last.
    pub(crate) checkpoint: Mutex<Option<Checkpoint>>,
    pub(crate) notes: Arc<dyn Notes>,
}

impl Idempotency {
    pub(crate) fn new(context: Context) -> Self {
        Self(Arc::new(context))
    }

    /// The key that the client sent.
    pub fn key(&self) -> &IdempotencyKey {
        &self.0.key
    }

    /// The fencing token of this attempt: greater than that of every attempt of this key before. Compare it per key,
    /// never per business row: two keys that touch one account are legitimately concurrent.
    pub fn fence(&self) -> Fence {
        self.0.grant.fence
    }

    /// The lease: storage key, owner and fence.
    pub fn lease(&self) -> Lease {
        self.0.grant.lease()
    }

    /// 1 for the first attempt that runs, one more for each that takes over.
    pub fn attempt(&self) -> u32 {
        self.0.grant.number
    }

    /// Whether an earlier attempt ran and nobody knows how far it came.
    pub fn is_takeover(&self) -> bool {
        self.0.grant.is_takeover()
    }

    /// When this attempt began to ask for the key, on this process's monotonic clock. The lease began no earlier; a
    /// deadline for work done elsewhere is counted from here.
    pub fn claimed_at(&self) -> time::Instant {
        self.0.claimed_at.into_std()
    }

    /// The idempotency key to send to another service for one step of this work: 32 hexadecimal digits, derived from
    /// scope, key and `step` alone, so that every attempt of this key sends the same.
    ///
    /// ```
    /// # use tower_idempotency::Idempotency;
    /// fn keys(idempotency: &Idempotency) -> (String, String) {
    ///     (idempotency.downstream_key("charge"), idempotency.downstream_key("receipt"))
    /// }
    /// ```
    pub fn downstream_key(&self, step: &str) -> String {
        self.0.secret.downstream_key(&self.0.grant.attempt.key, step)
    }

    /// The note that an earlier attempt of this key left, or the one that this attempt saved last: how far the work has
    /// come. `None` if nobody saved one, which says nothing about how far an earlier attempt came.
    ///
    /// It is what the store held when this attempt was granted the key. Sharing it costs no copy.
    pub fn checkpoint(&self) -> Option<Bytes> {
        let checkpoint = self.0.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint.as_ref().map(|checkpoint| checkpoint.as_bytes().clone())
    }

    /// Keeps a note with the key, in place of an earlier one, for the attempt that may have to take over
    /// ([`OnAbandoned::reexecute`](crate::OnAbandoned::reexecute)) and for whoever resolves the key: at most
    /// [`Checkpoint::MAX_LEN`](crate::store::Checkpoint::MAX_LEN) bytes, 4 KiB. It costs one write to the store and does
    /// not prolong the lease. The store is asked for as long as a claim may take
    /// ([`Timing::claim_budget`](crate::Timing::claim_budget), 3 s).
    ///
    /// Save *before* a step what the step is about to do; what is saved after it may be missing when it counts.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`]: too large, the lease is lost, or the store did not confirm. The work may go on without a
    /// checkpoint, except after [`CheckpointError::Lost`].
    ///
    /// Cancel safety: after dropping the future nobody knows whether the bytes were saved, or still will be. Save one
    /// at a time, and await it.
    ///
    /// ```
    /// use tower_idempotency::{CheckpointError, Idempotency};
    ///
    /// async fn pay(idempotency: Idempotency) -> Result<String, CheckpointError> {
    ///     if idempotency.checkpoint().is_none() {
    ///         idempotency.save_checkpoint("reserving").await?;
    ///         // .. reserve ..
    ///     }
    ///     idempotency.save_checkpoint("charging").await?;
    ///     Ok(idempotency.downstream_key("charge"))
    /// }
    /// # let _ = pay;
    /// ```
    pub async fn save_checkpoint(&self, bytes: impl Into<Bytes> + Send) -> Result<(), CheckpointError> {
        let checkpoint = Checkpoint::new(bytes)?;
        self.0.notes.save(&self.0.grant, &checkpoint).await?;
        *self.0.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        Ok(())
    }

    /// Completes when the lease can no longer be counted on: it was lost to another attempt, could not be renewed in
    /// time, or the maximal execution is over. Start nothing new then. The handler is not aborted.
    ///
    /// A lease that could not be renewed in time may be revived by a later renewal; the answer of the handler is recorded
    /// as long as nobody else has settled the key.
    ///
    /// Cancel safe.
    pub async fn lost(&self) {
        self.0.hold.lost().await;
    }

    /// Whether the lease can no longer be counted on; see [`Idempotency::lost`]. Looks at the time, so that it is right
    /// also in a process that was stopped and continued just now.
    pub fn is_lost(&self) -> bool {
        self.0.hold.is_lost()
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").field("lease", &self.lease()).field("attempt", &self.attempt()).finish()
    }
}

#[cfg(feature = "axum")]
mod extract {
    use std::convert::Infallible;

    use axum::extract::{FromRequestParts, OptionalFromRequestParts};
    use axum::response::{IntoResponse, Response};
    use http::StatusCode;
    use http::request::Parts;

    use super::Idempotency;

    /// The handler asks for an [`Idempotency`], but the request carries no key, or no layer looked at it: 500, because
    /// it is the route that is wired wrongly. Require the key, or ask for an `Option<Idempotency>`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
    #[error(
        "no idempotency key: is the IdempotencyLayer on this route, with `.required()`? If it may run unprotected, ask for an Option"
    )]
    #[non_exhaustive]
    pub struct NotKeyed;

    impl IntoResponse for NotKeyed {
        fn into_response(self) -> Response {
            tracing::error!("{self}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }

    impl<S: Sync> FromRequestParts<S> for Idempotency {
        type Rejection = NotKeyed;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotKeyed> {
            parts.extensions.get().cloned().ok_or(NotKeyed)
        }
    }

    impl<S: Sync> OptionalFromRequestParts<S> for Idempotency {
        type Rejection = Infallible;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
            Ok(parts.extensions.get().cloned())
        }
    }
}

#[cfg(feature = "axum")]
pub use extract::NotKeyed;
