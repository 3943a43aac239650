//! The bank's routes: read what was asked, execute it in a task of its own, answer - or not, as the card says.

use axum::extract::{ConnectInfo, FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio_util::task::TaskTracker;
use tower_idempotency::{FenceHeader, IDEMPOTENCY_FENCE, IDEMPOTENCY_KEY, KeyError, KeySyntax};

use super::card::Card;
use super::charge::{
    BANK_TIME, Charge, ChargeQuery, ChargeRequest, MAX_AMOUNT, NOT_AFTER, Refund, RefundQuery, RefundRequest, Summary,
    Terms, VOID_AFTER,
};
use super::clock;
use super::dedup::Dedup;
use super::hangup::Line;
use super::ledger::Ledger;
use super::refusal;
use crate::extract;
use crate::problem::Problem;

/// What the routes work on.
#[derive(Clone, Debug)]
pub(super) struct Bank {
    pub(super) ledger: Ledger,
    /// Everything being executed: it goes on when its caller leaves, and shutdown waits for it.
    pub(super) tasks: TaskTracker,
}

pub(super) fn router(bank: Bank, dedup: Option<&Dedup>) -> Router {
    let transfers = Router::new()
        .route("/charges", post(post_charge).get(get_charges))
        .route("/charges/{id}/refunds", post(post_refund));
    let transfers = match dedup {
        Some(dedup) => dedup.protect(transfers),
        None => transfers,
    };
    transfers
        .route("/charges/summary", get(get_summary))
        .route("/refunds", get(get_refunds))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async { refusal::unknown_route() })
        .method_not_allowed_fallback(|| async { refusal::wrong_method() })
        .with_state(bank)
}

/// Something executed, and whether the answer to it gets lost.
struct Executed<T> {
    record: T,
    reply_lost: bool,
}

async fn post_charge(
    State(bank): State<Bank>,
    ConnectInfo(line): ConnectInfo<Line>,
    terms: Terms,
    extract::Json(request): extract::Json<ChargeRequest>,
) -> Response {
    let work = charge(bank.ledger, request, terms);
    answer(detach(&bank.tasks, work).await, &line)
}

async fn post_refund(
    State(bank): State<Bank>,
    ConnectInfo(line): ConnectInfo<Line>,
    Path(id): Path<String>,
    terms: Terms,
    extract::Json(request): extract::Json<RefundRequest>,
) -> Response {
    let work = refund(bank.ledger, id, request, terms);
    answer(detach(&bank.tasks, work).await, &line)
}

/// Runs it in a task of its own, which hyper does not cancel when the caller leaves.
async fn detach<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = Result<Executed<T>, Problem>> + Send + 'static,
) -> Result<Executed<T>, Problem> {
    let finished = tasks.spawn(work).await;
    finished.unwrap_or_else(|_| Err(refusal::crashed()))
}

async fn charge(ledger: Ledger, request: ChargeRequest, terms: Terms) -> Result<Executed<Charge>, Problem> {
    check_time(&terms)?;
    check_amount(request.amount)?;
    let card = Card::parse(&request.source).ok_or_else(refusal::unknown_source)?;
    match card {
        Card::Declined => return Err(refusal::declined()),
        Card::Fails => return Err(refusal::failed()),
        Card::Slow(wait) => tokio::time::sleep(wait).await,
        Card::Works | Card::LosesReplies(_) => {}
    }
    let latest = latest(&terms);
    let record = ledger.charge(charge_record(request, terms), latest).await?;
    tracing::debug!(charge = %record.id, amount = record.amount, currency = %record.currency, "charged");
    Ok(Executed { record, reply_lost: card.loses_reply(roll()) })
}

async fn refund(ledger: Ledger, id: String, request: RefundRequest, terms: Terms) -> Result<Executed<Refund>, Problem> {
    check_time(&terms)?;
    check_amount(request.amount)?;
    let latest = latest(&terms);
    let record = ledger.refund(refund_record(id, request, terms), latest).await?;
    tracing::debug!(refund = %record.id, charge = %record.charge, amount = record.amount, "refunded");
    let card = ledger.read(|book| book.charge(&record.charge).and_then(|charge| Card::parse(&charge.source)));
    let reply_lost = card.is_some_and(|card| card.loses_reply(roll()));
    Ok(Executed { record, reply_lost })
}

