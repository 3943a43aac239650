//! What became of a transfer whose bank was killed in the midst of it: the ledger knows.
//!
//! Why "not in the ledger" may be believed: only one process has the ledger and the keys open at a time. An attempt whose fence
//! is older than this process belongs to one that is gone, and what that one executed is on the disk. So nothing of it can
//! still come. An attempt of this very process may still be at work, however long nothing was heard of it; there, nobody
//! knows.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use idempotency_store::Fence;
use serde::Serialize;
use tower_idempotency::{Abandoned, RecordedAnswer, Resolution};

use crate::bank::Ledger;
use crate::bank::charge::{Charge, ChargeQuery, Refund, RefundQuery};

const UNKNOWN: Resolution = Resolution::Unknown { retry_after: Duration::from_secs(1) };

/// Asks the ledger. `opened_at` is a fence of the moment at which this process took the keys over.
pub(super) async fn resolve(ledger: Ledger, opened_at: Fence, abandoned: Abandoned) -> Resolution {
    // A question must not overtake what it asks about.
    if ledger.settled().await.is_err() {
        return UNKNOWN;
    }
    let key = abandoned.key().as_str();
    let executed = if abandoned.uri().path().ends_with("/refunds") {
        refund(&ledger, key).map(|refund| answer(&refund))
    } else {
        charge(&ledger, key).map(|charge| answer(&charge))
    };
    match executed {
        Some(Ok(answer)) => Resolution::Completed(answer),
        None if abandoned.fence() < opened_at => Resolution::NotExecuted,
        Some(Err(_)) | None => UNKNOWN,
    }
}

/// As it was answered: nothing was given back yet.
fn charge(ledger: &Ledger, key: &str) -> Option<Charge> {
    let query = ChargeQuery { key: Some(key.to_owned()), ..ChargeQuery::default() };
    let found = ledger.read(|book| book.charges(&query)).unwrap_or_default();
    found.into_iter().next_back().map(|charge| Charge { refunded: 0, ..charge })
}

fn refund(ledger: &Ledger, key: &str) -> Option<Refund> {
    let query = RefundQuery { key: Some(key.to_owned()), charge: None };
    ledger.read(|book| book.refunds(&query)).into_iter().next_back()
}

/// The answer that the handler gives.
fn answer(record: &impl Serialize) -> serde_json::Result<RecordedAnswer> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = serde_json::to_vec(record)?.into();
    Ok(RecordedAnswer { status: StatusCode::CREATED, headers, body, trailers: None })
}
