//! The handlers. They are written as if every request came once; the layer sees to that.

use std::any::Any;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use idempotency_store::{Deadline, Store};
use serde::Deserialize;
use serde_json::{Map, Value};
use tower_idempotency::Idempotency;
use uuid::Uuid;

use super::arrival::Arrival;
use super::auth::Merchant;
use super::charging::{Mandate, RefundOf, carry_out};
use super::model::{NewPayment, NewRefund, Payment};
use super::step::Step;
use super::{Payments, answer, problem};
use crate::bank::BankClient;
use crate::bank::charge::{Charge, ChargeQuery, ChargeRequest, RefundRequest};
use crate::extract;
use crate::problem::Problem;

/// How long readiness waits for the store.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// How many payments a page has when nobody says otherwise, and at most.
const PAGE: (usize, usize) = (20, 100);

/// `POST /payments`
pub(super) async fn pay(
    State(payments): State<Payments>,
    Extension(merchant): Extension<Merchant>,
    Extension(arrival): Extension<Arrival>,
    idempotency: Idempotency,
    extract::Json(body): extract::Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let order = charge_request(NewPayment::read(body)?, merchant, payment_id(&idempotency));
    let mandate = Mandate::new(&idempotency, Step::Charge, arrival, payments.lease)?;
    let charge = carry_out(&payments.bank, &order, &mandate).await?;
    Ok(answer::paid(charge))
}

/// `POST /payments/{id}/refunds`
pub(super) async fn refund(
    State(payments): State<Payments>,
    Extension(merchant): Extension<Merchant>,
    Extension(arrival): Extension<Arrival>,
    Path(id): Path<String>,
    idempotency: Idempotency,
    extract::Json(body): extract::Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let NewRefund { amount } = NewRefund::read(body)?;
    let charge = find(&payments.bank, merchant, &id).await?;
    let order = RefundOf { charge: charge.id, request: RefundRequest { amount, reference: None } };
    let mandate = Mandate::new(&idempotency, Step::Refund, arrival, payments.lease)?;
    let refund = carry_out(&payments.bank, &order, &mandate).await?;
    Ok(answer::refunded(charge.payment, refund))
}

/// `GET /payments/{id}`
pub(super) async fn show(
    State(payments): State<Payments>,
    Extension(merchant): Extension<Merchant>,
    Path(id): Path<String>,
) -> Result<Json<Payment>, Problem> {
    let charge = find(&payments.bank, merchant, &id).await?;
    Ok(Json(charge.into()))
}

/// The query of `GET /payments`.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// The last payment of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /payments`
pub(super) async fn list(
    State(payments): State<Payments>,
    Extension(merchant): Extension<Merchant>,
    extract::Query(page): extract::Query<Page>,
) -> Result<Json<Vec<Payment>>, Problem> {
    let (usual, most) = PAGE;
    let limit = page.limit.unwrap_or(usual);
    if !(1..=most).contains(&limit) {
        return Err(problem::invalid("limit", format!("a number from 1 to {most}")));
    }
    let after = match page.after {
        Some(id) => Some(find(&payments.bank, merchant.clone(), &id).await?.id),
        None => None,
    };
    let query = ChargeQuery { merchant: Some(merchant.0), after, limit: Some(limit), ..ChargeQuery::default() };
    let charges = charges(&payments.bank, &query).await?;
    Ok(Json(charges.into_iter().map(Payment::from).collect()))
}

/// `GET /readyz`
pub(super) async fn readyz(State(payments): State<Payments>) -> Result<&'static str, Problem> {
    match payments.store.ping(Deadline::after(READY_WITHIN)).await {
        Ok(()) => Ok("ready\n"),
        Err(error) => {
            tracing::warn!(%error, "the idempotency store does not answer");
            Err(problem::not_ready())
        }
    }
}

/// The answer to a request whose handler panicked outside the layer, which has its own.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    problem::panicked().into_response()
}

/// The same for every attempt of one key: a takeover must send what its predecessor sent, or the bank would take it for
/// another payment.
fn payment_id(idempotency: &Idempotency) -> Uuid {
    let digest = Uuid::parse_str(&idempotency.downstream_key("payment")).unwrap_or_default();
    // A custom format (RFC 9562, section 5.8): the bits of a digest, without any meaning.
    uuid::Builder::from_custom_bytes(digest.into_bytes()).into_uuid()
}

fn charge_request(payment: NewPayment, Merchant(merchant): Merchant, id: Uuid) -> ChargeRequest {
    ChargeRequest {
        amount: payment.amount,
        currency: payment.currency,
        source: payment.source,
        reference: payment.reference,
        merchant,
        payment: id,
    }
}

/// The charge of one of the merchant's payments. Another merchant's payment is as unknown as one that never was.
async fn find(bank: &BankClient, Merchant(merchant): Merchant, id: &str) -> Result<Charge, Problem> {
    let payment = id.parse::<Uuid>().map_err(|_| problem::unknown_payment())?;
    let query = ChargeQuery { payment: Some(payment), merchant: Some(merchant), ..ChargeQuery::default() };
    charges(bank, &query).await?.into_iter().next().ok_or_else(problem::unknown_payment)
}

async fn charges(bank: &BankClient, query: &ChargeQuery) -> Result<Vec<Charge>, Problem> {
    let found = bank.charges(query).await;
    found.map(|found| found.records).map_err(|error| problem::unanswered(&error))
}
