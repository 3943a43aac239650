//! Handlers whose answers are not one small piece: too large, of unknown size, never-ending, upgraded, with trailers, broken off.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::io::AsyncWriteExt;
use tower_idempotency::Idempotency;

use crate::handlers::Handlers;

/// One byte more than is recorded.
const LARGE: usize = 1024 * 1024 + 1;

/// `/large` (and says so), `/grows` (the same in pieces, of unknown size), `/events` (the second waits at the gate), `/upgrade`,
/// `/trailers`, `/large-trailers`, and `/breaks` (off, after seven bytes).
pub(crate) fn routes() -> Router<Handlers> {
    Router::new()
        .route("/large", any(large))
        .route("/grows", any(grows))
        .route("/events", any(events))
        .route("/upgrade", any(upgrade))
        .route("/trailers", any(trailers))
        .route("/large-trailers", any(large_trailers))
        .route("/breaks", any(breaks))
}

async fn worked(on: &Handlers, idempotency: Option<&Idempotency>) {
    on.enter(idempotency).await;
    on.effect(idempotency).await;
}

async fn large(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    worked(&on, idempotency.as_ref()).await;
    vec![b'x'; LARGE].into_response()
}

async fn grows(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    worked(&on, idempotency.as_ref()).await;
    let whole = Bytes::from(vec![b'x'; LARGE]);
    let pieces = (0..LARGE).step_by(60_000).map(move |at| Ok::<_, Infallible>(whole.slice(at..LARGE.min(at + 60_000))));
    Body::from_stream(stream::iter(pieces)).into_response()
}

async fn events(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    worked(&on, idempotency.as_ref()).await;
    let second = async move {
        on.gate.pass().await;
        Ok("data: 2\n\n")
    };
    let events = stream::iter([Ok::<_, Infallible>("data: 1\n\n")]).chain(stream::once(second));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Says "hello" over the upgraded connection, and closes it.
async fn upgrade(State(on): State<Handlers>, idempotency: Option<Idempotency>, request: Request) -> Response {
    worked(&on, idempotency.as_ref()).await;
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.expect("an upgraded connection");
        let mut connection = hyper_util::rt::TokioIo::new(upgraded);
        connection.write_all(b"hello").await.expect("a client that listens");
        connection.shutdown().await.expect("a client that listens");
    });
    let switched = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "hello")];
    (StatusCode::SWITCHING_PROTOCOLS, switched).into_response()
}

async fn trailers(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    worked(&on, idempotency.as_ref()).await;
    with_trailers(Bytes::from_static(b"message"))
}

async fn large_trailers(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    worked(&on, idempotency.as_ref()).await;
    with_trailers(vec![b'x'; LARGE].into())
}

/// What a gRPC server answers to a unary call.
fn with_trailers(message: Bytes) -> Response {
    let trailers = HeaderMap::from_iter([
        ("grpc-status".parse().expect("a name"), HeaderValue::from_static("0")),
        ("grpc-message".parse().expect("a name"), HeaderValue::from_static("charged")),
    ]);
    // Of unknown size: after a content-length, HTTP/1.1 has no place for trailers.
    let frames = [Frame::data(message), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let body = StreamBody::new(stream::iter(frames));
    let fields = [(header::CONTENT_TYPE, "application/grpc"), (header::TRAILER, "grpc-status, grpc-message")];
    (fields, Body::new(body)).into_response()
}

async fn breaks(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    worked(&on, idempotency.as_ref()).await;
    let broken = stream::iter([Ok("7 bytes"), Err(std::io::Error::other("the source broke off"))]);
    Body::from_stream(broken).into_response()
}
