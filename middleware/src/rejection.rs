//! Why the layer answers instead of the handler. How that looks is the business of `rejection_style.rs`.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use idempotency_store::StoreTime;

use crate::key::KeyError;
use crate::scope::ScopeMissing;

/// Why the layer answered instead of the handler. [`RejectionKind::name`] is the last segment of the problem's `type`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 400 `key-missing`: the route requires a key. Nothing ran; send one.
    KeyMissing,
    /// 400 `key-malformed`: the field is not one key. Nothing ran; the store was not asked.
    KeyMalformed,
    /// 400 `fence-missing`: the route requires a fence. Nothing ran; send one.
    FenceMissing,
    /// 400 `fence-malformed`: the field is not one fence with its owner. Nothing ran; the store was not asked.
    FenceMalformed,
    /// 401 or 500 `scope-missing`: nobody knows whose key it is. Nothing ran; the store was not asked.
    ScopeMissing,
    /// 413 `request-too-large`: the body is over the limit. Nothing ran; the store was not asked.
    RequestTooLarge,
    /// 400 `request-unreadable`: the body ended early. Nothing ran; the store was not asked.
    RequestUnreadable,
    /// 422 `key-reused`: the key was used for a different request. Nothing ran; use a new key.
    KeyReused,
    /// 409 `in-flight`: the first attempt is still running. Retry with the same key after `Retry-After`.
    InFlight,
    /// 409 `indeterminate`: nobody knows whether the first attempt was executed. Look at the outcome before you decide; with
    /// `Retry-After`, a resolver is finding out, and a retry with the same key makes sense.
    Indeterminate,
    /// 409 `not-replayable`: it was executed, with the status and the time in the members `original_status` and
    /// `recorded_at`; the answer was not kept.
    NotReplayable,
    /// 429 `too-many-claims`: the caller uses new keys faster than it may. Nothing ran; the store was not asked. Retry with
    /// the same key after `Retry-After`.
    TooManyClaims,
    /// 409 `fenced`: a later attempt of the same operation has been here. Nothing ran now; stop.
    Fenced,
    /// 503 `store-unavailable`: the store did not answer. Nothing ran; retry with the same key.
    StoreUnavailable,
    /// 503 `shutting-down`: this server stops taking requests. Nothing ran; retry with the same key.
    ShuttingDown,
    /// 503 `record-corrupt`: the record cannot be used. Nothing ran now; an operator has to look.
    RecordCorrupt,
    /// 500 `handler-panicked`: the handler failed half-way. Retries get `indeterminate`.
    HandlerPanicked,
}

impl RejectionKind {
    /// The name in problem types and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyMissing => "key-missing",
            Self::KeyMalformed => "key-malformed",
            Self::FenceMissing => "fence-missing",
            Self::FenceMalformed => "fence-malformed",
            Self::ScopeMissing => "scope-missing",
            Self::RequestTooLarge => "request-too-large",
            Self::RequestUnreadable => "request-unreadable",
            Self::KeyReused => "key-reused",
            Self::InFlight => "in-flight",
            Self::Indeterminate => "indeterminate",
            Self::NotReplayable => "not-replayable",
            Self::TooManyClaims => "too-many-claims",
            Self::Fenced => "fenced",
            Self::StoreUnavailable => "store-unavailable",
            Self::ShuttingDown => "shutting-down",
            Self::RecordCorrupt => "record-corrupt",
            Self::HandlerPanicked => "handler-panicked",
        }
    }

    /// The problem's `title`: the same for every occurrence (RFC 9457, section 3.1.3).
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::KeyMissing => "Idempotency-Key is missing",
            Self::KeyMalformed => "Idempotency-Key is malformed",
            Self::FenceMissing => "Idempotency-Fence is missing",
            Self::FenceMalformed => "Idempotency-Fence is malformed",
            Self::ScopeMissing => "The caller is unknown",
            Self::RequestTooLarge => "The request is too large",
            Self::RequestUnreadable => "The request body ended early",
            Self::KeyReused => "Idempotency-Key is already used",
            Self::InFlight => "A request is outstanding for this Idempotency-Key",
            Self::Indeterminate => "The outcome of the first request is unknown",
            Self::NotReplayable => "The first answer was not kept",
            Self::TooManyClaims => "Too many new Idempotency-Keys",
            Self::Fenced => "This attempt was superseded",
            Self::StoreUnavailable => "Idempotency keys cannot be checked right now",
            Self::ShuttingDown => "The server is shutting down",
            Self::RecordCorrupt => "The record of this Idempotency-Key cannot be used",
            Self::HandlerPanicked => "The request failed",
        }
    }
}

/// An answer that the layer gives instead of the handler. It also sits in the extensions of that response, for outer
/// layers that count or log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    kind: RejectionKind,
    status: StatusCode,
    detail: &'static str,
    retry_after: Option<u64>,
    original_status: Option<StatusCode>,
    recorded_at: Option<StoreTime>,
}

