//! Authentication.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use idempotency_tests::{Count, Reply, reply};
use reqwest::StatusCode;
use tower::ServiceBuilder;

use super::{Scene, Site};

/// Asks for the only token there is, which may be revoked.
async fn authenticate(revoked: Count, request: Request, next: Next) -> Response {
    let is_good = request.headers().get("authorization").is_some_and(|shown| shown == "good");
    if !is_good || revoked.get() > 0 {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    next.run(request).await
}

async fn site(scene: &Scene, revoked: &Count, is_outside: bool) -> Site {
    let (runs, revoked) = (scene.runs.clone(), revoked.clone());
    let pay = post(move || async move { format!("secret {}", runs.up()) });
    let authentication = from_fn(move |request: Request, next: Next| authenticate(revoked.clone(), request, next));
    let router = Router::new().route("/pay", pay);
    Site::of(if is_outside {
        router.layer(ServiceBuilder::new().layer(authentication).layer(scene.layer()))
    } else {
        router.layer(authentication).layer(scene.layer()) // the last one is outermost
    })
    .await
}

async fn send(site: &Site, token: &str) -> Reply {
    reply(site.post("key-1").header("authorization", token)).await
}

#[tokio::test]
async fn authentication_inside_lets_everybody_read_what_is_recorded() {
    let (scene, revoked) = (Scene::new(), Count::default());
    let site = site(&scene, &revoked, false).await;
    let first = send(&site, "good").await;
    assert_eq!(&first.body[..], b"secret 1");
    send(&site, "bad").await.expect_replay_of(&first, &[]);
    revoked.up();
    send(&site, "good").await.expect_replay_of(&first, &[]);
}

#[tokio::test]
async fn authentication_inside_makes_its_refusal_the_answer_of_the_key() {
    let (scene, revoked) = (Scene::new(), Count::default());
    let site = site(&scene, &revoked, false).await;
    let refused = send(&site, "bad").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    send(&site, "good").await.expect_replay_of(&refused, &[]);
    assert_eq!(scene.runs.get(), 0);
}

#[tokio::test]
async fn authentication_outside_authorises_replays_and_its_refusals_leave_the_key_alone() {
    let (scene, revoked) = (Scene::new(), Count::default());
    let site = site(&scene, &revoked, true).await;
    assert_eq!(send(&site, "bad").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.faults.called_in_all(), 0);
    let first = send(&site, "good").await;
    assert_eq!((&first.body[..], first.is_replay()), (&b"secret 1"[..], false));
    send(&site, "good").await.expect_replay_of(&first, &[]);
    revoked.up();
    for token in ["bad", "good"] {
        let refused = send(&site, token).await;
        assert_eq!((refused.status, &refused.body[..]), (StatusCode::UNAUTHORIZED, &b"who are you?"[..]));
    }
    assert_eq!(scene.runs.get(), 1);
}
