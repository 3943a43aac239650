//! The demo as its users have it: the payment service and the bank, each a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use demo_service::bank::BankClient;
use demo_service::bank::charge::{Charge, ChargeQuery};
use reqwest::RequestBuilder;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, command};
use crate::{Reply, reply};

/// A real bank. Its ledger is the judge.
#[derive(Debug)]
pub struct Bank {
    process: Process,
    client: BankClient,
    _ledger: TempDir,
}

impl Bank {
    /// Starts one with an empty ledger. `program` is the demo's.
    pub async fn start(program: &str) -> Self {
        Self::with(program, &[]).await
    }

    /// The same with more options.
    pub async fn with(program: &str, options: &[&str]) -> Self {
        let ledger = TempDir::new().expect("a temporary directory");
        let path = ledger.path().join("ledger.jsonl");
        let arguments = ["bank", "--listen", "127.0.0.1:0", "--ledger", utf8(&path)];
        let arguments = arguments.iter().chain(options);
        let process = Process::start(command(program, arguments)).await;
        let client = BankClient::new(process.url()).expect("its own address");
        Self { process, client, _ledger: ledger }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        self.process.url()
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The newest charges, the newest first: as many as the bank lists at once.
    pub async fn charges(&self) -> Vec<Charge> {
        self.client.charges(&ChargeQuery::default()).await.expect("the bank answers").records
    }

    /// The whole ledger, newest first, to be read when nobody charges any more.
    pub async fn ledger(&self) -> Vec<Charge> {
        let mut ledger: Vec<Charge> = Vec::new();
        loop {
            let after = ledger.last().map(|charge| charge.id.clone());
            let query = ChargeQuery { after, ..ChargeQuery::default() };
            let page = self.client.charges(&query).await.expect("the bank answers").records;
            if page.is_empty() {
                return ledger;
            }
            ledger.extend(page);
        }
    }
}

/// What a real payment service is started with.
#[derive(Debug)]
pub struct Options {
    command: Command,
    listen: SocketAddr,
}

/// A real payment service. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Its process, to be signalled.
    pub process: Process,
    http: reqwest::Client,
}

impl Server {
    /// A service of the demo's `program`, with its keys in `store` and its charges at `bank`. It starts on a Redis that
    /// persists nothing, as most tests have it.
    pub fn on(program: &str, store: &str, bank: &str) -> Options {
        let arguments = ["serve", "--allow-unsafe-store", "--store", store, "--bank", bank];
        Options { command: command(program, arguments), listen: (Ipv4Addr::LOCALHOST, 0).into() }
    }

    /// A payment of the usual amount by the usual merchant, to be changed or sent.
    pub fn payment(&self, key: &str, amount: u64) -> RequestBuilder {
        let payment = json!({ "amount": amount, "currency": "EUR", "source": "card_visa", "reference": key });
        let request = self.http.post(format!("{}/payments", self.process.url()));
        request.bearer_auth("acme").header("idempotency-key", key).json(&payment)
    }

    /// A part of a payment, at this location, given back to the usual merchant's customer.
    pub fn refund(&self, key: &str, payment: &str, amount: u64) -> RequestBuilder {
        let request = self.http.post(format!("{}{payment}/refunds", self.process.url()));
        request.bearer_auth("acme").header("idempotency-key", key).json(&json!({ "amount": amount }))
    }

    /// Pays 10.00, and reads the answer.
    pub async fn pay(&self, key: &str) -> Reply {
        reply(self.payment(key, 1000)).await
    }
}

impl Options {
    /// `--listen`; by default it takes any free port.
    pub fn listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// `--wait-for-store`.
    pub fn wait_for_store(self, patience: &str) -> Self {
        self.option("--wait-for-store", patience)
    }

    /// `--lease`.
    pub fn lease(self, lease: &str) -> Self {
        self.option("--lease", lease)
    }

    /// `--on-abandoned`.
    pub fn on_abandoned(self, policy: &str) -> Self {
        self.option("--on-abandoned", policy)
    }

    /// `--wait`.
    pub fn wait(self, wait: &str) -> Self {
        self.option("--wait", wait)
    }

    /// `--drain`.
    pub fn drain(self, drain: &str) -> Self {
        self.option("--drain", drain)
    }

    /// A variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Any other option.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.command.args([name, value]);
        self
    }

    /// Starts it, and waits until it listens.
    pub async fn start(mut self) -> Server {
        self.command.args(["--listen", &self.listen.to_string()]);
        let http = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().expect("a client");
        Server { process: Process::start(self.command).await, http }
    }
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a temporary path of plain characters")
}
