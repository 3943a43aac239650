//! Whole storms against a small payment service that is as good, or as bad, as each test needs, with the real bank as the judge.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::scene::OwnBank;
use super::*;
use crate::bank::BankClient;
use crate::bank::charge::{ChargeQuery, ChargeRequest, Terms};

/// How the service under attack treats a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Once per key, and the same answer again.
    Keeps,
    /// It does not look at it.
    Ignores,
    /// It says "paid" and charges nobody.
    Pretends,
    /// Once per key, with another payment id in each answer.
    Rewords,
    /// Once per key, and nobody is told how it ended.
    Shrugs,
    /// Its credentials are not ours.
    TurnsAway,
}

#[derive(Debug, Clone)]
struct Service {
    manner: Manner,
    bank: BankClient,
    answers: Arc<Mutex<HashMap<String, Option<String>>>>,
}

impl Service {
    async fn start(manner: Manner, bank: &OwnBank) -> String {
        let bank = BankClient::new(&bank.base.to_string()).unwrap();
        let service = Self { manner, bank, answers: Arc::default() };
        let app = Router::new().route("/payments", post(pay)).route("/readyz", get(|| async { "ready" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app.with_state(service)).await });
        url
    }

    async fn answer(self, key: String, order: Value) -> Response {
        match self.manner {
            Manner::TurnsAway => return problem(401, "scope-missing"),
            Manner::Pretends => return receipt(&order, Uuid::nil(), "ch_none"),
            Manner::Ignores => return self.charge(&Uuid::new_v4().to_string(), &order).await,
            Manner::Keeps | Manner::Rewords | Manner::Shrugs => {}
        }
        let known = match self.answers.lock().unwrap().entry(key.clone()) {
            Entry::Occupied(known) => Some(known.get().clone()),
            Entry::Vacant(new) => {
                new.insert(None);
                None
            }
        };
        match known {
            None => self.first(key, order).await,
            Some(None) => problem(409, "in-flight"),
            Some(Some(answer)) => self.replay(answer),
        }
    }

    async fn first(self, key: String, order: Value) -> Response {
        let response = self.charge(&key, &order).await;
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        self.answers.lock().unwrap().insert(key, Some(body.clone()));
        if self.manner == Manner::Shrugs {
            return problem(409, "indeterminate");
        }
        (StatusCode::CREATED, body).into_response()
    }

    fn replay(&self, mut answer: String) -> Response {
        match self.manner {
            Manner::Shrugs => return problem(409, "indeterminate"),
            Manner::Rewords => {
                let mut receipt: Value = serde_json::from_str(&answer).unwrap();
                receipt["id"] = json!(Uuid::new_v4());
                answer = receipt.to_string();
            }
            _ => {}
        }
        (StatusCode::CREATED, [("idempotent-replayed", "true")], answer).into_response()
    }

    async fn charge(&self, key: &str, order: &Value) -> Response {
        let payment = Uuid::new_v4();
        let text = |name: &str| order[name].as_str().unwrap().to_owned();
        let request = ChargeRequest {
            amount: order["amount"].as_u64().unwrap(),
            currency: text("currency"),
            source: text("source"),
            reference: text("reference"),
            merchant: "storm-merchant".to_owned(),
            payment,
        };
        let terms = Terms { key: Some(key.to_owned()), ..Terms::default() };
        let charge = match self.bank.charge(&request, &terms).await {
            Ok(charge) => charge,
            Err(_) => self.ask(key).await,
        };
        receipt(order, payment, &charge.id)
    }

    /// The bank's reply was lost, and the bank knows what it did.
    async fn ask(&self, key: &str) -> crate::bank::charge::Charge {
        let query = ChargeQuery { key: Some(key.to_owned()), ..ChargeQuery::default() };
        self.bank.charges(&query).await.unwrap().records.remove(0)
    }
}

async fn pay(State(service): State<Service>, headers: HeaderMap, Json(order): Json<Value>) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    // In a task of its own: a client that leaves must not stop a payment half-way.
    tokio::spawn(service.answer(key, order)).await.unwrap()
}

fn receipt(order: &Value, payment: Uuid, charge: &str) -> Response {
    let body = json!({
        "id": payment, "status": "paid", "amount": order["amount"], "currency": order["currency"],
        "reference": order["reference"], "charge": charge,
    });
    (StatusCode::CREATED, body.to_string()).into_response()
}

fn problem(status: u16, name: &str) -> Response {
    let body = json!({ "type": format!("https://example.org/problems/{name}"), "status": status }).to_string();
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/problem+json"));
    // Whoever is told that nobody will ever know asks no more.
    if name != "indeterminate" {
        response.headers_mut().insert("retry-after", HeaderValue::from_static("0"));
    }
    response
}

