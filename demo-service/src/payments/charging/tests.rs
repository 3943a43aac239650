use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use idempotency_store::{Fence, Owner};
use tokio::time::advance;
use tower_idempotency::FenceHeader;

use super::*;

/// A transfer whose answers are written down beforehand.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    sent: usize,
    asked: usize,
    on_send: Option<Result<&'static str, CallError>>,
    on_ask: VecDeque<Result<Found<&'static str>, CallError>>,
}

impl Scripted {
    fn new(
        on_send: Result<&'static str, CallError>,
        on_ask: impl IntoIterator<Item = Result<Found<&'static str>, CallError>>,
    ) -> Self {
        let script = Script { on_send: Some(on_send), on_ask: on_ask.into_iter().collect(), ..Script::default() };
        Self(Arc::new(Mutex::new(script)))
    }

    /// How often something was sent and how often it was asked for.
    fn calls(&self) -> (usize, usize) {
        let script = self.0.lock().unwrap();
        (script.sent, script.asked)
    }
}

impl Transfer for Scripted {
    type Record = &'static str;

    async fn send(&self, _: &BankClient, terms: &Terms) -> Result<&'static str, CallError> {
        assert_eq!((terms.key.as_deref(), terms.fence), (Some("k"), Some(fence())));
        let mut script = self.0.lock().unwrap();
        script.sent += 1;
        script.on_send.take().expect("sent once")
    }

    /// When the script is at its end, the bank is down; each question takes a while.
    async fn ask(&self, _: &BankClient, key: &str) -> Result<Found<&'static str>, CallError> {
        assert_eq!(key, "k");
        advance(Duration::from_millis(1)).await;
        let mut script = self.0.lock().unwrap();
        script.asked += 1;
        script.on_ask.pop_front().unwrap_or(Err(unclear()))
    }
}

fn unclear() -> CallError {
    CallError::Unclear(StatusCode::BAD_GATEWAY)
}

fn refusal(name: &'static str) -> CallError {
    CallError::Refused(Problem::new(StatusCode::IM_A_TEAPOT, name, "No").not_executed())
}

fn fence() -> FenceHeader {
    FenceHeader::new(Fence::new(7), Owner::new([7; 16]))
}

fn mandate() -> Mandate {
    let not_after = clock::now() + 30_000;
    Mandate { terms: Terms { key: Some("k".into()), fence: Some(fence()), not_after: Some(not_after) }, not_after }
}

fn found(records: &[&'static str], as_of: u64) -> Found<&'static str> {
    Found { records: records.to_vec(), as_of }
}

async fn outcome(transfer: &Scripted, mandate: &Mandate) -> Result<&'static str, Problem> {
    let nobody = BankClient::new("http://127.0.0.1:1").unwrap();
    carry_out(&nobody, transfer, mandate).await
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_the_outcome_and_nothing_is_asked() {
    let transfer = Scripted::new(Ok("ch_1"), []);
    assert_eq!(outcome(&transfer, &mandate()).await, Ok("ch_1"));
    assert_eq!(transfer.calls(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer() {
    let cases = [
        ("card-declined", StatusCode::PAYMENT_REQUIRED, false),
        ("bank-failed", StatusCode::BAD_GATEWAY, false),
        ("expired", StatusCode::SERVICE_UNAVAILABLE, true),
        ("fenced", StatusCode::CONFLICT, true),
        ("something-new", StatusCode::BAD_GATEWAY, true),
    ];
    for (name, status, released) in cases {
        let transfer = Scripted::new(Err(refusal(name)), []);
        let problem = outcome(&transfer, &mandate()).await.unwrap_err();
        assert_eq!((problem.status(), problem.says_not_executed()), (status, released), "{name}");
        assert_eq!(transfer.calls(), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_reply_it_asks_until_the_bank_shows_it() {
    let early = clock::now();
    let answers = [Err(unclear()), Ok(found(&[], early)), Ok(found(&["ch_1"], early))];
    let transfer = Scripted::new(Err(unclear()), answers);
    assert_eq!(outcome(&transfer, &mandate()).await, Ok("ch_1"));
    assert_eq!(transfer.calls(), (1, 3), "and never sends again");
}

#[tokio::test(start_paused = true)]
async fn nothing_in_the_ledger_counts_only_when_nothing_can_come_any_more() {
    let mandate = mandate();
    let void = mandate.not_after + millis(VOID_AFTER);
    let transfer = Scripted::new(Err(unclear()), [Ok(found(&[], void)), Ok(found(&[], void + 1))]);
    let problem = outcome(&transfer, &mandate).await.unwrap_err();
    assert_eq!((problem.name(), problem.says_not_executed()), ("nothing-charged", true));
    assert_eq!(transfer.calls(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_bank_that_cannot_be_asked_leaves_the_outcome_unknown_and_recorded() {
    let transfer = Scripted::new(Err(unclear()), []);
    let started = Instant::now();
    let problem = outcome(&transfer, &mandate()).await.unwrap_err();
    assert_eq!(problem.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(!problem.says_not_executed());
    let waited = started.elapsed();
    let least = Duration::from_secs(30) + VOID_AFTER;
    assert!(waited >= least && waited < least + MARGIN + LONGEST_PAUSE * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bank_whose_clock_stands_still_never_makes_it_certain() {
    let early = clock::now();
    let transfer = Scripted::new(Err(unclear()), std::iter::repeat_with(|| Ok(found(&[], early))).take(1000));
    let problem = outcome(&transfer, &mandate()).await.unwrap_err();
    assert_eq!(problem.name(), "outcome-unknown");
}
