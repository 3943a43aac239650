//! What the tests of this crate share: a counting handler behind the layer, called without a socket.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{IdempotencyLayer, Rejection, RequestBody, Scope, Secret};

/// How often the handler was entered.
#[derive(Clone, Default)]
pub struct Entries(Arc<AtomicUsize>);

impl Entries {
    pub fn enter(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn secret() -> Secret {
    Secret::new([7; 32]).unwrap()
}

pub fn layer() -> IdempotencyLayer<MemoryStore> {
    IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), secret())
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub rejection: Option<Rejection>,
}

impl Answer {
    /// The last segment of the problem's type.
    pub fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "not a problem: {self:?}");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    pub fn is_replay(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }
}

pub fn post(key: &str) -> Request<Body> {
    post_body(key, "{}")
}

pub fn post_body(key: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/pay").header("idempotency-key", key).body(body.into()).unwrap()
}

/// Sends one request through `layer` to `handler`, which is told how often it was entered.
pub async fn send<S, F>(layer: &IdempotencyLayer<S>, entries: &Entries, handler: F, request: Request<Body>) -> Answer
where
    S: tower_idempotency::store::Store,
    F: Fn(usize, Request<RequestBody<Body>>) -> Response<Body> + Clone + Send + 'static,
{
    let entries = entries.clone();
    let service = service_fn(move |request| {
        let response = handler(entries.enter(), request);
        async move { Ok::<_, Infallible>(response) }
    });
    read(layer.layer(service).oneshot(request).await.unwrap()).await
}

pub async fn read<B>(response: Response<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (parts, body) = response.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
    let rejection = parts.extensions.get().cloned();
    Answer { status: parts.status, headers: parts.headers, body, rejection }
}

/// A handler that answers 201 and the number of its entry.
pub fn counted(entry: usize, _: Request<RequestBody<Body>>) -> Response<Body> {
    Response::builder().status(201).body(Body::from(format!("run {entry}"))).unwrap()
}