#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn arguments(line: &str) -> Args {
    Command::try_parse_from(std::iter::once("storm").chain(line.split_whitespace())).unwrap().args
}

const HEAVY: &str = "--payments 120 --clients 12 --seed 11 --lose-replies 30 --disconnect 20 --double-click 30 \
                     --bank-lost-replies 20 --patience 20s";

/// A storm against such a service: the verdict, and the report that was printed.
async fn storm(manner: Manner, options: &str) -> (Verdict, String) {
    let files = TempDir::new().unwrap();
    let bank = OwnBank::start(files.path(), false).await.unwrap();
    let url = Service::start(manner, &bank).await;
    let args = arguments(&format!("{HEAVY} --url {url} --bank {} {options}", bank.base));
    args.check().unwrap();
    let mut printed = Vec::new();
    let verdict = report(&args, &mut printed).await.unwrap();
    let printed = String::from_utf8(printed).unwrap();
    println!("{manner:?} {options}\n{printed}");
    (verdict, printed)
}

/// The number in a row of the report.
fn row(report: &str, name: &str) -> u64 {
    let row = report.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    row.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_keeps_its_keys_passes() {
    let (verdict, printed) = storm(Manner::Keeps, "").await;
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.settled, verdict.charges), (120, 120));
    assert!(printed.contains("PASSED: 0 double charges"));
    for fault in ["retries", "double clicks", "disconnects", "lost replies", "replayed"] {
        assert!(row(&printed, fault) > 0, "no {fault}");
    }
    assert!(printed.contains("120 of them replayed when asked again at the end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ignores_keys_fails() {
    let (verdict, printed) = storm(Manner::Ignores, "").await;
    // The recall alone charges every payment once more.
    assert_eq!(verdict.doubles.len(), 120);
    assert!(!verdict.divergent.is_empty());
    assert!(printed.contains("FAILED: 120 double charges"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_for_nothing_is_found() {
    let (verdict, printed) = storm(Manner::Pretends, "").await;
    assert_eq!((verdict.lost.len(), verdict.doubles.len()), (120, 0));
    assert!(printed.contains("ch_none, which the bank does not know"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_in_other_words_is_found() {
    let (verdict, _) = storm(Manner::Rewords, "").await;
    assert_eq!((verdict.divergent.len(), verdict.doubles.len(), verdict.lost.len()), (120, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_listed_and_is_no_verdict() {
    let (verdict, printed) = storm(Manner::Shrugs, "").await;
    assert!(verdict.is_clean() && verdict.is_empty());
    assert_eq!(row(&printed, "indeterminate"), 120);
    assert_eq!(printed.matches(": 1 charge, heard last: 409 indeterminate").count(), 120);
    assert!(printed.contains("NO VERDICT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_lets_nobody_in_is_no_verdict() {
    let (verdict, printed) = storm(Manner::TurnsAway, "").await;
    assert!(verdict.is_empty());
    assert_eq!(printed.matches(": 0 charges, heard last: 401 scope-missing").count(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_even_a_good_service_charges_twice() {
    let (verdict, printed) = storm(Manner::Keeps, "--without-key").await;
    assert!(!verdict.doubles.is_empty());
    assert!(verdict.lost.is_empty() && verdict.divergent.is_empty());
    assert!(printed.contains("FAILED, AS IT MUST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_a_hundred_percent_ends() {
    let odds = "--payments 20 --lose-replies 100 --disconnect 50 --double-click 0 --bank-lost-replies 0";
    let (verdict, printed) = storm(Manner::Keeps, odds).await;
    assert!(verdict.is_clean());
    assert_eq!(verdict.settled, 20);
    assert!(row(&printed, "retries") >= 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_it_and_the_rest_is_listed() {
    let (verdict, printed) = storm(Manner::Keeps, "--deadline 1ms").await;
    assert!(verdict.is_clean());
    assert!(row(&printed, "gave up") >= 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_the_bank_has_seen_is_refused() {
    let files = TempDir::new().unwrap();
    let bank = OwnBank::start(files.path(), false).await.unwrap();
    let url = Service::start(Manner::Keeps, &bank).await;
    let args = arguments(&format!("--payments 5 --seed 3 --url {url} --bank {}", bank.base));
    report(&args, &mut Vec::new()).await.unwrap();
    let error = report(&args, &mut Vec::new()).await.unwrap_err();
    assert!(matches!(error, Error::SeedUsed { seed: 3 }), "{error:?}");
}
