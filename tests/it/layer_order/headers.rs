//! Layers that add header fields to every answer.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use idempotency_tests::{Reply, reply};
use tower::ServiceBuilder;
use tower_http::cors::CorsLayer;

use super::{Scene, Site};

fn pays(scene: &Scene) -> MethodRouter {
    let runs = scene.runs.clone();
    post(move || async move { format!("run {}", runs.up()) })
}

async fn from_a_browser(site: &Site) -> Reply {
    reply(site.post("key-1").header("origin", "https://shop.example")).await
}

#[tokio::test]
async fn cors_inside_is_lost_on_a_replay() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(scene.layer()).layer(CorsLayer::permissive());
    let site = Site::of(Router::new().route("/pay", pays(&scene)).layer(layers)).await;
    assert_eq!(from_a_browser(&site).await.header("access-control-allow-origin"), Some("*"));
    let replay = from_a_browser(&site).await;
    assert_eq!((replay.header("access-control-allow-origin"), replay.is_replay()), (None, true));
}

#[tokio::test]
async fn cors_outside_is_on_every_answer_and_on_rejections() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(CorsLayer::permissive()).layer(scene.layer().required());
    let site = Site::of(Router::new().route("/pay", pays(&scene)).layer(layers)).await;
    let (first, replay) = (from_a_browser(&site).await, from_a_browser(&site).await);
    let keyless = site.http.post(format!("http://{}/pay", site.address)).header("origin", "https://shop.example");
    let refused = reply(keyless).await;
    refused.expect_rejection(400, "key-missing");
    for answer in [first, replay, refused] {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    }
    assert_eq!(scene.runs.get(), 1);
}

/// Gives the answer the request's own id.
async fn request_id(request: Request, next: Next) -> Response {
    let id = request.headers().get("x-request-id").cloned();
    let mut response = next.run(request).await;
    id.and_then(|id| response.headers_mut().insert("x-request-id", id));
    response
}

async fn identified(site: &Site, id: &'static str) -> Reply {
    reply(site.post("key-1").header("x-request-id", id)).await
}

#[tokio::test]
async fn request_ids_inside_are_missing_on_replays() {
    let scene = Scene::new();
    let router = Router::new().route("/pay", pays(&scene)).layer(from_fn(request_id));
    let site = Site::of(router.layer(scene.layer())).await; // the last one is outermost
    assert_eq!(identified(&site, "id-1").await.header("x-request-id"), Some("id-1"));
    let replay = identified(&site, "id-2").await;
    assert_eq!((replay.header("x-request-id"), replay.is_replay()), (None, true));
}

#[tokio::test]
async fn request_ids_outside_are_each_requests_own() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(from_fn(request_id)).layer(scene.layer());
    let site = Site::of(Router::new().route("/pay", pays(&scene)).layer(layers)).await;
    for id in ["id-1", "id-2", "id-3"] {
        assert_eq!(identified(&site, id).await.header("x-request-id"), Some(id));
    }
    assert_eq!(scene.runs.get(), 1);
}
