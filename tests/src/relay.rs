//! The line between a server and its bank. It can hold a charge before the bank has it, or the bank's reply before the
//! server has it; so a test knows where the server stands, and for how long.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Gate;

/// Passes everything on to a bank and back, but holds `POST`s where it is told to. It ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    url: String,
    holds: Holds,
    server: JoinHandle<()>,
}

/// Where `POST`s wait.
#[derive(Clone, Debug, Default)]
struct Holds {
    before: Arc<Mutex<Option<Gate>>>,
    after: Arc<Mutex<Option<Gate>>>,
}

#[derive(Clone)]
struct Line {
    bank: String,
    http: reqwest::Client,
    holds: Holds,
}

impl Relay {
    /// Starts a line to the bank at this address.
    pub async fn to(bank: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let http = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().expect("a client");
        let holds = Holds::default();
        let line = Line { bank: bank.to_owned(), http, holds: holds.clone() };
        let router = Router::new().fallback(pass_on).with_state(line);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, holds, server }
    }

    /// Where it listens: what the server takes for its bank.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on `POST`s wait at this gate before the bank gets them. Those whose server dies meanwhile never arrive.
    pub fn hold_before(&self) -> Gate {
        self.holds.before.lock().unwrap().insert(Gate::default()).clone()
    }

    /// From now on the bank's replies to `POST`s wait at this gate before the server gets them.
    pub fn hold_after(&self) -> Gate {
        self.holds.after.lock().unwrap().insert(Gate::default()).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(State(line): State<Line>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let held = parts.method == Method::POST;
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the server sends a whole request");
    wait(&line.holds.before, held).await;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let request = line.http.request(parts.method, format!("{}{path}", line.bank)).headers(headers).body(body);
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(header::TRANSFER_ENCODING);
    let body: Bytes = answer.bytes().await.expect("the bank sends a whole answer");
    wait(&line.holds.after, held).await;
    (status, headers, body).into_response()
}

async fn wait(at: &Mutex<Option<Gate>>, held: bool) {
    let gate = at.lock().unwrap().clone();
    if let Some(gate) = gate.filter(|_| held) {
        gate.pass().await;
    }
}
