//! `layer` and `route_layer` of axum.

use axum::Router;
use axum::routing::post;
use reqwest::StatusCode;

use super::{Scene, Site};

fn pays(scene: &Scene) -> axum::routing::MethodRouter {
    let runs = scene.runs.clone();
    post(move || async move { format!("run {}", runs.up()) })
}

#[tokio::test]
async fn layer_records_a_404_and_replays_it_once_the_route_is_there() {
    let scene = Scene::new();
    let before = Router::new().route("/other", pays(&scene));
    let missing = Site::of(before.layer(scene.layer())).await.send("key-1").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let deployed = Site::of(Router::new().route("/pay", pays(&scene)).layer(scene.layer())).await;
    deployed.send("key-1").await.expect_replay_of(&missing, &[]);
    assert_eq!(scene.runs.get(), 0);
}

#[tokio::test]
async fn route_layer_leaves_a_404_alone() {
    let scene = Scene::new();
    let before = Router::new().route("/other", pays(&scene));
    let missing = Site::of(before.route_layer(scene.layer())).await.send("key-1").await;
    assert_eq!((missing.status, scene.faults.called_in_all()), (StatusCode::NOT_FOUND, 0));
    let deployed = Site::of(Router::new().route("/pay", pays(&scene)).route_layer(scene.layer())).await;
    let first = deployed.send("key-1").await;
    assert_eq!((first.status, first.is_replay()), (StatusCode::OK, false));
}
