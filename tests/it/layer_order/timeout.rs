//! A timeout.

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use reqwest::StatusCode;
use tower::ServiceBuilder;
use tower_http::timeout::TimeoutLayer;

use super::{Scene, Site};

/// The handler waits at a gate that is closed, so it always strikes.
fn timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_millis(200))
}

/// Has its effect once the gate is open, and counts it.
fn handler(scene: &Scene) -> axum::routing::MethodRouter {
    let (runs, gate) = (scene.runs.clone(), scene.gate.clone());
    post(move || async move {
        gate.pass().await;
        format!("effect {}", runs.up())
    })
}

#[tokio::test]
async fn a_timeout_outside_says_408_and_the_retry_gets_the_real_answer() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(timeout()).layer(scene.layer());
    let site = Site::of(Router::new().route("/pay", handler(&scene)).layer(layers)).await;
    let first = site.send("key-1").await;
    assert_eq!((first.status, scene.runs.get()), (StatusCode::REQUEST_TIMEOUT, 0));
    // The handler was not cancelled, and the 408 is nobody's answer: not recorded, not replayed.
    site.send("key-1").await.expect_rejection(409, "in-flight");
    scene.gate.open();
    idempotency_tests::within("the handler goes on", scene.runs.reached(1)).await;
    scene.faults.until_applied(idempotency_tests::Verb::Complete, 1).await;
    let retry = site.send("key-1").await;
    assert_eq!((retry.status, &retry.body[..], retry.is_replay()), (StatusCode::OK, &b"effect 1"[..], true));
    assert_eq!(scene.runs.get(), 1);
}

#[tokio::test]
async fn a_timeout_inside_cancels_the_handler_and_its_408_is_the_recorded_answer() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(scene.layer()).layer(timeout());
    let site = Site::of(Router::new().route("/pay", handler(&scene)).layer(layers)).await;
    let first = site.send("key-1").await;
    assert_eq!(first.status, StatusCode::REQUEST_TIMEOUT);
    scene.gate.open();
    site.send("key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(scene.runs.get(), 0, "the handler did not survive its timeout, nor was it entered again");
}
