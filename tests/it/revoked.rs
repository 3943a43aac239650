//! A layer behind authentication: whoever may not call gets no recorded answer either.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use idempotency_store::BoxStore;
use idempotency_tests::{Backend, Count, Faults, Faulty, Gate, Reply, on_each_store, reply};
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceBuilder;
use tower_idempotency::{IdempotencyLayer, Scope, Secret};

on_each_store!(
    a_revoked_token_gets_no_byte_of_the_recorded_answer,
    a_token_that_is_revoked_while_its_request_runs_gets_no_replay,
    a_new_token_of_the_same_caller_gets_its_answer,
);

#[derive(Clone)]
struct Caller(String);

/// The tokens that are good at the moment, and whose they are.
type Tokens = Arc<Mutex<HashMap<&'static str, Caller>>>;

#[derive(Clone, Default)]
struct Shop {
    tokens: Tokens,
    runs: Count,
    gate: Gate,
}

/// A running shop, behind its authentication.
struct Guarded {
    shop: Shop,
    faults: Faults,
    address: SocketAddr,
    server: JoinHandle<()>,
}

async fn authenticate(State(tokens): State<Tokens>, mut request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|shown| shown.to_str().ok());
    let caller = shown.and_then(|shown| tokens.lock().unwrap().get(shown).cloned());
    let Some(caller) = caller else {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn pay(State(shop): State<Shop>, Extension(caller): Extension<Caller>) -> Response {
    let run = shop.runs.up();
    shop.gate.pass().await;
    (StatusCode::CREATED, [(header::LOCATION, format!("/secret/{run}"))], format!("secret of {} {run}", caller.0))
        .into_response()
}

impl Guarded {
    async fn start(backend: &impl Backend) -> Self {
        let (shop, store) = (Shop::default(), Faulty::<BoxStore>::new(backend.store()));
        let faults = store.faults();
        let scope = Scope::extension(|caller: &Caller| caller.0.as_bytes());
        let secret = Secret::new("one secret for all servers").unwrap();
        let layers = ServiceBuilder::new()
            .layer(from_fn_with_state(Arc::clone(&shop.tokens), authenticate))
            .layer(IdempotencyLayer::new(store, scope, secret).required());
        let app = Router::new().route("/pay", post(pay)).route_layer(layers).with_state(shop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { shop, faults, address, server }
    }

    fn issue(&self, token: &'static str, caller: &str) {
        self.shop.tokens.lock().unwrap().insert(token, Caller(caller.to_owned()));
    }

    fn revoke(&self, token: &'static str) {
        self.shop.tokens.lock().unwrap().remove(token);
    }

    fn send(&self, token: &str) -> impl Future<Output = Reply> + Send + 'static {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("http://{}/pay", self.address)).body("{}");
        reply(request.header("authorization", token).header("idempotency-key", "key-1"))
    }

    /// A 401 of the authentication, without a byte of what is recorded, and without a question to the store.
    async fn expect_turned_away(&self, token: &str) {
        let asked = self.faults.called_in_all();
        let refused = self.send(token).await;
        assert_eq!((refused.status, &refused.body[..]), (StatusCode::UNAUTHORIZED, &b"who are you?"[..]));
        assert!(!refused.is_replay() && refused.header("location").is_none(), "{refused:?}");
        assert_eq!(self.faults.called_in_all(), asked, "the store was asked");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn a_revoked_token_gets_no_byte_of_the_recorded_answer(backend: impl Backend) {
    let guarded = Guarded::start(&backend).await;
    guarded.shop.gate.open();
    guarded.issue("token-1", "acme");
    let first = guarded.send("token-1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    guarded.send("token-1").await.expect_replay_of(&first, &[]);
    guarded.revoke("token-1");
    guarded.expect_turned_away("token-1").await;
    assert_eq!(guarded.shop.runs.get(), 1);
}

async fn a_token_that_is_revoked_while_its_request_runs_gets_no_replay(backend: impl Backend) {
    let guarded = Guarded::start(&backend).await;
    guarded.issue("token-1", "acme");
    let first = tokio::spawn(guarded.send("token-1"));
    guarded.shop.gate.arrived(1).await;
    guarded.revoke("token-1");
    guarded.shop.gate.open();
    assert_eq!(first.await.unwrap().status, StatusCode::CREATED, "it was authorised when it came");
    guarded.expect_turned_away("token-1").await;
    assert_eq!(guarded.shop.runs.get(), 1);
}

async fn a_new_token_of_the_same_caller_gets_its_answer(backend: impl Backend) {
    let guarded = Guarded::start(&backend).await;
    guarded.shop.gate.open();
    guarded.issue("token-1", "acme");
    let first = guarded.send("token-1").await;
    guarded.revoke("token-1");
    guarded.issue("token-2", "acme");
    guarded.send("token-2").await.expect_replay_of(&first, &[]);
    // The revoked one, given to somebody else, is somebody else's.
    guarded.issue("token-1", "globex");
    let theirs = guarded.send("token-1").await;
    assert_eq!((&theirs.body[..], theirs.is_replay()), (&b"secret of globex 2"[..], false));
}
