//! What the guard and the layer say, in the bank's own words.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tower_idempotency::{Rejection, RejectionKind};

use crate::problem::{self, Problem};

/// The bank's error answer for a refusal of one of its layers.
pub(super) fn response(rejection: &Rejection) -> Response<Bytes> {
    let problem = Problem::new(rejection.status(), rejection.kind().name(), "The bank did not take the request")
        .detail(rejection.detail());
    let problem = if executed_nothing(rejection.kind()) { problem.not_executed() } else { problem };
    // A problem is made of texts and numbers, which JSON can always say.
    let mut response = Response::new(serde_json::to_vec(&problem).unwrap_or_default().into());
    *response.status_mut() = rejection.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    if let Some(seconds) = rejection.retry_after() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Whether the caller may conclude that its attempt executed nothing. Where another request has the key, that one may have
/// executed the transfer, be doing so now, or have left it open: the caller asks the ledger by the key.
fn executed_nothing(kind: RejectionKind) -> bool {
    matches!(
        kind,
        RejectionKind::KeyMissing
            | RejectionKind::KeyMalformed
            | RejectionKind::FenceMalformed
            | RejectionKind::Fenced
            | RejectionKind::RequestTooLarge
            | RejectionKind::RequestUnreadable
            | RejectionKind::StoreUnavailable
            | RejectionKind::ShuttingDown
    )
}
