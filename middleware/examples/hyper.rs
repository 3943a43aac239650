//! A server of hyper alone, with a tower service behind the layer.
//!
//! ```sh
//! cargo run -p tower-idempotency --example hyper
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{IdempotencyLayer, RequestBody, Scope, Secret};

type Failure = Box<dyn Error + Send + Sync>;

/// What the layer hands on: hyper's own body for a request without a key, the digested bytes for one with a key.
type Handled = Request<RequestBody<Incoming>>;

/// Answers with what was sent, and with how often it was asked.
async fn echo(request: Handled, run: usize) -> Result<Response<Full<Bytes>>, Infallible> {
    let Ok(body) = request.into_body().collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let mut response = Response::new(Full::from(format!("run {run}: {}", String::from_utf8_lossy(&body.to_bytes()))));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// Listens, and serves every connection from a task of its own.
async fn serve(layer: IdempotencyLayer<MemoryStore>) -> Result<SocketAddr, Failure> {
    let runs = Arc::new(AtomicUsize::new(0));
    let service =
        layer.layer(service_fn(move |request: Handled| echo(request, runs.fetch_add(1, Ordering::SeqCst) + 1)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _peer)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::header("x-api-key".parse()?), Secret::random()?);
    let address = serve(layer).await?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    for (attempt, caller, expected) in [
        ("first", "alice", (201, "run 1: hello", false)),
        ("retry", "alice", (201, "run 1: hello", true)),
        ("the same key of somebody else", "bob", (201, "run 2: hello", false)),
    ] {
        let request = Request::post(format!("http://{address}/echo"))
            .header("idempotency-key", "order-42")
            .header("x-api-key", caller)
            .body(Full::<Bytes>::from("hello"))?;
        let response = client.request(request).await?;
        let (status, replayed) = (response.status(), response.headers().contains_key("idempotent-replayed"));
        let body = response.into_body().collect().await?.to_bytes();
        println!("{attempt}: {status}, replayed: {replayed}, {}", String::from_utf8_lossy(&body));
        assert_eq!((status.as_u16(), &*String::from_utf8_lossy(&body), replayed), expected);
    }
    Ok(())
}

#[test]
fn it_shows_what_it_says() -> Result<(), Failure> {
    main()
}
