//! axum's `nest`: two versions of one API, whose routes look alike once the prefix is taken off.
//!
//! The layer compares the path that the client asked for, so that a key that was used under `/v1` is refused under `/v2`.
//!
//! ```sh
//! cargo run -p tower-idempotency --example axum_nest
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{Idempotency, IdempotencyLayer, Scope, Secret};

type Failure = Box<dyn Error + Send + Sync>;

async fn pay(State(version): State<&'static str>, idempotency: Idempotency) -> (StatusCode, String) {
    (StatusCode::CREATED, format!("paid by {version}, attempt {}", idempotency.attempt()))
}

/// One version of the API. The layer sits on its routes, inside of the `nest` that takes the prefix off.
fn version(name: &'static str, layer: IdempotencyLayer<MemoryStore>) -> Router {
    Router::new().route("/payments", post(pay)).route_layer(layer).with_state(name)
}

async fn serve(layer: IdempotencyLayer<MemoryStore>) -> Result<SocketAddr, Failure> {
    let app = Router::new().nest("/v1", version("v1", layer.clone())).nest("/v2", version("v2", layer));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?).required();
    let address = serve(layer).await?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    for (path, key, expected) in [
        ("/v1/payments", "order-42", (201, "paid by v1, attempt 1", false)),
        ("/v1/payments", "order-42", (201, "paid by v1, attempt 1", true)),
        // Both handlers would see `/payments`.
        ("/v2/payments", "order-42", (422, "key-reused", false)),
        ("/v2/payments", "order-43", (201, "paid by v2, attempt 1", false)),
    ] {
        let request = Request::post(format!("http://{address}{path}")).header("idempotency-key", key);
        let response = client.request(request.body(Full::from("{}"))?).await?;
        let (status, replayed) = (response.status(), response.headers().contains_key("idempotent-replayed"));
        let body = response.into_body().collect().await?.to_bytes();
        println!("{path} {key}: {status}, replayed: {replayed}, {}", String::from_utf8_lossy(&body));
        assert_eq!((status.as_u16(), replayed), (expected.0, expected.2));
        assert!(String::from_utf8_lossy(&body).contains(expected.1));
    }
    Ok(())
}

#[test]
fn it_shows_what_it_says() -> Result<(), Failure> {
    main()
}
