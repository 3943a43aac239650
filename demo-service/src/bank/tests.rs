use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use idempotency_store::{Fence, Owner};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower_idempotency::FenceHeader;
use uuid::Uuid;

use super::charge::{ChargeQuery, ChargeRequest, RefundQuery, RefundRequest, Terms, VOID_AFTER};
use super::client::CallError;
use super::*;
use crate::problem::{self, Problem};

/// A bank on a real socket, with its own ledger.
pub(super) struct Running {
    address: SocketAddr,
    pub(super) client: BankClient,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
    /// What is being executed.
    pub(super) tasks: TaskTracker,
    directory: TempDir,
}

impl Running {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), false).await
    }

    /// One that protects itself.
    pub(super) async fn start_with_dedup() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), true).await
    }

    async fn start_in(directory: TempDir, dedup: bool) -> Self {
        let ledger = Ledger::open(directory.path().join("ledger")).await.unwrap();
        let dedup = Dedup::choose(dedup, &ledger).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let tasks = TaskTracker::new();
        let served = tokio::spawn(serve_tracked(listener, ledger, dedup, tasks.clone(), async {
            drop(stopped.await);
        }));
        let client = BankClient::new(&format!("http://{address}")).unwrap();
        Self { address, client, stop, served, tasks, directory }
    }

    /// Stops gracefully and starts anew, with dedup.
    pub(super) async fn restart(self) -> Self {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        Self::start_in(self.directory, true).await
    }

    /// Stops gracefully and says what the ledger holds then.
    async fn stop(self) -> Vec<charge::Charge> {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        let ledger = Ledger::open(self.directory.path().join("ledger")).await.unwrap();
        ledger.read(|book| book.charges(&ChargeQuery::default()).unwrap())
    }

    pub(super) async fn count(&self) -> usize {
        self.client.charges(&ChargeQuery::default()).await.unwrap().records.len()
    }

    /// Sends a charge by hand and returns everything that comes back until the bank closes.
    async fn raw(&self, source: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(raw_charge(source).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as any: what matters is which bytes came before it.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }
}

