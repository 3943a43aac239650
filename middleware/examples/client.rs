//! A client that pays once, over a line that loses replies, to a shop that needs a bank.
//!
//! ```sh
//! cargo run -p tower-idempotency --example client --features reqwest
//! ```
//!
//! Everything runs in this process: the bank, the shop behind the idempotency layer, a front that throws away two of
//! three answers, and the client.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, serve};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::net::TcpListener;
use tower_idempotency::client::reqwest::{DownstreamMiddleware, RetryMiddleware};
use tower_idempotency::client::{CallError, RequestKey};
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{FenceHeader, Idempotency, IdempotencyLayer, Scope, Secret};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let charges = Arc::new(AtomicUsize::new(0));
    let bank = listen(bank(Arc::clone(&charges))).await?;
    let shop = listen(shop(bank)?).await?;

    // Made before anything is sent, and kept with the order. The same data gives the same key, after any crash.
    let secret = Secret::new("at least 16 bytes, from your configuration")?;
    let key = RequestKey::derived(&secret, "pay order", ["order-42"]);
    let answer = pay(&client(), shop, key).await?;

    let replayed = answer.headers().contains_key("idempotent-replayed");
    let (status, text) = (answer.status(), answer.text().await?);
    println!("client: {status}, {text}, replayed: {replayed}, charges at the bank: {}", charges.load(SeqCst));
    if charges.load(SeqCst) == 1 { Ok(()) } else { Err("paid more or less than once".into()) }
}

/// reqwest with both middlewares: retries outside, so that each of them looks at the lease again.
fn client() -> ClientWithMiddleware {
    let reqwest = ClientBuilder::new(reqwest::Client::new());
    reqwest.with(RetryMiddleware::new()).with(DownstreamMiddleware::new()).build()
}

async fn pay(client: &ClientWithMiddleware, shop: SocketAddr, key: RequestKey) -> Result<reqwest::Response, BoxError> {
    let payment = client.post(format!("http://{shop}/payments")).with_extension(key).body(r#"{"amount":1000}"#);
    match payment.send().await {
        Ok(answer) => Ok(answer),
        Err(reqwest_middleware::Error::Middleware(error)) => {
            if let Some(CallError::GaveUp(gave_up)) = error.downcast_ref() {
                println!("client: {gave_up}"); // the order stays open; ask again later under its key
            }
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The shop charges at the bank, behind the layer; in front of it answers get lost.
fn shop(bank: SocketAddr) -> Result<Router, BoxError> {
    let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?).required();
    let shop = Router::new().route("/payments", post(charge)).route_layer(layer).with_state((client(), bank));
    Ok(shop.layer(from_fn(lossy)))
}

async fn charge(
    State((client, bank)): State<(ClientWithMiddleware, SocketAddr)>,
    idempotency: Idempotency,
) -> Response {
    // The same key for every attempt, under this attempt's fence. Nothing is sent once the lease is lost.
    let charge = client.post(format!("http://{bank}/charges")).with_extension(idempotency.downstream("charge"));
    match charge.send().await {
        Ok(answer) => (answer.status(), answer.text().await.unwrap_or_default()).into_response(),
        // An outcome like any other: it is recorded, and every retry is told so. Ask the bank by the key before you answer
        // where that is not good enough.
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Lets the shop do its work, and then answers as a proxy does that has lost it; but every third time.
async fn lossy(request: Request, next: Next) -> Response {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let number = REQUESTS.fetch_add(1, SeqCst) + 1;
    let answer = next.run(request).await;
    let lost = number % 3 != 0;
    println!(
        "front: request {number} was answered with {}{}",
        answer.status(),
        if lost { ", which is lost" } else { "" }
    );
    if lost { StatusCode::GATEWAY_TIMEOUT.into_response() } else { answer }
}

fn bank(charges: Arc<AtomicUsize>) -> Router {
    let charge = |State(charges): State<Arc<AtomicUsize>>, request: Request| async move {
        let fence = FenceHeader::parse(request.headers());
        let fence = fence.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        println!("bank: a charge, under {:?}", fence.map(|fence| fence.fence()));
        Ok::<_, (StatusCode, String)>((StatusCode::CREATED, format!("charge {}", charges.fetch_add(1, SeqCst) + 1)))
    };
    Router::new().route("/charges", post(charge)).with_state(charges)
}

async fn listen(router: Router) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { serve(listener, router).await });
    Ok(address)
}
