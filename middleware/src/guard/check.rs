//! What the guard does about a request: which holder it names, and whether the store lets it pass.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use idempotency_store::{Admitted, Deadline, ErrorKind, FenceKey, FenceStore, Holder, StoreError};

use crate::engine::{Backoff, Chain};
use crate::fence_header::FenceHeader;
use crate::key::{IdempotencyKey, KeyError, KeySyntax};
use crate::recording::Recording;
use crate::rejection::Rejection;
use crate::rejection_style::RejectionStyle;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::service::is_safe;

/// The store and the settings.
pub(super) struct Guard<F> {
    store: Arc<F>,
    scope: Scope,
    secret: Secret,
    pub(super) required: bool,
    pub(super) syntax: KeySyntax,
    pub(super) retention: Duration,
    pub(super) budget: Duration,
    pub(super) rejections: RejectionStyle,
}

/// What the guard does about a request before it asks the store.
pub(super) enum Concern {
    /// Safe methods, and requests without a fence where none is required.
    None,
    /// The store is asked whether this may pass.
    Fence(FenceKey, FenceHeader),
    Rejected(Rejection),
}

impl<F> Guard<F> {
    /// Every setting at its default.
    pub(super) fn new(store: Arc<F>, scope: Scope, secret: Secret) -> Self {
        Self {
            store,
            scope,
            secret,
            required: false,
            syntax: KeySyntax::default(),
            retention: Duration::from_secs(24 * 60 * 60),
            budget: Duration::from_secs(3),
            rejections: RejectionStyle::default(),
        }
    }

    pub(super) fn concern(&self, parts: &Parts) -> Concern {
        if is_safe(&parts.method) {
            return Concern::None;
        }
        match FenceHeader::parse(&parts.headers) {
            Ok(None) if self.required => Concern::Rejected(Rejection::fence_missing()),
            Ok(None) => Concern::None,
            Ok(Some(fence)) => match self.fence_key(parts) {
                Ok(key) => Concern::Fence(key, fence),
                Err(rejection) => Concern::Rejected(rejection),
            },
            Err(error) => Concern::Rejected(Rejection::fence_malformed(error)),
        }
    }

    /// Whose fence it is.
    fn fence_key(&self, parts: &Parts) -> Result<FenceKey, Rejection> {
        let key = self.key(&parts.headers)?;
        let mut known = Ok(());
        let fence_key = self.secret.scoped_fence_key(
            |framed| known = self.scope.digest(parts, &mut |field| framed.field(field)),
            key.as_str(),
        );
        known.map(|()| fence_key).map_err(Rejection::scope_missing)
    }

    fn key(&self, headers: &HeaderMap) -> Result<IdempotencyKey, Rejection> {
        self.syntax.parse(headers).map_err(|error| match error {
            KeyError::Missing => Rejection::fence_without_key(),
            error => Rejection::key_malformed(error),
        })
    }

    /// The guard's own answer. It executed nothing, and says so to whatever records answers outside.
    pub(super) fn respond(&self, rejection: Rejection) -> Response<bytes::Bytes> {
        let mut response = self.rejections.respond(rejection);
        response.extensions_mut().insert(Recording::NotExecuted);
        response
    }
}

impl<F: FenceStore> Guard<F> {
    /// Whether the attempt may go on; asks again as the same holder while budget is left.
    ///
    /// Cancel safety: the fence may be on record, now or later.
    pub(super) async fn admit(&self, key: FenceKey, fence: FenceHeader) -> Result<(), Rejection> {
        let holder = Holder { fence: fence.fence(), owner: fence.owner() };
        match self.ask(&key, holder).await {
            Ok(Admitted::Admitted) => Ok(()),
            Ok(Admitted::Fenced { highest }) => {
                tracing::info!(?key, fence = %holder.fence, %highest, "a superseded attempt was refused");
                Err(Rejection::fenced())
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(?key, cause = %Chain(&error), "the highest fence of a key cannot be read");
                Err(Rejection::record_corrupt())
            }
            Err(error) => {
                tracing::warn!(?key, cause = %Chain(&error), "nothing passes: the fence store did not answer");
                Err(Rejection::store_unavailable())
            }
        }
    }

    async fn ask(&self, key: &FenceKey, holder: Holder) -> Result<Admitted, StoreError> {
        let deadline = Deadline::after(self.budget);
        let mut backoff = Backoff::new();
        loop {
            let error = match self.store.admit(key, holder, self.retention, deadline).await {
                Err(error) if error.kind() == ErrorKind::Unknown => error,
                answered => return answered,
            };
            let delay = backoff.delay();
            if delay >= deadline.remaining() {
                return Err(error);
            }
            tokio::time::sleep(delay).await;
        }
    }
}

impl Rejection {
    fn fenced() -> Self {
        let detail = "A later attempt with this Idempotency-Key has been here. This one was superseded: stop, and do not \
                      send it again.";
        Self::new(crate::RejectionKind::Fenced, StatusCode::CONFLICT, detail)
    }

    fn fence_missing() -> Self {
        let detail = "This operation requires an Idempotency-Fence header field, which orders the attempts of one key.";
        Self::new(crate::RejectionKind::FenceMissing, StatusCode::BAD_REQUEST, detail)
    }

    fn fence_malformed(error: crate::FenceHeaderError) -> Self {
        Self::new(crate::RejectionKind::FenceMalformed, StatusCode::BAD_REQUEST, error.detail())
    }

    fn fence_without_key() -> Self {
        let detail = "An Idempotency-Fence orders the attempts of one key: send the Idempotency-Key with it.";
        Self::new(crate::RejectionKind::KeyMissing, StatusCode::BAD_REQUEST, detail)
    }
}

impl<F> Clone for Guard<F> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            scope: self.scope.clone(),
            secret: self.secret.clone(),
            rejections: self.rejections.clone(),
            ..*self
        }
    }
}

impl<F> fmt::Debug for Guard<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Guard");
        shown.field("scope", &self.scope).field("required", &self.required).field("syntax", &self.syntax);
        shown.field("retention", &self.retention).field("budget", &self.budget);
        shown.field("rejections", &self.rejections).finish_non_exhaustive()
    }
}
