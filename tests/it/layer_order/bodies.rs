//! Compression of answers, and limits of request bodies.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, post};
use idempotency_tests::{Reply, raw, reply};
use reqwest::StatusCode;
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;

use super::{Scene, Site};

/// Long enough to be compressed.
const TEXT: &str = "a text that says the same again and again, and again, and again, and again, and again, and again";

async fn with_gzip(site: &Site) -> Reply {
    reply(site.post("key-1").header("accept-encoding", "gzip")).await
}

fn writes(scene: &Scene) -> MethodRouter {
    let runs = scene.runs.clone();
    post(move || async move {
        runs.up();
        TEXT
    })
}

#[tokio::test]
async fn compression_inside_records_what_only_the_first_client_can_read() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(scene.layer()).layer(CompressionLayer::new());
    let site = Site::of(Router::new().route("/pay", writes(&scene)).layer(layers)).await;
    let first = with_gzip(&site).await;
    assert_eq!(first.header("content-encoding"), Some("gzip"));
    let retry = site.send("key-1").await;
    assert_eq!(retry.header("content-encoding"), Some("gzip"), "it did not say that it can read that");
    assert_eq!(retry.body, first.body);
    assert_ne!(retry.body, TEXT);
    assert_eq!(scene.runs.get(), 1);
}

#[tokio::test]
async fn compression_outside_encodes_each_answer_for_the_client_that_gets_it() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(CompressionLayer::new()).layer(scene.layer());
    let site = Site::of(Router::new().route("/pay", writes(&scene)).layer(layers)).await;
    let first = with_gzip(&site).await;
    assert_eq!(first.header("content-encoding"), Some("gzip"));
    let plain = site.send("key-1").await;
    assert_eq!((plain.header("content-encoding"), &plain.body[..]), (None, TEXT.as_bytes()));
    let again = with_gzip(&site).await;
    assert_eq!((again.header("content-encoding"), &again.body), (Some("gzip"), &first.body));
    assert!(plain.is_replay() && scene.runs.get() == 1);
}

fn reads(scene: &Scene) -> MethodRouter {
    let runs = scene.runs.clone();
    post(move |body: Bytes| async move { format!("run {} of {} bytes", runs.up(), body.len()) })
}

/// A body of which nobody knows the length beforehand.
async fn chunked(site: &Site, key: &str, length: usize) -> String {
    let request = format!(
        "POST /pay HTTP/1.1\r\nhost: test\r\nconnection: close\r\nidempotency-key: {key}\r\n\
         transfer-encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n",
        "x".repeat(length)
    );
    raw::exchange(site.address, request.as_bytes()).await
}

#[tokio::test]
async fn a_body_limit_outside_looks_to_the_layer_like_a_client_that_broke_off() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(RequestBodyLimitLayer::new(10)).layer(scene.layer());
    let site = Site::of(Router::new().route("/pay", reads(&scene)).layer(layers)).await;
    // With a length it is refused at once. Without one the limit strikes while this layer reads.
    assert_eq!(reply(site.post("key-1").body("x".repeat(11))).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let refused = chunked(&site, "key-1", 11).await;
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("/request-unreadable\""), "{refused}");
    assert_eq!((scene.runs.get(), scene.faults.called_in_all()), (0, 0));
}

#[tokio::test]
async fn the_layers_own_limit_says_413_and_leaves_the_key_alone() {
    let scene = Scene::new();
    let site =
        Site::of(Router::new().route("/pay", reads(&scene)).layer(scene.layer().max_request_body(10).unwrap())).await;
    reply(site.post("key-1").body("x".repeat(11))).await.expect_rejection(413, "request-too-large");
    let refused = chunked(&site, "key-1", 11).await;
    assert!(refused.starts_with("HTTP/1.1 413 ") && refused.contains("/request-too-large\""), "{refused}");
    assert_eq!((scene.runs.get(), scene.faults.called_in_all()), (0, 0));
    let shorter = reply(site.post("key-1").body("x".repeat(10))).await;
    assert_eq!(&shorter.body[..], b"run 1 of 10 bytes");
}

#[tokio::test]
async fn a_body_limit_inside_is_an_outcome_like_any_other() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(scene.layer()).layer(RequestBodyLimitLayer::new(10));
    let site = Site::of(Router::new().route("/pay", reads(&scene)).layer(layers)).await;
    let too_long = || reply(site.post("key-1").body("x".repeat(11)));
    let first = too_long().await;
    assert_eq!(first.status, StatusCode::PAYLOAD_TOO_LARGE);
    too_long().await.expect_replay_of(&first, &[]);
    // A shorter body is another request, and so needs another key.
    reply(site.post("key-1").body("x")).await.expect_rejection(422, "key-reused");
    assert_eq!(scene.runs.get(), 0);
}

/// axum's own limit is a word to its extractors; a layer that reads a body does not hear it.
#[tokio::test]
async fn axums_default_body_limit_does_not_bound_what_the_layer_reads() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(DefaultBodyLimit::max(10)).layer(scene.layer());
    let site = Site::of(Router::new().route("/pay", reads(&scene)).layer(layers)).await;
    let too_long = || reply(site.post("key-1").body("x".repeat(11)));
    let first = too_long().await;
    assert_eq!((first.status, first.is_replay()), (StatusCode::PAYLOAD_TOO_LARGE, false));
    too_long().await.expect_replay_of(&first, &[]);
    assert_eq!(scene.runs.get(), 0);
}
