//! The payment service's error answers, and what it makes of the bank's.
//!
//! Marked "not executed" is what certainly charged nothing: the key stays free, and the same request may be sent again.
//! Everything else is an outcome, is recorded, and is what every retry gets - a declined card stays declined.

use http::StatusCode;

use crate::bank::client::CallError;
use crate::problem::Problem;

pub(super) fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "The caller is unknown")
        .detail("send Authorization: Bearer <merchant>, with a merchant of 1 to 64 visible ASCII characters")
        .not_executed()
}

pub(super) fn invalid(field: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "field-invalid", "A field of the request is not valid")
        .field(field)
        .detail(detail)
        .not_executed()
}

pub(super) fn unknown_field(field: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "field-unknown", "A field of the request is not known here")
        .field(field)
        .not_executed()
}

pub(super) fn unknown_payment() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-payment", "There is no such payment")
        .detail("none of this merchant's payments has this id")
        .not_executed()
}

pub(super) fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-route", "There is no such resource")
        .detail(
            "there are POST and GET /payments, GET /payments/{id}, POST /payments/{id}/refunds, GET /healthz, GET /readyz",
        )
        .not_executed()
}

pub(super) fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This resource does not take this method")
        .detail("the Allow header names those that it takes")
        .not_executed()
}

pub(super) fn not_ready() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The idempotency store does not answer")
        .detail("no payment can be taken until it does")
        .not_executed()
}

pub(super) fn panicked() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "The service failed at this request")
}

/// The lease was used up before anything was sent.
pub(super) fn too_late() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-late", "The payment took too long to begin")
        .detail("nothing was charged; send the same request again")
        .not_executed()
}

/// The bank has seen a later attempt of the same payment. The layer knows better than this attempt what became of it.
fn superseded() -> Problem {
    Problem::new(StatusCode::CONFLICT, "superseded", "A later attempt at this payment is at work")
        .detail("this attempt charged nothing; send the same request again")
        .not_executed()
}

/// The bank cannot be asked, and nothing was sent to it that could charge.
pub(super) fn bank_unreachable() -> Problem {
    Problem::new(StatusCode::BAD_GATEWAY, "bank-unreachable", "The bank cannot be reached")
        .detail("nothing was charged; send the same request again")
        .not_executed()
}

/// The reply was lost, and the bank says that there is no charge and never will be.
pub(super) fn nothing_charged() -> Problem {
    Problem::new(StatusCode::BAD_GATEWAY, "nothing-charged", "The bank did not execute the request")
        .detail("its answer was lost, and its ledger shows nothing; send the same request again")
        .not_executed()
}

/// The reply was lost, and the bank could not be asked in time. An outcome: nobody may send this again by itself.
pub(super) fn outcome_unknown() -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "outcome-unknown", "Nobody knows whether the bank executed the request")
        .detail("the bank's answer was lost and it could not be asked; look at GET /payments before you use a new key")
}

/// What a refusal of the bank means to the one who pays.
pub(super) fn refused(problem: Problem) -> Problem {
    match problem.name() {
        "card-declined" => declined(),
        "bank-failed" => bank_failed(),
        "expired" => too_late(),
        "fenced" => superseded(),
        // These name the field that the caller sent, and say that nothing was executed.
        "unknown-source" | "amount-out-of-range" | "over-refund" => problem,
        name => {
            tracing::error!(problem = name, "the bank refused for a reason that this service does not know");
            bank_refused()
        }
    }
}

/// What a failed question means: questions execute nothing.
pub(super) fn unanswered(error: &CallError) -> Problem {
    tracing::warn!(%error, "the bank did not answer a question");
    bank_unreachable()
}

fn declined() -> Problem {
    Problem::new(StatusCode::PAYMENT_REQUIRED, "card-declined", "The card was declined")
        .field("source")
        .detail("the answer stays the same for this key; use a new key with another source")
}

fn bank_failed() -> Problem {
    Problem::new(StatusCode::BAD_GATEWAY, "bank-failed", "The bank failed before it charged")
        .detail("nothing was charged; the answer stays the same for this key, use a new one")
}

fn bank_refused() -> Problem {
    Problem::new(StatusCode::BAD_GATEWAY, "bank-refused", "The bank refused the request").not_executed()
}