impl Rejection {
    /// Why.
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// A sentence for the caller. It never contains what the caller sent.
    pub const fn detail(&self) -> &'static str {
        self.detail
    }

    /// Seconds until a retry with the same key makes sense; `None` if it does not.
    pub const fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The status that the first client got, where the answer itself was not kept.
    pub const fn original_status(&self) -> Option<StatusCode> {
        self.original_status
    }

    /// When the outcome was recorded, on the store's clock, where the answer itself was not kept.
    pub fn recorded_at(&self) -> Option<SystemTime> {
        self.recorded_at.map(StoreTime::to_system_time)
    }

    pub(crate) const fn new(kind: RejectionKind, status: StatusCode, detail: &'static str) -> Self {
        Self { kind, status, detail, retry_after: None, original_status: None, recorded_at: None }
    }

    fn unavailable(kind: RejectionKind, detail: &'static str) -> Self {
        Self { retry_after: Some(1), ..Self::new(kind, StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub(crate) const fn key_missing() -> Self {
        let detail = "This operation is idempotent and requires an Idempotency-Key header field. Choose a unique key, \
                      keep it over retries, and send it with each of them.";
        Self::new(RejectionKind::KeyMissing, StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) const fn key_malformed(error: KeyError) -> Self {
        let detail = match error {
            KeyError::Missing => return Self::key_missing(),
            KeyError::Repeated => "Send one Idempotency-Key header field, not several.",
            KeyError::Empty => "The Idempotency-Key is empty.",
            KeyError::TooLong => "The Idempotency-Key is longer than this service accepts.",
            KeyError::TooShort => "The Idempotency-Key is shorter than this service accepts.",
            KeyError::Charset => "The Idempotency-Key must be visible ASCII without commas, or a quoted string.",
            KeyError::NotAString => "The Idempotency-Key must be a quoted string (RFC 9651, section 3.3.3).",
        };
        Self::new(RejectionKind::KeyMalformed, StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) const fn scope_missing(missing: ScopeMissing) -> Self {
        let (status, detail) = match missing {
            ScopeMissing::Header | ScopeMissing::Caller => {
                (StatusCode::UNAUTHORIZED, "The request does not say who is calling.")
            }
            ScopeMissing::Extension => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The server does not know who is calling: its authentication must run before its idempotency layer.",
            ),
        };
        Self::new(RejectionKind::ScopeMissing, status, detail)
    }

    pub(crate) const fn request_too_large() -> Self {
        let detail = "The request body is larger than an idempotent request may be.";
        Self::new(RejectionKind::RequestTooLarge, StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub(crate) const fn request_unreadable() -> Self {
        let detail = "The request body could not be read to its end. Nothing was executed.";
        Self::new(RejectionKind::RequestUnreadable, StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) const fn key_reused() -> Self {
        let detail = "This Idempotency-Key was used for a different request. Use a new key for a new request.";
        Self::new(RejectionKind::KeyReused, StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(crate) fn in_flight(remaining: Duration) -> Self {
        let detail = "The first request with this Idempotency-Key is still running. Retry with the same key.";
        // Short: the first request usually ends long before its lease.
        let rejection = Self::new(RejectionKind::InFlight, StatusCode::CONFLICT, detail);
        Self { retry_after: Some(whole_seconds(remaining).min(2)), ..rejection }
    }

    pub(crate) const fn indeterminate() -> Self {
        let detail = "An earlier request with this Idempotency-Key was interrupted and may have been executed. Check the \
                      outcome before sending the operation again under a new key.";
        Self::new(RejectionKind::Indeterminate, StatusCode::CONFLICT, detail)
    }

    /// Nobody knows yet, but somebody may find out.
    pub(crate) fn unresolved(retry_after: Duration) -> Self {
        let detail = "An earlier request with this Idempotency-Key was interrupted, and what became of it is being found \
                      out. Retry with the same key.";
        let rejection = Self::new(RejectionKind::Indeterminate, StatusCode::CONFLICT, detail);
        Self { retry_after: Some(whole_seconds(retry_after)), ..rejection }
    }

    pub(crate) fn not_replayable(original: StatusCode, recorded_at: StoreTime) -> Self {
        let detail = "The request was executed, but its answer was too large or not of a kind that is kept.";
        let rejection = Self::new(RejectionKind::NotReplayable, StatusCode::CONFLICT, detail);
        Self { original_status: Some(original), recorded_at: Some(recorded_at), ..rejection }
    }

    pub(crate) fn too_many_claims(retry_after: Duration) -> Self {
        let detail =
            "New Idempotency-Keys came faster than they may. The request was not executed. Retry with the same key.";
        let rejection = Self::new(RejectionKind::TooManyClaims, StatusCode::TOO_MANY_REQUESTS, detail);
        Self { retry_after: Some(whole_seconds(retry_after)), ..rejection }
    }

    pub(crate) fn store_unavailable() -> Self {
        let detail = "The request was not executed. Retry with the same Idempotency-Key.";
        Self::unavailable(RejectionKind::StoreUnavailable, detail)
    }

    pub(crate) fn shutting_down() -> Self {
        let detail = "The request was not executed. Retry with the same Idempotency-Key.";
        Self::unavailable(RejectionKind::ShuttingDown, detail)
    }

    pub(crate) const fn record_corrupt() -> Self {
        let detail = "The request was not executed again. The operator of this service has to look at the record.";
        Self::new(RejectionKind::RecordCorrupt, StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(crate) const fn handler_panicked() -> Self {
        let detail = "The request failed and may have been executed in part.";
        Self::new(RejectionKind::HandlerPanicked, StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

/// Rounded up, and at least one: a client that comes too early comes in vain.
fn whole_seconds(duration: Duration) -> u64 {
    u64::from(duration.subsec_nanos() > 0).saturating_add(duration.as_secs()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_the_remaining_lease_within_one_and_two_seconds() {
        let cases = [(0, 1), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (2_000, 2), (30_000, 2)];
        for (millis, seconds) in cases {
            assert_eq!(Rejection::in_flight(Duration::from_millis(millis)).retry_after(), Some(seconds), "{millis} ms");
        }
    }
}
