//! What a resolver is asked, and what it may answer.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Uri};
use idempotency_store::{Fence, Indeterminate, Key, Reason};

use crate::fingerprint::original_uri;
use crate::key::IdempotencyKey;
use crate::recorded::RecordedAnswer;
use crate::secret::Secret;

/// A key whose last owner is gone, as a resolver sees it: the request, which is the same as the one that was interrupted,
/// and what the store knows of the attempts so far. See [`OnAbandoned::resolve`](crate::OnAbandoned::resolve).
pub struct Abandoned {
    pub(crate) key: IdempotencyKey,
    pub(crate) storage_key: Key,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    pub(crate) found: Indeterminate,
    pub(crate) secret: Secret,
}

impl Abandoned {
    /// The key that the client sent.
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// The key that the interrupted handler sent downstream for this step: ask the downstream what became of it. The same
    /// as [`Idempotency::downstream_key`](crate::Idempotency::downstream_key).
    pub fn downstream_key(&self, step: &str) -> String {
        self.secret.downstream_key(&self.storage_key, step)
    }

    /// The request's method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The request's URI as the layer got it; under axum's `nest` without the prefix.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The URI that the client asked for.
    pub fn original_uri(&self) -> &Uri {
        original_uri(&self.parts)
    }

    /// The header fields of this request; those of the interrupted one may have differed where they are not part of the
    /// [fingerprint](crate::IdempotencyLayer::fingerprint_header).
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What outer layers put into the request, such as the authenticated principal.
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// The body, byte for byte that of the interrupted request.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The fencing token of the last attempt. What is told about the key holds only while this is its fence.
    pub fn fence(&self) -> Fence {
        self.found.fence
    }

    /// How many attempts have run so far.
    pub fn attempts(&self) -> u32 {
        self.found.attempts
    }

    /// Why the last attempt gave up; `None` if it never said and its lease lapsed: its process died or stands still.
    pub fn reason(&self) -> Option<Reason> {
        self.found.reason
    }

    /// How long nothing was heard of the last attempt, by the store's clock: since it claimed, renewed its lease or gave
    /// up.
    ///
    /// Whether something that was not found can still arrive is the question that decides between
    /// [`Resolution::NotExecuted`] and [`Resolution::Unknown`], and this is the time to judge it by. An attempt whose
    /// lease has lapsed may have sent its last request up to this long ago, and, if its process was stopped rather than
    /// killed, may still be about to.
    pub fn quiet_for(&self) -> Duration {
        self.found.quiet_for
    }

    /// The [checkpoint](crate::Idempotency::save_checkpoint) that an attempt saved last.
    pub fn checkpoint(&self) -> Option<&Bytes> {
        self.found.checkpoint.as_ref().map(idempotency_store::Checkpoint::as_bytes)
    }
}

/// Without key, header fields and body, which may be secret.
impl fmt::Debug for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Abandoned").field("key", &self.storage_key).field("found", &self.found).finish_non_exhaustive()
    }
}

/// What a resolver found out about an abandoned key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "made once per question; a box would be in its author's way")]
pub enum Resolution {
    /// It was executed, and this is its answer. It is recorded and replayed to this client and to every later one, as if the
    /// handler had given it: of the header fields those that a recorded answer keeps, and nothing but the status if the body
    /// is over the [limit](crate::IdempotencyLayer::max_recorded_answer).
    Completed(RecordedAnswer),
    /// It was not executed, and **nothing of it can still arrive**: the handler runs, at once. Say this only if it is
    /// certain. "Not found" is not enough while a request of the lost attempt may be on its way.
    NotExecuted,
    /// Nobody can say yet. The client gets 409 `indeterminate` with `Retry-After`, and its retry asks again.
    Unknown {
        /// When it makes sense to ask again. Rounded up to whole seconds, at least one.
        retry_after: Duration,
    },
}
