//! Behind authentication: keys belong to the merchant, not to the token that it shows, and a token that was revoked gets no
//! recorded answer.
//!
//! ```sh
//! cargo run -p tower-idempotency --example authenticated
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{Idempotency, IdempotencyLayer, Scope, Secret};

type Failure = Box<dyn Error + Send + Sync>;

/// Who calls. It stays the same when a token is replaced, so that a retry with the new one is still a retry.
#[derive(Clone)]
struct Merchant(String);

/// The tokens that are good at the moment.
#[derive(Clone, Default)]
struct Tokens(Arc<RwLock<HashMap<String, Merchant>>>);

impl Tokens {
    fn issue(&self, token: &str, merchant: &str) {
        let mut tokens = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(format!("Bearer {token}"), Merchant(merchant.to_owned()));
    }

    fn revoke(&self, token: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&format!("Bearer {token}"));
    }

    fn merchant(&self, request: &Request) -> Option<Merchant> {
        let shown = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(shown).cloned()
    }
}

/// Outside of the idempotency layer: whoever is turned away here never reaches a recorded answer.
async fn authenticate(State(tokens): State<Tokens>, mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let merchant = tokens.merchant(&request).ok_or(StatusCode::UNAUTHORIZED)?;
    request.extensions_mut().insert(merchant);
    Ok(next.run(request).await)
}

async fn pay(Extension(merchant): Extension<Merchant>, idempotency: Idempotency) -> (StatusCode, String) {
    (StatusCode::CREATED, format!("paid for {} under {}", merchant.0, idempotency.downstream_key("charge")))
}

fn app(tokens: Tokens) -> Result<Router, Failure> {
    let scope = Scope::extension(|merchant: &Merchant| merchant.0.as_bytes());
    let layers = ServiceBuilder::new() // runs from the top down
        .layer(from_fn_with_state(tokens, authenticate))
        .layer(IdempotencyLayer::new(MemoryStore::new(), scope, Secret::random()?).required());
    Ok(Router::new().route("/payments", post(pay)).route_layer(layers))
}

/// Sends one payment under the same key as ever.
async fn send(client: &Client<HttpConnector, Full<Bytes>>, to: SocketAddr, token: &str) -> Result<Paid, Failure> {
    let request = Request::post(format!("http://{to}/payments"))
        .header("authorization", format!("Bearer {token}"))
        .header("idempotency-key", "order-42")
        .body(Full::from("{}"))?;
    let response = client.request(request).await?;
    let (status, replayed) = (response.status(), response.headers().contains_key("idempotent-replayed"));
    let text = String::from_utf8(response.into_body().collect().await?.to_bytes().into())?;
    println!("{token}: {status}, replayed: {replayed}, {text:?}");
    Ok(Paid { status, replayed, text })
}

#[derive(Clone, PartialEq, Debug)]
struct Paid {
    status: StatusCode,
    replayed: bool,
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let tokens = Tokens::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, app) = (listener.local_addr()?, app(tokens.clone())?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = Client::builder(TokioExecutor::new()).build_http();

    tokens.issue("token-1", "acme");
    let first = send(&client, address, "token-1").await?;
    assert_eq!((first.status, first.replayed), (StatusCode::CREATED, false));
    assert_eq!(send(&client, address, "token-1").await?, Paid { replayed: true, ..first.clone() });

    tokens.revoke("token-1");
    let refused = send(&client, address, "token-1").await?;
    assert_eq!(refused, Paid { status: StatusCode::UNAUTHORIZED, replayed: false, text: String::new() });

    // The same merchant with its new token gets its answer; another merchant with the same key has a key of its own.
    tokens.issue("token-2", "acme");
    assert_eq!(send(&client, address, "token-2").await?, Paid { replayed: true, ..first.clone() });
    tokens.issue("token-3", "globex");
    let other = send(&client, address, "token-3").await?;
    assert_eq!((other.status, other.replayed), (StatusCode::CREATED, false));
    assert_ne!(other.text, first.text);
    Ok(())
}

#[test]
fn it_shows_what_it_says() -> Result<(), Failure> {
    main()
}
