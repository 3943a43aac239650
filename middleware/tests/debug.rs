//! What `Debug` shows of keys, bodies, header fields and secrets: not them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use common::{Entries, post, post_body, read, send};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tower::{Layer, ServiceExt};
use tower_idempotency::store::{BoxStore, MemoryFenceStore, MemoryStore};
use tower_idempotency::{
    FenceGuardLayer, Idempotency, IdempotencyLayer, KeySyntax, OnAbandoned, RecordedAnswer, RequestBody, Resolution,
    Scope, Secret,
};

const HIDDEN: &str = "hidden-hidden-hidden";

/// What was formatted, wherever that had to be done.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<String>>>);

impl Shown {
    fn add(&self, value: &impl Debug) {
        self.0.lock().unwrap().extend([format!("{value:?}"), format!("{value:#?}")]);
    }

    /// Fails if any of it has the hidden word, as text or as the numbers of its bytes; or if it is not all.
    #[track_caller]
    fn assert_hides(&self, values: usize) {
        let shown = self.0.lock().unwrap();
        assert_eq!(shown.len(), 2 * values, "{shown:#?}");
        for text in shown.iter() {
            let bare = text.replace(char::is_whitespace, "");
            assert!(!text.contains("hidden") && !bare.contains("104,105,100,100,101,110"), "{text}");
        }
    }
}

fn layer(scope: Scope) -> IdempotencyLayer<BoxStore> {
    IdempotencyLayer::new(BoxStore::new(MemoryStore::new()), scope, Secret::new(HIDDEN).unwrap())
}

#[test]
fn secrets_scopes_and_layers() {
    let shown = Shown::default();
    shown.add(&Secret::new(HIDDEN).unwrap());
    shown.add(&Secret::new("hidden").unwrap_err());
    let scope = || Scope::extension(|(): &()| HIDDEN.as_bytes());
    shown.add(&scope());
    shown.add(&layer(scope()).required());
    shown.add(&layer(scope()).layer(()));
    shown.add(&FenceGuardLayer::new(MemoryFenceStore::new(), scope(), Secret::new(HIDDEN).unwrap()));
    shown.assert_hides(6);
}

#[test]
fn keys_that_are_read() {
    let shown = Shown::default();
    for value in [HIDDEN, "\"hidden", "hidden,hidden", "\"hidden\";hidden=hidden"] {
        let headers = HeaderMap::from_iter([(tower_idempotency::IDEMPOTENCY_KEY, HeaderValue::from_static(value))]);
        match KeySyntax::Lenient.parse(&headers) {
            Ok(key) => shown.add(&key),
            Err(error) => shown.add(&(error, error.to_string())),
        }
    }
    shown.assert_hides(4);
}

#[cfg(feature = "client")]
#[test]
fn keys_that_are_sent() {
    let shown = Shown::default();
    shown.add(&tower_idempotency::client::RequestKey::new(HIDDEN).unwrap());
    shown.add(&tower_idempotency::client::RequestKey::new("hidden,hidden").unwrap_err());
    shown.assert_hides(2);
}

#[test]
fn recorded_answers() {
    let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static(HIDDEN))]);
    let body = Bytes::from_static(HIDDEN.as_bytes());
    let answer =
        RecordedAnswer { status: StatusCode::CREATED, headers: headers.clone(), body, trailers: Some(headers) };
    let shown = Shown::default();
    shown.add(&Resolution::Completed(answer.clone()));
    shown.add(&RecordedAnswer::decode(answer.encode().unwrap().slice(..30)));
    shown.add(&RecordedAnswer::decode(Bytes::from_static(HIDDEN.as_bytes())));
    shown.add(&answer);
    shown.assert_hides(4);
}

#[tokio::test]
async fn what_a_handler_is_given_and_what_it_answers() {
    let (shown, layer) = (Shown::default(), layer(Scope::shared()));
    let seen = shown.clone();
    let handler = move |_: usize, request: Request<RequestBody<Body>>| {
        let idempotency = request.extensions().get::<Idempotency>().unwrap().clone();
        let downstream = idempotency.downstream("hidden");
        assert!(!format!("{downstream:?}").contains(downstream.key()));
        seen.add(&idempotency);
        seen.add(idempotency.key());
        seen.add(&downstream);
        seen.add(request.body());
        Response::builder().status(201).header("location", HIDDEN).body(Body::from(HIDDEN)).unwrap()
    };
    let first = send(&layer, &Entries::default(), handler, post_body(HIDDEN, HIDDEN)).await;
    assert_eq!((first.status, first.body.as_ref()), (StatusCode::CREATED, HIDDEN.as_bytes()));

    let never =
        tower::service_fn(|_: Request<RequestBody<Body>>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let replay = layer.layer(never).oneshot(post_body(HIDDEN, HIDDEN)).await.unwrap();
    shown.add(replay.body());
    assert!(read(replay).await.is_replay());
    let mismatch = layer.layer(never).oneshot(post_body(HIDDEN, "hidden, and other")).await.unwrap();
    shown.add(mismatch.extensions().get::<tower_idempotency::Rejection>().unwrap());
    let mismatch = read(mismatch).await;
    assert!(!String::from_utf8_lossy(&mismatch.body).contains("hidden"), "{mismatch:?}");
    shown.assert_hides(6);
}

#[tokio::test]
async fn what_a_resolver_is_given() {
    let (shown, refusing) = (Shown::default(), layer(Scope::shared()));
    let seen = shown.clone();
    let panics = |_: usize, _: Request<RequestBody<Body>>| -> Response<Body> { panic!("the handler dies") };
    let resolving = refusing.clone().on_abandoned(OnAbandoned::resolve(move |abandoned| {
        seen.add(&abandoned);
        async { Resolution::NotExecuted }
    }));
    let request = || {
        let mut request = post(HIDDEN);
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static(HIDDEN));
        *request.body_mut() = Body::from(HIDDEN);
        request
    };
    let died = send(&refusing, &Entries::default(), panics, request()).await;
    assert_eq!(died.problem(), "handler-panicked");
    let ran = send(&resolving, &Entries::default(), common::counted, request()).await;
    assert_eq!(ran.status, StatusCode::CREATED);
    shown.assert_hides(1);
}
