//! Limits of how many run at once, and of how many may come.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use axum::{BoxError, Extension, Router};
use bytes::Bytes;
use http_body_util::Full;
use idempotency_tests::{Verb, reply, within};
use reqwest::StatusCode;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_idempotency::{IDEMPOTENCY_KEY, Recording, RequestBody};

use super::{Scene, Site};

/// Waits at the gate, where the test counts who came.
fn held(scene: &Scene) -> MethodRouter {
    let (runs, gate) = (scene.runs.clone(), scene.gate.clone());
    post(move || async move {
        gate.pass().await;
        format!("run {}", runs.up())
    })
}

#[tokio::test]
async fn a_concurrency_limit_outside_gives_the_permit_back_while_the_handler_runs_on() {
    let scene = Scene::new();
    let layers = ServiceBuilder::new().layer(GlobalConcurrencyLimitLayer::new(1)).layer(scene.layer());
    let site = Site::of(Router::new().route("/pay", held(&scene)).layer(layers)).await;
    let left = tokio::spawn(reply(site.post("key-1")));
    scene.gate.arrived(1).await;
    left.abort();
    let second = tokio::spawn(reply(site.post("key-2")));
    scene.gate.arrived(2).await; // at once, under a limit of one
    scene.gate.open();
    assert_eq!(second.await.unwrap().status, StatusCode::OK);
    within("both handlers end", scene.runs.reached(2)).await;
}

/// Also for clients that leave. A limit that waits has its permit taken before this layer looks at a request, so that
/// replays wait in the queue as well; one that sheds does not (below).
#[tokio::test]
async fn a_concurrency_limit_inside_counts_handlers() {
    let scene = Scene::new();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (runs, at_once) = (scene.runs.clone(), Arc::clone(&most));
    let handler = post(move || async move {
        at_once.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        running.fetch_sub(1, SeqCst);
        format!("run {}", runs.up())
    });
    let layers = ServiceBuilder::new().layer(scene.layer()).layer(GlobalConcurrencyLimitLayer::new(1));
    let site = Site::of(Router::new().route("/pay", handler).layer(layers)).await;
    let answers: Vec<_> = (0..20).map(|key| tokio::spawn(reply(site.post(&format!("key-{key}"))))).collect();
    for (at, answer) in answers.into_iter().enumerate() {
        if at % 4 == 0 {
            answer.abort();
        } else {
            assert_eq!(answer.await.unwrap().status, StatusCode::OK);
        }
    }
    assert!(site.send("key-1").await.is_replay());
    assert_eq!(most.load(SeqCst), 1);
}

type Keyed = axum::http::Request<RequestBody<Full<Bytes>>>;

fn keyed(key: &str) -> axum::http::Request<Full<Bytes>> {
    axum::http::Request::post("/pay").header(IDEMPOTENCY_KEY, key).body(Full::from("{}")).unwrap()
}

#[tokio::test]
async fn load_shedding_that_fails_makes_the_outcome_unknown() {
    let scene = Scene::new();
    let gate = scene.gate.clone();
    let handler = service_fn(move |_: Keyed| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok::<_, BoxError>(axum::http::Response::new(Full::from("paid")))
        }
    });
    let shedding = ServiceBuilder::new().layer(scene.layer()).load_shed().concurrency_limit(1).service(handler);
    let first = tokio::spawn(shedding.clone().oneshot(keyed("key-1")));
    scene.gate.arrived(1).await;
    let mut shedding = shedding;
    assert!(shedding.ready().await.unwrap().call(keyed("key-2")).await.is_err(), "an error, not an answer");
    scene.gate.open();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    // Nothing ran under it, but an error does not say so.
    let retry = shedding.ready().await.unwrap().call(keyed("key-2")).await.unwrap();
    assert_eq!(retry.status(), StatusCode::CONFLICT);
    assert_eq!(scene.faults.applied(Verb::Abandon), 1);
}

#[tokio::test]
async fn load_shedding_that_answers_not_executed_leaves_the_key_free() {
    let scene = Scene::new();
    let shed = |_: BoxError| async {
        (StatusCode::SERVICE_UNAVAILABLE, Extension(Recording::NotExecuted), "too many at once")
    };
    let layers = ServiceBuilder::new()
        .layer(scene.layer())
        .layer(HandleErrorLayer::new(shed))
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(1));
    let site = Site::of(Router::new().route("/pay", held(&scene)).layer(layers)).await;
    let first = tokio::spawn(reply(site.post("key-1")));
    scene.gate.arrived(1).await;
    site.send("key-1").await.expect_rejection(409, "in-flight");
    let shed = site.send("key-2").await;
    assert_eq!((shed.status, &shed.body[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"too many at once"[..]));
    scene.gate.open();
    assert_eq!(first.await.unwrap().status, StatusCode::OK);
    let retry = site.send("key-2").await;
    assert_eq!((retry.status, retry.is_replay()), (StatusCode::OK, false));
    assert_eq!(scene.runs.get(), 2);
}

/// Lets nobody through.
async fn limited(_: Request, _: Next) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]).into_response()
}

#[tokio::test]
async fn a_rate_limit_outside_keeps_fresh_keys_from_the_store_and_inside_it_does_not() {
    for (is_outside, asked) in [(true, 0), (false, 20)] {
        let scene = Scene::new();
        let router = Router::new().route("/pay", held(&scene));
        let site = Site::of(if is_outside {
            router.layer(ServiceBuilder::new().layer(from_fn(limited)).layer(scene.layer()))
        } else {
            router.layer(from_fn(limited)).layer(scene.layer()) // the last one is outermost
        })
        .await;
        for key in 0..10 {
            assert_eq!(site.send(&format!("key-{key}")).await.status, StatusCode::TOO_MANY_REQUESTS);
        }
        // Inside, each costs a claim and a release.
        assert_eq!((scene.faults.called_in_all(), scene.runs.get()), (asked, 0));
    }
}
