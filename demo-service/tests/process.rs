//! The program itself: what it prints, how it ends, and with which status.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use demo_service::bank::BankClient;
use demo_service::bank::charge::{Charge, ChargeQuery, ChargeRequest, Terms};
use demo_service::bank::client::CallError;
use idempotency_store::{Fence, Owner};
use reqwest::{Client, Response};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tower_idempotency::FenceHeader;
use uuid::Uuid;

/// The program with these arguments, in a directory of its own.
fn program(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-service"));
    command.args(args).current_dir(directory).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that runs until it is told to stop, or its test has failed.
struct Server {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Refused only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    fn start(directory: &Path, args: &[&str]) -> Self {
        let mut child = program(directory, args).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Self { child: Some(child), stdout, address }
    }

    /// Sends it a signal.
    fn signal(&self, signal: &str) {
        let killed =
            Command::new("kill").args([signal, &self.child.as_ref().unwrap().id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Ends it as an operator would; what else it printed, and its status.
    fn stop(self) -> (String, Output) {
        self.signal("-TERM");
        self.wait()
    }

    fn wait(mut self) -> (String, Output) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, self.child.take().unwrap().wait_with_output().unwrap())
    }
}

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs the program to its end, which comes by itself; its status and its last line on stderr.
fn refused(directory: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = program(directory, args).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    (output.status.code(), errors.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn serves_by_default_says_how_to_try_it_and_stops_with_status_0() {
    let place = place();
    let server = Server::start(place.path(), &["--listen", "127.0.0.1:0"]);
    let address = server.address.clone();
    let (banner, output) = server.stop();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(banner.lines().filter(|line| line.starts_with(&format!("curl -i {address}/payments"))).count(), 3);
    assert!(banner.contains("data/idempotency.redb") && banner.contains("data/ledger.jsonl"), "{banner}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("DEMO_SECRET"), "it warns of the demo's secret");
}

#[test]
fn bank_and_service_are_two_processes_when_asked_for() {
    let place = place();
    let bank = Server::start(place.path(), &["bank", "--listen", "127.0.0.1:0"]);
    let service = Server::start(
        place.path(),
        &["serve", "--listen", "127.0.0.1:0", "--store", "memory", "--bank", &bank.address],
    );
    let (banner, output) = service.stop();
    assert!(banner.contains(&bank.address), "{banner}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(bank.stop().1.status.code(), Some(0));
}

#[test]
fn a_taken_port_store_or_ledger_is_a_configuration_error() {
    let place = place();
    let server = Server::start(place.path(), &["--listen", "127.0.0.1:0"]);
    let taken = server.address.strip_prefix("http://").unwrap().to_owned();
    let cases: [(&[&str], &str); 4] = [
        (&["--listen", &taken, "--store", "memory"], "--listen"),
        (&["--listen", "127.0.0.1:0"], "--store"),
        (&["--listen", "127.0.0.1:0", "--store", "memory"], "--ledger"),
        (&["bank", "--listen", "127.0.0.1:0"], "--ledger"),
    ];
    for (args, remedy) in cases {
        let (status, error) = refused(place.path(), args);
        assert_eq!(status, Some(2), "{error}");
        assert!(error.starts_with("error: ") && error.contains(remedy), "{error}");
    }
    assert_eq!(server.stop().1.status.code(), Some(0));
}

#[test]
fn absurd_options_are_configuration_errors_and_leave_no_files() {
    let place = place();
    let cases = [
        (["--lease", "0s"], "--lease"),
        (["--retention", "10s"], "--retention"),
        (["--secret", "short"], "--secret"),
        (["--bank", "nowhere"], "http://127.0.0.1:3001"),
        (["--listen", "nowhere"], "--listen"),
        (["--log", "a=b=c"], "RUST_LOG"),
    ];
    for (args, remedy) in cases {
        let (status, error) = refused(place.path(), &args);
        assert_eq!(status, Some(2), "{error}");
        assert!(error.starts_with("error: ") && error.contains(remedy), "{error}");
    }
    assert_eq!(place.path().read_dir().unwrap().count(), 0);
}

/// Pays with a card that takes a second.
async fn pay_slowly(address: String) -> Response {
    let body = json!({"amount": 1000, "currency": "EUR", "source": "card_slow_1000", "reference": "order-42"});
    let request = Client::new().post(format!("{address}/payments")).bearer_auth("shop").json(&body);
    request.header("idempotency-key", "k1").send().await.unwrap()
}

/// Pays twice at once, and returns when one of them has been told that the other is under way: the other.
async fn begin_to_pay(address: &str) -> JoinHandle<Response> {
    let pay = || tokio::spawn(pay_slowly(address.to_owned()));
    let (mut one, mut other) = (pay(), pay());
    let (told, paying) = tokio::select! {
        told = &mut one => (told, other),
        told = &mut other => (told, one),
    };
    assert_eq!(told.unwrap().status(), 409);
    paying
}

#[tokio::test]
async fn a_payment_that_is_under_way_ends_before_the_service_does() {
    let place = place();
    let args = ["--listen", "127.0.0.1:0"];
    let server = Server::start(place.path(), &args);
    let paying = begin_to_pay(&server.address).await;
    assert_eq!(server.stop().1.status.code(), Some(0));
    assert_eq!(paying.await.unwrap().status(), 201);

    let server = Server::start(place.path(), &args);
    let replay = pay_slowly(server.address.clone()).await;
    assert_eq!((replay.status().as_u16(), replay.headers().contains_key("idempotent-replayed")), (201, true));
    server.stop();
}

#[tokio::test]
async fn a_payment_that_outlasts_the_drain_is_indeterminate_and_never_sent_again() {
    let place = place();
    let bank = Server::start(place.path(), &["bank", "--listen", "127.0.0.1:0"]);
    let args = ["--listen", "127.0.0.1:0", "--drain", "0s", "--bank", &bank.address];
    let server = Server::start(place.path(), &args);
    let _paying = begin_to_pay(&server.address).await;
    assert_eq!(server.stop().1.status.code(), Some(0));

    let server = Server::start(place.path(), &args);
    let retry = pay_slowly(server.address.clone()).await;
    assert_eq!(retry.status(), 409);
    assert!(retry.text().await.unwrap().contains("/indeterminate"));
    server.stop();
    bank.stop();
    let ledger = std::fs::read_to_string(place.path().join("data/ledger.jsonl")).unwrap();
    assert_eq!(ledger.lines().count(), 1, "the bank finished what it had read");
}

#[tokio::test]
async fn what_the_bank_has_answered_survives_kill_9() {
    let place = place();
    let args = ["bank", "--listen", "127.0.0.1:0", "--ledger", "ledger"];
    for round in 1..=3 {
        let bank = Server::start(place.path(), &args);
        let answered = charge_until_killed(&bank, Terms::default).await;
        bank.wait();

        let bank = Server::start(place.path(), &args);
        let client = BankClient::new(&bank.address).unwrap();
        let found = client.charges(&ChargeQuery::default()).await.unwrap().records;
        assert!(answered.iter().all(|answer| found.iter().any(|charge| charge.id == answer.id)), "round {round}");
        bank.stop();
    }
}

#[tokio::test]
async fn a_bank_with_dedup_gives_what_it_has_answered_once_more_after_kill_9() {
    let place = place();
    let args = ["bank", "--listen", "127.0.0.1:0", "--ledger", "ledger", "--dedup"];
    let bank = Server::start(place.path(), &args);
    let first = || terms(&Uuid::new_v4().to_string(), 33);
    let answered = charge_until_killed(&bank, first).await;
    bank.wait();

    let bank = Server::start(place.path(), &args);
    let client = BankClient::new(&bank.address).unwrap();
    let before = client.summary().await.unwrap();
    for charge in answered {
        let key = charge.key.clone().unwrap();
        assert_eq!(client.charge(&order(), &terms(&key, 34)).await.unwrap(), charge);
        let CallError::Refused(fenced) = client.charge(&order(), &terms(&key, 33)).await.unwrap_err() else {
            panic!("a superseded attempt is refused");
        };
        assert_eq!(fenced.name(), "fenced");
    }
    let after = client.summary().await.unwrap();
    assert_eq!((after.charges, after.keys_charged_twice), (before.charges, 0));
    let (banner, _) = bank.stop();
    assert!(banner.contains("executes: each key once"), "{banner}");
}

#[test]
fn the_bank_inside_the_service_keeps_its_keys_beside_the_ledger() {
    let place = place();
    let data = |name: &str| place.path().join("data").join(name);
    let args = ["--listen", "127.0.0.1:0", "--store", "memory"];
    Server::start(place.path(), &args).stop();
    assert!(!data("ledger.jsonl.keys").exists());
    Server::start(place.path(), &[&args[..], &["--bank-dedup"]].concat()).stop();
    assert!(data("ledger.jsonl.keys").exists());
    std::fs::remove_file(data("ledger.jsonl.secret")).unwrap();
    let (status, error) = refused(place.path(), &["bank", "--listen", "127.0.0.1:0", "--dedup"]);
    assert_eq!(status, Some(2), "{error}");
    assert!(error.contains("ledger.jsonl.secret, is gone"), "{error}");
}

fn terms(key: &str, fence: u64) -> Terms {
    let owner = Owner::new(u128::from(fence).to_be_bytes());
    Terms { key: Some(key.to_owned()), fence: Some(FenceHeader::new(Fence::new(fence), owner)), not_after: None }
}

/// Charges from many callers at once and kills the bank in the middle; the charges that were answered.
async fn charge_until_killed(bank: &Server, terms: impl Fn() -> Terms + Clone + Send + 'static) -> Vec<Charge> {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (client, answers, terms) = (BankClient::new(&bank.address).unwrap(), answers.clone(), terms.clone());
        callers.spawn(async move {
            while let Ok(charge) = client.charge(&order(), &terms()).await {
                answers.send(charge).unwrap();
            }
        });
    }
    drop(answers);
    let mut charges = Vec::new();
    while let Some(charge) = answered.recv().await {
        charges.push(charge);
        if charges.len() == 200 {
            bank.signal("-KILL");
        }
    }
    assert!(charges.len() >= 200);
    charges
}

fn order() -> ChargeRequest {
    ChargeRequest {
        amount: 1,
        currency: "EUR".into(),
        source: "card_visa".into(),
        reference: "order".into(),
        merchant: "shop".into(),
        payment: Uuid::nil(),
    }
}