async fn get_charges(
    State(bank): State<Bank>,
    extract::Query(query): extract::Query<ChargeQuery>,
) -> Result<impl IntoResponse, Problem> {
    let time = settle(&bank.ledger).await?;
    let found = bank.ledger.read(|book| book.charges(&query))?;
    Ok((time, Json(found)))
}

async fn get_refunds(
    State(bank): State<Bank>,
    extract::Query(query): extract::Query<RefundQuery>,
) -> Result<impl IntoResponse, Problem> {
    let time = settle(&bank.ledger).await?;
    Ok((time, Json(bank.ledger.read(|book| book.refunds(&query)))))
}

async fn get_summary(State(bank): State<Bank>) -> Result<Json<Summary>, Problem> {
    settle(&bank.ledger).await?;
    Ok(Json(bank.ledger.read(super::ledger::Book::summary)))
}

/// Lets everything that came before into the book. The time is read first: what is not in the book then was not ordered
/// before that instant, so a caller can tell from it whether something can still come.
async fn settle(ledger: &Ledger) -> Result<[(&'static str, String); 1], Problem> {
    let now = clock::now();
    ledger.settled().await?;
    Ok([(BANK_TIME, now.to_string())])
}

fn answer<T: serde::Serialize>(outcome: Result<Executed<T>, Problem>, line: &Line) -> Response {
    match outcome {
        Ok(executed) => {
            if executed.reply_lost {
                line.hang_up();
            }
            (StatusCode::CREATED, Json(executed.record)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// Judged when the request arrives, before the card makes it wait.
fn check_time(terms: &Terms) -> Result<(), Problem> {
    match terms.not_after {
        Some(not_after) if clock::now() > not_after => Err(refusal::expired()),
        _ => Ok(()),
    }
}

fn check_amount(amount: u64) -> Result<(), Problem> {
    match amount {
        1..=MAX_AMOUNT => Ok(()),
        _ => Err(refusal::amount_out_of_range()),
    }
}

/// When the ledger refuses what arrived in time; what makes [`VOID_AFTER`] true.
fn latest(terms: &Terms) -> Option<u64> {
    let void_after = u64::try_from(VOID_AFTER.as_millis()).unwrap_or(u64::MAX);
    terms.not_after.map(|not_after| not_after.saturating_add(void_after))
}

fn roll() -> u8 {
    rand::random_range(0..100)
}

fn charge_record(request: ChargeRequest, terms: Terms) -> Charge {
    Charge {
        id: String::new(),
        amount: request.amount,
        currency: request.currency,
        source: request.source,
        reference: request.reference,
        merchant: request.merchant,
        payment: request.payment,
        key: terms.key,
        fence: terms.fence.map(bare),
        at: 0,
        refunded: 0,
    }
}

fn refund_record(charge: String, request: RefundRequest, terms: Terms) -> Refund {
    Refund {
        id: String::new(),
        charge,
        amount: request.amount,
        reference: request.reference,
        key: terms.key,
        fence: terms.fence.map(bare),
        at: 0,
    }
}

/// As it stands in the ledger: the number alone.
fn bare(fence: FenceHeader) -> String {
    fence.fence().to_string()
}

impl<S: Sync> FromRequestParts<S> for Terms {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let fence = FenceHeader::parse(&parts.headers);
        Ok(Self {
            key: key(&parts.headers)?,
            fence: fence.map_err(|_| refusal::malformed_header(&IDEMPOTENCY_FENCE))?,
            not_after: not_after(&parts.headers)?,
        })
    }
}

/// A quoted string, as programs send it, or the same bare, as people do.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match KeySyntax::Lenient.parse(headers) {
        Ok(key) => Ok(Some(key.as_str().to_owned())),
        Err(KeyError::Missing) => Ok(None),
        Err(_) => Err(refusal::malformed_header(&IDEMPOTENCY_KEY)),
    }
}

fn not_after(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let millis = headers.get(NOT_AFTER).map(|value| value.to_str().ok()?.parse().ok());
    millis.map(|millis| millis.ok_or_else(|| refusal::malformed_header(&NOT_AFTER))).transpose()
}
