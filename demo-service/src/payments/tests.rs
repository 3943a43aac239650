use http::StatusCode;
use http::header::CONTENT_TYPE;
use idempotency_store::MemoryStore;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower_idempotency::{Scope, Secret};

use super::*;
use crate::bank::{self, Ledger};
use crate::problem::CONTENT_TYPE as PROBLEM;

/// The service and its bank on real sockets.
struct Running {
    base: String,
    bank: BankClient,
    http: Client,
    _directory: TempDir,
}

impl Running {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path().join("ledger")).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bank = BankClient::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(bank::serve(listener, ledger, None, std::future::pending()));
        let base = serve(bank.clone()).await;
        Self { base, bank, http: Client::new(), _directory: directory }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).bearer_auth("shop")
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).bearer_auth("shop").header("idempotency-key", key).json(body)
    }

    async fn pay(&self, key: &str, source: &str) -> Response {
        self.post("/payments", key, &order(source)).send().await.unwrap()
    }

    async fn charges(&self) -> u64 {
        self.bank.summary().await.unwrap().charges
    }
}

/// The service over this bank, on a memory store; its address.
async fn serve(bank: BankClient) -> String {
    let store = BoxStore::new(MemoryStore::new());
    let scope = Scope::extension(|merchant: &Merchant| merchant.0.as_bytes());
    let layer = IdempotencyLayer::new(store.clone(), scope, Secret::random().unwrap());
    let app = router(Payments { bank, lease: Duration::from_secs(30), store }, layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    base
}

fn order(source: &str) -> Value {
    json!({"amount": 1000, "currency": "EUR", "source": source, "reference": "order-42"})
}

async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

/// The last segment of a problem's type.
fn name(problem: &Value) -> &str {
    problem["type"].as_str().unwrap().rsplit('/').next().unwrap()
}

fn is_replay(response: &Response) -> bool {
    response.headers().contains_key("idempotent-replayed")
}

#[tokio::test]
async fn pays_once_and_replays_the_answer() {
    let service = Running::start().await;
    let first = service.pay("k1", "card_visa").await;
    assert_eq!(first.status(), StatusCode::CREATED);
    assert!(!is_replay(&first));
    let location = first.headers()["location"].to_str().unwrap().to_owned();
    let payment = first.text().await.unwrap();

    let again = service.pay("k1", "card_visa").await;
    assert_eq!(again.status(), StatusCode::CREATED);
    assert!(is_replay(&again));
    assert_eq!(again.headers()["location"], location.as_str());
    assert_eq!(again.text().await.unwrap(), payment);

    let other = service.pay("k1", "card_slow_1").await;
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(name(&json(other).await), "key-reused");
    assert_eq!(service.charges().await, 1);

    let shown = json(service.get(&location).send().await.unwrap()).await;
    assert_eq!(shown, serde_json::from_str::<Value>(&payment).unwrap());
    assert_eq!(
        (&shown["status"], &shown["amount"], &shown["reference"]),
        (&json!("paid"), &json!(1000), &json!("order-42"))
    );
    let id = shown["id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();
    assert_eq!(id.get_version_num(), 8, "derived from the key, so that every attempt has the same");
}

#[tokio::test]
async fn a_lost_reply_of_the_bank_is_found_in_its_ledger() {
    let service = Running::start().await;
    let paid = service.pay("k1", "card_lost_reply").await;
    assert_eq!(paid.status(), StatusCode::CREATED);
    let payment = json(paid).await;
    assert_eq!(service.charges().await, 1);

    let path = format!("/payments/{}/refunds", payment["id"].as_str().unwrap());
    let refund = service.post(&path, "k2", &json!({"amount": 10})).send().await.unwrap();
    assert_eq!(refund.status(), StatusCode::CREATED);
    assert_eq!(json(refund).await["charge"], payment["charge"]);
    assert_eq!(service.bank.summary().await.unwrap().refunds, 1);
}

#[tokio::test]
async fn the_bank_gets_the_derived_key_and_the_fence() {
    let service = Running::start().await;
    service.pay("k1", "card_visa").await;
    let charges = service.bank.charges(&bank::charge::ChargeQuery::default()).await.unwrap().records;
    let key = charges[0].key.clone().unwrap();
    assert!(key.len() >= 32 && !key.contains("k1"), "{key}");
    assert!(charges[0].fence.clone().unwrap().parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn outcomes_are_recorded_and_refusals_are_not() {
    let service = Running::start().await;
    let cases = [
        ("card_declined", StatusCode::PAYMENT_REQUIRED, "/problems/card-declined", true),
        ("card_bank_500", StatusCode::BAD_GATEWAY, "/problems/bank-failed", true),
        ("bitcoin", StatusCode::UNPROCESSABLE_ENTITY, "/problems/unknown-source", false),
        ("", StatusCode::UNPROCESSABLE_ENTITY, "/problems/field-invalid", false),
    ];
    for (source, status, kind, recorded) in cases {
        for replay in [false, recorded] {
            let response = service.pay(&format!("key-{source}"), source).await;
            assert_eq!(response.status(), status, "{source}");
            assert_eq!(is_replay(&response), replay, "{source}");
            assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM);
            let problem = json(response).await;
            assert_eq!(problem["type"], kind);
            assert_eq!(problem["executed"] == json!(false), !recorded, "{problem}");
        }
    }
    assert_eq!(service.charges().await, 0);
    // A key whose request executed nothing is free, even for the corrected request.
    assert_eq!(service.pay("key-bitcoin", "card_visa").await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_bank_that_is_down_leaves_the_key_free() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let base = serve(BankClient::new(&format!("http://{address}")).unwrap()).await;
    let request = Client::new().post(format!("{base}/payments")).bearer_auth("shop").header("idempotency-key", "k");
    let request = request.json(&order("card_visa"));
    for _ in 0..2 {
        let response = request.try_clone().unwrap().send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert!(!is_replay(&response));
        assert_eq!(json(response).await["type"], "/problems/bank-unreachable");
    }
}

#[tokio::test]
async fn refunds_in_parts_and_never_more_than_was_paid() {
    let service = Running::start().await;
    let payment = json(service.pay("k1", "card_visa").await).await;
    let location = format!("/payments/{}", payment["id"].as_str().unwrap());
    let refund =
        |key: &'static str, amount: u64| service.post(&format!("{location}/refunds"), key, &json!({"amount": amount}));

    let part = refund("k2", 400).send().await.unwrap();
    assert_eq!(part.status(), StatusCode::CREATED);
    assert_eq!(json(part).await["payment"], payment["id"]);
    assert!(is_replay(&refund("k2", 400).send().await.unwrap()));
    assert_eq!(json(service.get(&location).send().await.unwrap()).await["status"], "partly_refunded");

    let over = refund("k3", 601).send().await.unwrap();
    assert_eq!(over.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let over = json(over).await;
    assert_eq!((&over["type"], &over["field"]), (&json!("/problems/over-refund"), &json!("amount")));

    assert_eq!(refund("k4", 600).send().await.unwrap().status(), StatusCode::CREATED);
    let refunded = json(service.get(&location).send().await.unwrap()).await;
    assert_eq!((&refunded["status"], &refunded["refunded"]), (&json!("refunded"), &json!(1000)));
    assert_eq!(service.bank.summary().await.unwrap().refunded["EUR"], 1000);
}

#[tokio::test]
async fn a_merchant_sees_and_refunds_its_own_payments_alone() {
    let service = Running::start().await;
    let mut ids = Vec::new();
    for key in ["k1", "k2", "k3"] {
        ids.push(json(service.pay(key, "card_visa").await).await["id"].as_str().unwrap().to_owned());
    }
    let list = async |path: &str| {
        let found = json(service.get(path).send().await.unwrap()).await;
        let ids = found.as_array().unwrap().iter().map(|payment| payment["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(list("/payments").await, [&*ids[2], &ids[1], &ids[0]]);
    assert_eq!(list("/payments?limit=1").await, [&*ids[2]]);
    assert_eq!(list(&format!("/payments?limit=5&after={}", ids[1])).await, [&*ids[0]]);

    let location = format!("/payments/{}", ids[0]);
    let stolen = service.http.get(format!("{}{location}", service.base)).bearer_auth("thief");
    assert_eq!(stolen.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let refund = service.http.post(format!("{}{location}/refunds", service.base)).bearer_auth("thief");
    let refund = refund.header("idempotency-key", "k1").json(&json!({"amount": 1}));
    assert_eq!(refund.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(service.bank.summary().await.unwrap().refunds, 0);
}

#[tokio::test]
async fn what_cannot_be_served_is_a_problem_that_says_why() {
    let service = Running::start().await;
    let anonymous = service.http.get(format!("{}/payments", service.base));
    let keyless = service.http.post(format!("{}/payments", service.base)).bearer_auth("shop").json(&order("card_visa"));
    let malformed = service.post("/payments", "k", &json!({})).body("{\"amount\":");
    let cases = [
        (anonymous, 401, "unauthenticated"),
        (keyless, 400, "key-missing"),
        (malformed, 400, "body-unreadable"),
        (service.post("/payments", "k", &json!([])), 422, "body-unreadable"),
        (service.post("/payments", "k", &json!({"amount": 0})), 422, "field-invalid"),
        (service.get("/payments?limit=0"), 422, "field-invalid"),
        (service.get("/payments?limit=x"), 400, "query-unreadable"),
        (service.get("/payments/none"), 404, "unknown-payment"),
        (service.get("/nowhere"), 404, "unknown-route"),
        (service.http.delete(format!("{}/payments", service.base)).bearer_auth("shop"), 405, "method-not-allowed"),
    ];
    for (request, status, name) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{name}");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM, "{name}");
        assert_eq!(self::name(&json(response).await), name);
    }
    assert_eq!(service.charges().await, 0);
}

#[tokio::test]
async fn says_whether_it_runs_and_is_ready() {
    let service = Running::start().await;
    for path in ["/healthz", "/readyz"] {
        let response = service.http.get(format!("{}{path}", service.base)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}
