//! What goes over the wire between the bank and those who call it.
//!
//! The same types are the lines of the ledger, the answers of the API and what [`BankClient`](super::BankClient) returns,
//! so a verdict read from the bank is a verdict read from the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use tower_idempotency::{Downstream, FenceHeader};
use uuid::Uuid;

use super::card::SLOWEST;

/// After this instant the bank must not execute the request: milliseconds since the Unix epoch.
///
/// The demo's own header, no standard. The caller sets it to the end of its lease, so that a request that was delayed on
/// its way cannot take effect when somebody else may already be at work on the same key.
pub const NOT_AFTER: HeaderName = HeaderName::from_static("not-after");
/// In answers to questions about the ledger: the bank's clock, milliseconds since the Unix epoch.
///
/// [`NOT_AFTER`] is judged by that clock, so it is the one that says when an unanswered request is certain to be void.
pub const BANK_TIME: &str = "bank-time";

/// The largest amount that is accepted, in minor units.
pub const MAX_AMOUNT: u64 = 1_000_000_000;

/// What is not in the ledger so long after its [`NOT_AFTER`] never will be: the slowest card, and a second to write it.
///
/// The ledger itself refuses what comes to it later, so a caller whose reply was lost can wait it out and be certain.
pub const VOID_AFTER: Duration = SLOWEST.saturating_add(Duration::from_secs(1));

/// The body of `POST /charges`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRequest {
    /// In minor units (cents); more than zero.
    pub amount: u64,
    /// ISO 4217, three upper-case letters.
    pub currency: String,
    /// What to charge, and how the bank behaves: see [`Card`](super::card::Card).
    pub source: String,
    /// The merchant's own name for what is paid.
    pub reference: String,
    /// Whose money it becomes.
    pub merchant: String,
    /// The payment that this charge settles.
    pub payment: Uuid,
}

/// One executed charge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The bank's own id, `ch_...`.
    pub id: String,
    /// In minor units (cents).
    pub amount: u64,
    /// ISO 4217.
    pub currency: String,
    /// What was charged.
    pub source: String,
    /// The merchant's own name for what was paid.
    pub reference: String,
    /// Whose money it became.
    pub merchant: String,
    /// The payment that this charge settles.
    pub payment: Uuid,
    /// The `Idempotency-Key` that came with the request.
    pub key: Option<String>,
    /// The fence in the `Idempotency-Fence` that came with the request.
    pub fence: Option<String>,
    /// When it was executed: milliseconds since the Unix epoch, by the bank's clock.
    pub at: u64,
    /// How much of it was given back so far.
    #[serde(default)]
    pub refunded: u64,
}

/// The body of `POST /charges/{id}/refunds`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// In minor units (cents); more than zero.
    pub amount: u64,
    /// The merchant's own name for the refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// One executed refund.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The bank's own id, `re_...`.
    pub id: String,
    /// The charge that it gives back.
    pub charge: String,
    /// In minor units (cents).
    pub amount: u64,
    /// The merchant's own name for the refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The `Idempotency-Key` that came with the request.
    pub key: Option<String>,
    /// The fence in the `Idempotency-Fence` that came with the request.
    pub fence: Option<String>,
    /// When it was executed: milliseconds since the Unix epoch, by the bank's clock.
    pub at: u64,
}

/// What the caller sends beside the body, as headers. Without [dedup](super::dedup) the bank writes key and fence down, and
/// executes all the same.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Names the caller's operation: the `Idempotency-Key`.
    pub key: Option<String>,
    /// The attempt that calls: the `Idempotency-Fence`.
    pub fence: Option<FenceHeader>,
    /// Sent as [`NOT_AFTER`].
    pub not_after: Option<u64>,
}

impl Terms {
    /// The terms of one step of an attempt's work.
    pub fn of(step: &Downstream, not_after: u64) -> Self {
        Self { key: Some(step.key().to_owned()), fence: Some(step.fence()), not_after: Some(not_after) }
    }
}

/// The query of `GET /charges`: what is named must match; newest first.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeQuery {
    /// Only charges of this reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Only charges that came with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only charges of this payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Uuid>,
    /// Only charges of this merchant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// Only charges older than the one of this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The query of `GET /refunds`: what is named must match; newest first.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundQuery {
    /// Only refunds that came with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only refunds of this charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<String>,
}

/// The answer of `GET /charges/summary`: the whole ledger in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Charges executed.
    pub charges: u64,
    /// Refunds executed.
    pub refunds: u64,
    /// The sum of the charges, per currency.
    pub charged: BTreeMap<String, u64>,
    /// The sum of the refunds, per currency.
    pub refunded: BTreeMap<String, u64>,
    /// Distinct references.
    pub references: u64,
    /// References with more than one charge. A merchant may use a reference twice, so this alone is no error.
    pub references_charged_twice: u64,
    /// Distinct keys.
    pub keys: u64,
    /// Keys with more than one charge: each is a double charge, for a key names one operation.
    pub keys_charged_twice: u64,
}
