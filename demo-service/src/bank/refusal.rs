//! The bank's error answers. All but one say that nothing was executed; where the ledger broke, nobody knows.

use http::{HeaderName, StatusCode};

use super::charge::MAX_AMOUNT;
use super::ledger::{LedgerError, UnknownCharge};
use crate::problem::Problem;

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Expired => expired(),
            LedgerError::UnknownCharge(id) => unknown_charge(&id),
            LedgerError::OverRefund { left } => over_refund(left),
            LedgerError::Broken => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger-broken", "The ledger cannot be written")
                    .detail("nobody knows whether this was executed; ask again when the bank was started anew")
            }
        }
    }
}

impl From<UnknownCharge> for Problem {
    fn from(UnknownCharge(id): UnknownCharge) -> Self {
        unknown_charge(&id)
    }
}

pub(super) fn expired() -> Problem {
    Problem::new(StatusCode::CONFLICT, "expired", "The request came after its time")
        .detail("its Not-After header names an instant that has passed by the bank's clock")
        .not_executed()
}

pub(super) fn declined() -> Problem {
    Problem::new(StatusCode::PAYMENT_REQUIRED, "card-declined", "The card was declined").field("source").not_executed()
}

pub(super) fn failed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bank-failed", "The bank failed before it charged").not_executed()
}

pub(super) fn unknown_source() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-source", "The bank does not know this source")
        .detail(
            "use card_visa, card_declined, card_slow_MS, card_bank_500, card_lost_reply, or card_flaky_P with P from 0 to 100",
        )
        .field("source")
        .not_executed()
}

pub(super) fn amount_out_of_range() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "amount-out-of-range", "The amount is out of range")
        .detail(format!("an amount is from 1 to {MAX_AMOUNT}, in minor units"))
        .field("amount")
        .not_executed()
}

pub(super) fn malformed_header(name: &HeaderName) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "header-malformed", "A header cannot be read")
        .field(name.as_str().to_owned())
        .not_executed()
}

pub(super) fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-route", "The bank has no such resource")
        .detail("it has POST /charges, POST /charges/{id}/refunds, GET /charges, GET /charges/summary, GET /refunds, GET /healthz")
        .not_executed()
}

pub(super) fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This resource does not take this method")
        .detail("the Allow header names those that it takes")
        .not_executed()
}

pub(super) fn crashed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bank-crashed", "The bank crashed at this request")
        .detail("nobody knows whether this was executed")
}

fn unknown_charge(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-charge", "There is no such charge")
        .detail(format!("no charge has the id {id}"))
        .not_executed()
}

fn over_refund(left: u64) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "over-refund", "More than was paid cannot be given back")
        .detail(format!("{left} of the charge is left to be given back, in minor units"))
        .field("amount")
        .not_executed()
}
