//! Settings that an outer middleware gives to one request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use axum::body::Body;
use axum::extract::{MatchedPath, Request as Arriving};
use axum::middleware::{Next, from_fn};
use axum::routing::post as post_to;
use axum::{Extension, Router};
use common::{Answer, Entries, counted, layer, post, post_body, read, send};
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::{ConfigError, Idempotency, RecordingPolicy, RequestBody, RouteSettings};

type Handled = Request<RequestBody<Body>>;

fn with(settings: &RouteSettings, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(settings.clone());
    request
}

fn fails(entry: usize, _: Handled) -> Response<Body> {
    Response::builder().status(500).body(Body::from(format!("run {entry}"))).unwrap()
}

#[tokio::test]
async fn a_request_may_require_a_key_or_do_without() {
    let entries = Entries::default();
    let keyless = || Request::post("/pay").body(Body::empty()).unwrap();
    let required = with(&RouteSettings::new().required(true), keyless());
    assert_eq!(send(&layer(), &entries, counted, required).await.problem(), "key-missing");
    let optional = with(&RouteSettings::new().required(false), keyless());
    assert_eq!(send(&layer().required(), &entries, counted, optional).await.status, StatusCode::CREATED);
    let unchanged = with(&RouteSettings::new(), keyless());
    assert_eq!(send(&layer().required(), &entries, counted, unchanged).await.problem(), "key-missing");
}

#[tokio::test]
async fn a_bypassed_request_is_not_looked_after() {
    let (layer, entries) = (layer().required().max_request_body(1).unwrap(), Entries::default());
    let bypass = RouteSettings::new().bypass();
    for entry in 1..=2 {
        let handler = |entry, request: Handled| {
            assert!(request.extensions().get::<Idempotency>().is_none());
            counted(entry, request)
        };
        let answer = send(&layer, &entries, handler, with(&bypass, post_body("a,malformed,key", "large"))).await;
        assert_eq!(answer.body, format!("run {entry}"));
    }
}

#[tokio::test]
async fn limits_are_narrowed_for_one_request() {
    let (layer, entries) = (layer(), Entries::default());
    let small = RouteSettings::new().max_request_body(1).unwrap();
    assert_eq!(send(&layer, &entries, counted, with(&small, post("a"))).await.problem(), "request-too-large");
    let short = RouteSettings::new().max_recorded_answer(1).unwrap();
    assert_eq!(send(&layer, &entries, counted, with(&short, post("b"))).await.body, "run 1");
    assert_eq!(send(&layer, &entries, counted, post("b")).await.problem(), "not-replayable");
    assert_eq!(RouteSettings::new().max_request_body(0).err(), Some(ConfigError::BodyLimit(0)));
    assert!(RouteSettings::new().max_recorded_answer(usize::MAX).is_err());
}

#[tokio::test]
async fn what_is_recorded_is_chosen_for_one_request() {
    let (layer, entries) = (layer(), Entries::default());
    let retrying = RouteSettings::new().recording(RecordingPolicy::retry_server_errors());
    for run in ["run 1", "run 2"] {
        assert_eq!(send(&layer, &entries, fails, with(&retrying, post("a"))).await.body, run);
    }
    for run in ["run 3", "run 3"] {
        assert_eq!(send(&layer, &entries, fails, post("b")).await.body, run);
    }
}

async fn ask(app: &Router, path: &str, key: Option<&str>) -> Answer {
    let request = key.into_iter().fold(Request::post(path), |request, key| request.header("idempotency-key", key));
    read(app.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap()).await
}

#[tokio::test]
async fn a_middleware_outside_of_a_routers_layer_knows_the_route() {
    async fn narrow(path: MatchedPath, mut request: Arriving, next: Next) -> axum::response::Response {
        let settings = match path.as_str() {
            "/payments/{id}" => RouteSettings::new().required(true),
            _ => RouteSettings::new().bypass(),
        };
        request.extensions_mut().insert(settings);
        next.run(request).await
    }
    let entries = Entries::default();
    let counting = entries.clone();
    let handler = move || async move { format!("run {}", counting.enter()) };
    let app = Router::new()
        .route("/payments/{id}", post_to(handler.clone()))
        .route("/uploads", post_to(handler))
        .route_layer(layer())
        .route_layer(from_fn(narrow));
    assert_eq!(ask(&app, "/nowhere", Some("k")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&app, "/payments/1", None).await.problem(), "key-missing");
    assert_eq!(ask(&app, "/payments/1", Some("k")).await.body, "run 1");
    assert!(ask(&app, "/payments/1", Some("k")).await.is_replay());
    assert_eq!(ask(&app, "/uploads", Some("k")).await.body, "run 2");
    assert_eq!(ask(&app, "/uploads", Some("k")).await.body, "run 3");
}

#[tokio::test]
async fn each_method_router_may_have_a_clone_with_settings_of_its_own() {
    let (layer, pay) = (layer(), || async { "paid" });
    let app = Router::new()
        .route("/payments", post_to(pay).layer(layer.clone().required()))
        .route("/notes", post_to(pay).layer(layer.max_request_body(1).unwrap()));
    assert_eq!(ask(&app, "/payments", None).await.problem(), "key-missing");
    assert_eq!(ask(&app, "/payments", Some("a")).await.body, "paid");
    assert_eq!(ask(&app, "/notes", None).await.body, "paid");
    assert_eq!(ask(&app, "/notes", Some("b")).await.problem(), "request-too-large");
    assert_eq!(ask(&app, "/notes", Some("a")).await.problem(), "request-too-large", "the limit comes before the store");
}

/// The outer layer looks after the request, so the inner one's settings count only for what the outer one lets pass.
#[tokio::test]
async fn an_inner_layer_with_other_settings_passes_through() {
    let entries = Entries::default();
    let inner = || layer().required().max_request_body(1).unwrap().recording(RecordingPolicy::success_only());
    let outer = layer();
    let counting = entries.clone();
    let service = service_fn(move |_: Request<RequestBody<RequestBody<Body>>>| {
        let response = Response::builder().status(500).body(Body::from(format!("run {}", counting.enter()))).unwrap();
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    for _ in 0..2 {
        let both = outer.layer(inner().layer(service.clone()));
        assert_eq!(read(both.oneshot(post("k")).await.unwrap()).await.body, "run 1");
    }
    let both = outer.layer(inner().layer(service));
    let keyless = Request::post("/pay").body(Body::empty()).unwrap();
    assert_eq!(read(both.oneshot(keyless).await.unwrap()).await.problem(), "key-missing");
    assert_eq!(entries.count(), 1);
}

/// A layer of a route is inside of a router's, too late to tell it anything.
#[tokio::test]
async fn settings_that_are_put_in_inside_of_the_layer_change_nothing() {
    let bypass = Extension(RouteSettings::new().bypass());
    let inside = Router::new().route("/pay", post_to(|| async { "paid" }).layer(bypass.clone())).layer(layer());
    assert!(!ask(&inside, "/pay", Some("k")).await.is_replay());
    assert!(ask(&inside, "/pay", Some("k")).await.is_replay());
    let outside = Router::new().route("/pay", post_to(|| async { "paid" })).layer(layer()).layer(bypass);
    for _ in 0..2 {
        assert!(!ask(&outside, "/pay", Some("k")).await.is_replay());
    }
}
