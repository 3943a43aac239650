//! A layer that makes a 500 of a panic.

use axum::Router;
use axum::routing::{MethodRouter, post};
use reqwest::StatusCode;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::{Scene, Site};

fn panics(scene: &Scene) -> MethodRouter {
    let runs = scene.runs.clone();
    post(move || async move {
        let run = runs.up();
        assert_eq!(run, 0, "a handler that was asked to panic");
        "it did not"
    })
}

#[tokio::test]
async fn catching_panics_inside_records_a_500_where_nobody_knows_the_outcome() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(scene.layer()).layer(CatchPanicLayer::new());
    let site = Site::of(Router::new().route("/pay", panics(&scene)).layer(layers)).await;
    let first = site.send("key-1").await;
    assert_eq!(first.status, StatusCode::INTERNAL_SERVER_ERROR);
    // For good: no resolver is asked, nobody sees that there is something to settle.
    site.send("key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(scene.runs.get(), 1);
}

#[tokio::test]
async fn catching_panics_outside_leaves_the_handlers_to_the_layer() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(CatchPanicLayer::new()).layer(scene.layer());
    let site = Site::of(Router::new().route("/pay", panics(&scene)).layer(layers)).await;
    site.send("key-1").await.expect_rejection(500, "handler-panicked");
    site.send("key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!(scene.runs.get(), 1);
}