fn raw_charge(source: &str) -> String {
    let body = serde_json::to_string(&request(source)).unwrap();
    format!(
        "POST /charges HTTP/1.1\r\nhost: bank\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) fn request(source: &str) -> ChargeRequest {
    ChargeRequest {
        amount: 1000,
        currency: "EUR".into(),
        source: source.into(),
        reference: "order-42".into(),
        merchant: "m1".into(),
        payment: Uuid::from_u128(1),
    }
}

fn terms(key: &str) -> Terms {
    terms_of(key, 17)
}

/// What the attempt with this fence sends. Its owner is one of its own.
pub(super) fn terms_of(key: &str, fence: u64) -> Terms {
    let owner = Owner::new(u128::from(fence).to_be_bytes());
    let fence = FenceHeader::new(Fence::new(fence), owner);
    Terms { key: Some(key.into()), fence: Some(fence), not_after: Some(clock::now() + 10_000) }
}

pub(super) fn refused(error: CallError) -> Problem {
    match error {
        CallError::Refused(problem) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn executes_every_request_and_writes_down_what_came_with_it() {
    let bank = Running::start().await;
    for _ in 0..2 {
        let charge = bank.client.charge(&request("card_visa"), &terms("k1")).await.unwrap();
        assert!(charge.id.starts_with("ch_"));
        assert_eq!((charge.amount, charge.reference.as_str()), (1000, "order-42"));
        assert_eq!((charge.key.as_deref(), charge.fence.as_deref()), (Some("k1"), Some("17")));
    }
    let by_key = ChargeQuery { key: Some("k1".into()), ..ChargeQuery::default() };
    let found = bank.client.charges(&by_key).await.unwrap();
    assert_eq!(found.records.len(), 2);
    assert!(found.records.iter().all(|charge| charge.at <= found.as_of));
    let summary = bank.client.summary().await.unwrap();
    assert_eq!((summary.charges, summary.keys_charged_twice), (2, 1));
    assert_eq!(bank.stop().await.len(), 2);
}

#[tokio::test]
async fn a_key_is_written_down_without_its_quotes() {
    let bank = Running::start().await;
    for key in ["k1", "a\"b\\c"] {
        assert_eq!(bank.client.charge(&request("card_visa"), &terms(key)).await.unwrap().key.as_deref(), Some(key));
    }
    let bare = reqwest::Client::new().post(format!("http://{}/charges", bank.address)).header("idempotency-key", "k1");
    bare.json(&request("card_visa")).send().await.unwrap();
    let by_key = ChargeQuery { key: Some("k1".into()), ..ChargeQuery::default() };
    assert_eq!(bank.client.charges(&by_key).await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn refuses_without_executing() {
    let bank = Running::start().await;
    let zero = ChargeRequest { amount: 0, ..request("card_visa") };
    let huge = ChargeRequest { amount: charge::MAX_AMOUNT + 1, ..request("card_visa") };
    let cases = [
        (request("card_declined"), StatusCode::PAYMENT_REQUIRED, "card-declined"),
        (request("card_bank_500"), StatusCode::INTERNAL_SERVER_ERROR, "bank-failed"),
        (request("bitcoin"), StatusCode::UNPROCESSABLE_ENTITY, "unknown-source"),
        (zero, StatusCode::UNPROCESSABLE_ENTITY, "amount-out-of-range"),
        (huge, StatusCode::UNPROCESSABLE_ENTITY, "amount-out-of-range"),
    ];
    for (request, status, name) in cases {
        let problem = refused(bank.client.charge(&request, &terms("k")).await.unwrap_err());
        assert_eq!((problem.status(), problem.name()), (status, name));
    }
    assert_eq!(bank.count().await, 0);
}

#[tokio::test]
async fn refuses_what_arrives_after_its_time_before_the_card_waits() {
    let bank = Running::start().await;
    let late = Terms { not_after: Some(clock::now() - 1), ..terms("k") };
    let started = Instant::now();
    let problem = refused(bank.client.charge(&request("card_slow_5000"), &late).await.unwrap_err());
    assert_eq!((problem.status(), problem.name()), (StatusCode::CONFLICT, "expired"));
    assert!(started.elapsed() < Duration::from_secs(4), "the card made it wait");
    assert_eq!(bank.count().await, 0);
}

#[tokio::test]
async fn a_slow_card_that_arrived_in_time_may_charge_after_it() {
    let bank = Running::start().await;
    let soon = Terms { not_after: Some(clock::now() + 200), ..terms("k") };
    let charge = bank.client.charge(&request("card_slow_300"), &soon).await.unwrap();
    assert!(charge.at > soon.not_after.unwrap());
    assert!(u128::from(charge.at - soon.not_after.unwrap()) < VOID_AFTER.as_millis());
}

#[tokio::test]
async fn a_lost_reply_is_charged_and_not_one_byte_comes_back() {
    let bank = Running::start().await;
    assert_eq!(bank.raw("card_lost_reply").await, b"");
    assert_eq!(bank.raw("card_flaky_100").await, b"");
    assert_eq!(bank.count().await, 2);
    assert!(bank.raw("card_flaky_0").await.starts_with(b"HTTP/1.1 201 Created"));
    assert_eq!(bank.stop().await.len(), 3);
}

#[tokio::test]
async fn the_client_reports_a_lost_reply_as_lost() {
    let bank = Running::start().await;
    let error = bank.client.charge(&request("card_lost_reply"), &terms("k1")).await.unwrap_err();
    assert!(matches!(error, CallError::Lost(_)), "{error:?}");
    assert!(!error.is_not_executed());
    assert_eq!(bank.count().await, 1, "and the client does not send it again by itself");
}

#[tokio::test]
async fn finishes_what_it_has_read_when_the_caller_leaves() {
    let bank = Running::start().await;
    let mut stream = TcpStream::connect(bank.address).await.unwrap();
    stream.write_all(raw_charge("card_slow_300").as_bytes()).await.unwrap();
    while bank.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(stream);
    // Graceful shutdown waits for it, so the ledger shows it without any polling.
    assert_eq!(bank.stop().await.len(), 1);
}

#[tokio::test]
async fn refunds_in_parts_and_never_more_than_was_charged() {
    let bank = Running::start().await;
    let charge = bank.client.charge(&request("card_visa"), &terms("k1")).await.unwrap();
    let part = RefundRequest { amount: 600, reference: Some("half".into()) };
    let refund = bank.client.refund(&charge.id, &part, &terms("k2")).await.unwrap();
    assert!(refund.id.starts_with("re_"));
    assert_eq!((refund.charge.as_str(), refund.amount, refund.key.as_deref()), (&*charge.id, 600, Some("k2")));

    let problem = refused(bank.client.refund(&charge.id, &part, &terms("k3")).await.unwrap_err());
    assert_eq!((problem.status(), problem.name()), (StatusCode::UNPROCESSABLE_ENTITY, "over-refund"));
    assert_eq!(problem.blamed_field(), Some("amount"));
    let problem = refused(bank.client.refund("ch_none", &part, &terms("k3")).await.unwrap_err());
    assert_eq!((problem.status(), problem.name()), (StatusCode::NOT_FOUND, "unknown-charge"));

    let found = bank.client.charges(&ChargeQuery::default()).await.unwrap();
    assert_eq!(found.records[0].refunded, 600);
    let by_key = RefundQuery { key: Some("k2".into()), charge: None };
    assert_eq!(bank.client.refunds(&by_key).await.unwrap().records, [refund]);
}

#[tokio::test]
async fn a_lost_refund_can_be_asked_for_by_its_key() {
    let bank = Running::start().await;
    bank.client.charge(&request("card_lost_reply"), &terms("k1")).await.unwrap_err();
    let charges = bank.client.charges(&ChargeQuery::default()).await.unwrap().records;
    let part = RefundRequest { amount: 1, reference: None };
    let error = bank.client.refund(&charges[0].id, &part, &terms("k2")).await.unwrap_err();
    assert!(matches!(error, CallError::Lost(_)), "{error:?}");
    let by_key = RefundQuery { key: Some("k2".into()), charge: None };
    assert_eq!(bank.client.refunds(&by_key).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_that_executed_nothing() {
    let bank = Running::start().await;
    let http = reqwest::Client::new();
    let at = |path: &str| format!("http://{}{path}", bank.address);
    let json = serde_json::to_string(&request("card_visa")).unwrap();
    let typed = |request: reqwest::RequestBuilder| request.header("content-type", "application/json");
    let cases = [
        (typed(http.post(at("/charges"))).body("{"), 400, "body-unreadable"),
        (typed(http.post(at("/charges"))).body("{}"), 422, "body-unreadable"),
        (http.post(at("/charges")).body(json.clone()), 415, "body-unreadable"),
        (typed(http.post(at("/charges"))).header("not-after", "soon").body(json.clone()), 400, "header-malformed"),
        (typed(http.post(at("/charges"))).header("idempotency-key", "a,b").body(json.clone()), 400, "header-malformed"),
        (typed(http.post(at("/charges"))).header("idempotency-fence", "17").body(json), 400, "header-malformed"),
        (http.get(at("/charges?limit=x")), 400, "query-unreadable"),
        (http.get(at("/charges?after=ch_none")), 404, "unknown-charge"),
        (http.delete(at("/charges")), 405, "method-not-allowed"),
        (http.get(at("/nowhere")), 404, "unknown-route"),
    ];
    for (request, status, name) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{name}");
        assert_eq!(response.headers()["content-type"], problem::CONTENT_TYPE, "{name}");
        assert_eq!(response.headers().contains_key("allow"), status == 405, "{name}");
        let problem: Problem = response.json().await.unwrap();
        assert_eq!(problem.name(), name);
        assert!(problem.says_not_executed(), "{name}");
    }
    assert_eq!(bank.count().await, 0);
}

#[tokio::test]
async fn many_callers_at_once_are_all_executed() {
    let bank = Running::start().await;
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let client = bank.client.clone();
            let request = ChargeRequest { reference: format!("order-{n}"), ..request("card_visa") };
            tokio::spawn(async move { client.charge(&request, &terms("k")).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let summary = bank.client.summary().await.unwrap();
    assert_eq!((summary.charges, summary.references, summary.references_charged_twice), (200, 200, 0));
    assert_eq!(bank.stop().await.len(), 200);
}
