//! Dropping the response future at each of its polls: never a lost lease, never a second run, never a leaked task.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use common::{Entries, counted, post_body, secret, send};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{IdempotencyLayer, OnDisconnect, RequestBody, Scope};

const PATIENCE: Duration = Duration::from_secs(30);

/// A request body that needs several polls.
fn slow_body() -> Body {
    let frames = futures_util::stream::unfold(0_u8, |part| async move {
        tokio::task::yield_now().await;
        (part < 3).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from("x"))), part + 1))
    });
    Body::new(StreamBody::new(frames))
}

fn layer(store: &MemoryStore) -> IdempotencyLayer<MemoryStore> {
    IdempotencyLayer::new(store.clone(), Scope::shared(), secret())
}

/// Polls a request `polls` times, lets everything else run in between, and drops it. True if it was answered.
async fn drop_after(polls: usize, layer: &IdempotencyLayer<MemoryStore>, entries: &Entries) -> bool {
    let entries = entries.clone();
    let service = service_fn(move |_: Request<RequestBody<Body>>| {
        let run = entries.enter();
        async move {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            Ok::<_, Infallible>(Response::builder().status(201).body(Body::from(format!("run {run}"))).unwrap())
        }
    });
    let mut answer = pin!(layer.layer(service).oneshot(post_body("k", slow_body())));
    for _ in 0..polls {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            assert_eq!(answer.unwrap().status(), 201);
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn a_client_that_leaves_at_any_poll_finds_the_answer_of_one_run() {
    let mut answered = false;
    let mut polls = 0;
    while !answered {
        let (store, entries) = (MemoryStore::new(), Entries::default());
        let first = layer(&store);
        answered = drop_after(polls, &first, &entries).await;
        assert_eq!(first.drain(PATIENCE).await.abandoned, 0, "nothing hangs after {polls} polls");
        let retry = send(&layer(&store), &entries, counted, post_body("k", "xxx")).await;
        assert_eq!((retry.status.as_u16(), &retry.body[..]), (201, &b"run 1"[..]), "after {polls} polls");
        assert_eq!(entries.count(), 1, "after {polls} polls");
        polls += 1;
    }
    assert!(polls > 5, "the request was to be dropped in the middle, but took only {polls} polls");
}

#[tokio::test]
async fn a_cancelled_handler_is_reported_never_run_again() {
    let (mut answered, mut cancelled, mut polls) = (false, 0, 0);
    while !answered {
        let (store, entries) = (MemoryStore::new(), Entries::default());
        let first = layer(&store).on_disconnect(OnDisconnect::Cancel);
        answered = drop_after(polls, &first, &entries).await;
        assert_eq!(first.drain(PATIENCE).await.abandoned, 0, "nothing hangs after {polls} polls");
        let entered = entries.count();
        let retry = send(&layer(&store), &entries, counted, post_body("k", "xxx")).await;
        match retry.status.as_u16() {
            201 => assert_eq!(&retry.body[..], b"run 1"),
            409 => {
                assert_eq!((retry.problem(), entered), ("indeterminate".to_owned(), 1), "after {polls} polls");
                cancelled += 1;
            }
            other => panic!("{other} after {polls} polls"),
        }
        assert_eq!(entries.count(), 1, "after {polls} polls");
        polls += 1;
    }
    assert!(cancelled > 0, "no handler was cancelled");
}
