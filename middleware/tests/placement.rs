//! Every place where axum takes a layer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use axum::routing::post;
use common::{Answer, Entries, layer, read};
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_idempotency::Idempotency;

async fn send(app: &Router, path: &str, key: Option<&str>) -> Answer {
    let mut request = Request::post(path);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    read(app.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap()).await
}

fn pay(entries: &Entries) -> impl Handler<((),), ()> + use<> {
    let entries = entries.clone();
    move || async move { format!("run {}", entries.enter()) }
}

async fn runs_once(app: Router, path: &str, entries: &Entries) {
    assert_eq!(send(&app, path, Some("k")).await.body, "run 1");
    let retry = send(&app, path, Some("k")).await;
    assert_eq!((&retry.body[..], retry.is_replay()), (&b"run 1"[..], true));
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn under_router_layer() {
    let entries = Entries::default();
    runs_once(Router::new().route("/pay", post(pay(&entries))).layer(layer()), "/pay", &entries).await;
}

#[tokio::test]
async fn under_route_layer_which_leaves_404_alone() {
    let entries = Entries::default();
    let app = Router::new().route("/pay", post(pay(&entries))).route_layer(layer());
    for _ in 0..2 {
        let answer = send(&app, "/nowhere", Some("k")).await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::NOT_FOUND, false));
    }
    runs_once(app, "/pay", &entries).await;
}

#[tokio::test]
async fn on_a_method_router_and_on_a_handler() {
    let entries = Entries::default();
    runs_once(Router::new().route("/pay", post(pay(&entries)).layer(layer())), "/pay", &entries).await;
    let entries = Entries::default();
    runs_once(Router::new().route("/pay", post(pay(&entries).layer(layer()))), "/pay", &entries).await;
}

#[tokio::test]
async fn under_nest_whose_prefix_counts() {
    let entries = Entries::default();
    let inner = || Router::new().route("/pay", post(pay(&entries))).layer(layer());
    runs_once(Router::new().nest("/a", inner()), "/a/pay", &entries).await;

    let (entries, layer) = (Entries::default(), layer());
    let inner = || Router::new().route("/pay", post(pay(&entries))).layer(layer.clone());
    let app = Router::new().nest("/a", inner()).nest("/b", inner());
    assert_eq!(send(&app, "/a/pay", Some("k")).await.body, "run 1");
    assert_eq!(send(&app, "/b/pay", Some("k")).await.problem(), "key-reused");
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn the_extractor_needs_a_key_unless_it_is_optional() {
    let strict = |idempotency: Idempotency| async move { idempotency.attempt().to_string() };
    let relaxed = |idempotency: Option<Idempotency>| async move { idempotency.is_some().to_string() };
    let app = Router::new().route("/strict", post(strict)).route("/relaxed", post(relaxed)).layer(layer());
    assert_eq!(send(&app, "/strict", Some("a")).await.body, "1");
    assert_eq!(send(&app, "/strict", None).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send(&app, "/relaxed", Some("b")).await.body, "true");
    assert_eq!(send(&app, "/relaxed", None).await.body, "false");
}
