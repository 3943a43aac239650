//! The rules table, row by row, at the service itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use common::{Entries, counted, layer, post, post_body, read, secret, send};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::{Clock, ManualClock, MemoryStore};
use tower_idempotency::{
    ClaimLimit, IDEMPOTENCY_KEY, IDEMPOTENCY_RECORDED_AT, Idempotency, IdempotencyLayer, KeySyntax, Recording,
    RejectionKind, RequestBody, Scope,
};

type Handled = Request<RequestBody<Body>>;
type Handler = fn(usize, Handled) -> Response<Body>;

#[tokio::test]
async fn the_first_runs_and_the_second_gets_its_answer() {
    let (layer, entries) = (layer(), Entries::default());
    let first = send(&layer, &entries, counted, post("k")).await;
    assert_eq!((first.status, &first.body[..], first.is_replay()), (StatusCode::CREATED, &b"run 1"[..], false));
    let second = send(&layer, &entries, counted, post("k")).await;
    assert_eq!((second.status, &second.body[..], second.is_replay()), (StatusCode::CREATED, &b"run 1"[..], true));
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn the_quoted_and_the_bare_key_are_one() {
    let (layer, entries) = (layer(), Entries::default());
    send(&layer, &entries, counted, post("abc")).await;
    assert!(send(&layer, &entries, counted, post("\"abc\";v=1")).await.is_replay());
    let strict = layer.key_syntax(KeySyntax::Strict);
    assert_eq!(send(&strict, &entries, counted, post("abc")).await.problem(), "key-malformed");
    assert!(send(&strict, &entries, counted, post("\"abc\"")).await.is_replay());
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn safe_methods_and_requests_without_a_key_pass_untouched() {
    let (layer, entries) = (layer().max_request_body(2).unwrap(), Entries::default());
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        let layer = layer.clone().required();
        for _ in 0..2 {
            let mut request = post("k");
            *request.method_mut() = method.clone();
            let answer = send(&layer, &entries, counted, request).await;
            assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, false), "{method}");
        }
    }
    let before = entries.count();
    let request = Request::post("/pay").body(Body::from("more than the limit")).unwrap();
    let echo = |_, request: Handled| {
        assert!(request.extensions().get::<Idempotency>().is_none());
        Response::new(Body::new(request.into_body()))
    };
    let answer = send(&layer, &entries, echo, request).await;
    assert_eq!((&answer.body[..], entries.count()), (&b"more than the limit"[..], before + 1));
}

#[tokio::test]
async fn a_body_without_a_key_is_passed_as_it_streams() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures_frames(receiver);
    let echo = service_fn(|request: Handled| async { Ok::<_, std::convert::Infallible>(request.map(Body::new)) });
    let echo = echo.map_response(|request| Response::new(request.into_body()));
    let request = Request::post("/pay").body(Body::new(StreamBody::new(frames))).unwrap();
    let mut body = layer().layer(echo).oneshot(request).await.unwrap().into_body();
    for part in [&b"one"[..], b"two"] {
        sender.send(Bytes::from_static(part)).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part, "a part arrives before the next is sent");
    }
}

fn futures_frames(
    receiver: tokio::sync::mpsc::Receiver<Bytes>,
) -> impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, std::convert::Infallible>> {
    futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|part| (Ok(http_body::Frame::data(part)), receiver))
    })
}

#[tokio::test]
async fn a_required_key_must_be_there_and_be_one_key() {
    let (layer, entries) = (layer().required(), Entries::default());
    let missing = send(&layer, &entries, counted, Request::post("/pay").body(Body::empty()).unwrap()).await;
    assert_eq!((missing.status, missing.problem()), (StatusCode::BAD_REQUEST, "key-missing".to_owned()));
    assert_eq!(missing.rejection.unwrap().kind(), RejectionKind::KeyMissing);
    let mut twice = post("a");
    twice.headers_mut().append(IDEMPOTENCY_KEY, HeaderValue::from_static("b"));
    let odd = [twice, post(""), post(&"k".repeat(256)), post("a,b"), post("a\tb"), post("\"a")];
    for request in odd {
        let answer = send(&layer, &entries, counted, request).await;
        assert_eq!((answer.status, answer.problem()), (StatusCode::BAD_REQUEST, "key-malformed".to_owned()));
    }
    assert_eq!(entries.count(), 0);
}

#[tokio::test]
async fn another_request_under_the_key_is_refused() {
    let (layer, entries) = (layer().fingerprint_header(HeaderName::from_static("x-version")), Entries::default());
    send(&layer, &entries, counted, post("k")).await;
    let mut others = vec![post_body("k", "{ }"), post("k"), post("k"), post("k"), post("k"), post("k")];
    *others[1].uri_mut() = "/other".parse().unwrap();
    *others[2].uri_mut() = "/pay?a=1".parse().unwrap();
    *others[3].method_mut() = Method::PUT;
    others[4].headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    others[5].headers_mut().insert("x-version", HeaderValue::from_static("2"));
    for other in others {
        let answer = send(&layer, &entries, counted, other).await;
        assert_eq!((answer.status, answer.problem()), (StatusCode::UNPROCESSABLE_ENTITY, "key-reused".to_owned()));
    }
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn a_request_body_over_the_limit_is_refused_before_the_store_is_asked() {
    let (layer, entries) = (layer().max_request_body(4).unwrap(), Entries::default());
    for body in [Body::from("12345"), Body::new(Body::from("12345").map_frame(std::convert::identity))] {
        let answer = send(&layer, &entries, counted, post_body("k", body)).await;
        assert_eq!((answer.status, answer.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "request-too-large".to_owned()));
    }
    assert_eq!(entries.count(), 0);
    let answer = send(&layer, &entries, counted, post_body("k", "1234")).await;
    assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, false), "the key was not touched before");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_claims_too_many_new_keys_is_told_when_to_come_back() {
    let layer = layer().limit_claims(ClaimLimit::every(Duration::from_secs(30), 1).unwrap());
    let entries = Entries::default();
    assert_eq!(send(&layer, &entries, counted, post("a")).await.status, StatusCode::CREATED);
    let refused = send(&layer, &entries, counted, post("b")).await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::TOO_MANY_REQUESTS, "too-many-claims".into()));
    assert_eq!(
        (&refused.headers["retry-after"], layer.counts().limited, entries.count()),
        (&"30".parse().unwrap(), 1, 1)
    );
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(send(&layer, &entries, counted, post("b")).await.body, "run 2", "the same key runs then");
}

#[tokio::test]
async fn a_request_body_that_breaks_off_runs_nothing() {
    let (layer, entries) = (layer(), Entries::default());
    let broken = || {
        let frames = [Ok(http_body::Frame::data(Bytes::from("half"))), Err(std::io::Error::other("gone"))];
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    };
    let answer = send(&layer, &entries, counted, post_body("k", broken())).await;
    assert_eq!((answer.status, answer.problem()), (StatusCode::BAD_REQUEST, "request-unreadable".to_owned()));
    assert!(!send(&layer, &entries, counted, post("k")).await.is_replay());
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn the_handler_reads_the_body_that_was_digested() {
    let (layer, entries) = (layer(), Entries::default());
    let echo = |_, request: Handled| Response::new(Body::new(request.into_body()));
    for _ in 0..2 {
        let answer = send(&layer, &entries, echo, post_body("k", &b"\xff\x00body"[..])).await;
        assert_eq!(answer.body, &b"\xff\x00body"[..]);
    }
}

#[tokio::test]
async fn keys_of_two_principals_never_meet() {
    let scope = || Scope::header(http::header::AUTHORIZATION);
    let layer = IdempotencyLayer::new(MemoryStore::new(), scope(), secret());
    let entries = Entries::default();
    let of = |principal: &'static str| {
        let mut request = post("k");
        request.headers_mut().insert("authorization", HeaderValue::from_static(principal));
        request
    };
    assert_eq!(send(&layer, &entries, counted, of("a")).await.body, "run 1");
    assert_eq!(send(&layer, &entries, counted, of("b")).await.body, "run 2");
    assert_eq!(send(&layer, &entries, counted, of("a")).await.body, "run 1");
    let nobody = send(&layer, &entries, counted, post("k")).await;
    assert_eq!((nobody.status, nobody.problem()), (StatusCode::UNAUTHORIZED, "scope-missing".to_owned()));
    assert_eq!(entries.count(), 2);
}

#[tokio::test]
async fn a_missing_extension_is_the_servers_fault() {
    struct Merchant(String);
    let scope = Scope::extension(|merchant: &Merchant| merchant.0.as_bytes());
    let layer = IdempotencyLayer::new(MemoryStore::new(), scope, secret());
    let entries = Entries::default();
    let mut empty = post("k");
    empty.extensions_mut().insert(std::sync::Arc::new(()));
    let answer = send(&layer, &entries, counted, empty).await;
    assert_eq!((answer.status, answer.problem()), (StatusCode::INTERNAL_SERVER_ERROR, "scope-missing".to_owned()));
    assert_eq!(entries.count(), 0);
}

#[tokio::test]
async fn only_what_says_not_executed_runs_again() {
    let (layer, entries) = (layer(), Entries::default());
    let status = |status: u16| move |_, _: Handled| Response::builder().status(status).body(Body::empty()).unwrap();
    for kept in [400, 408, 409, 422, 500, 503] {
        let key = format!("k{kept}");
        send(&layer, &entries, status(kept), post(&key)).await;
        assert!(send(&layer, &entries, counted, post(&key)).await.is_replay(), "{kept}");
    }
    for released in [425, 429] {
        let key = format!("k{released}");
        send(&layer, &entries, status(released), post(&key)).await;
        assert_eq!(send(&layer, &entries, counted, post(&key)).await.status, StatusCode::CREATED, "{released}");
    }
    let refused = |_, _: Handled| {
        Response::builder().status(422).extension(Recording::NotExecuted).body(Body::from("no")).unwrap()
    };
    assert_eq!(send(&layer, &entries, refused, post("k")).await.body, "no");
    assert_eq!(send(&layer, &entries, counted, post("k")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_answer_too_large_reaches_its_client_and_is_not_run_again() {
    let (layer, entries) = (layer().max_recorded_answer(4).unwrap(), Entries::default());
    let known = |_, _: Handled| Response::new(Body::from("12345"));
    let unknown = |_, _: Handled| {
        let frames = ["123", "45"].map(|part| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(part))));
        Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))))
    };
    let events = |_, _: Handled| {
        Response::builder().header("content-type", "text/event-stream").body(Body::from("12345")).unwrap()
    };
    let handlers: [(&str, Handler); 3] = [("known", known), ("unknown", unknown), ("events", events)];
    for (key, handler) in handlers {
        assert_eq!(send(&layer, &entries, handler, post(key)).await.body, "12345");
        let retry = send(&layer, &entries, handler, post(key)).await;
        assert_eq!((retry.status, retry.problem()), (StatusCode::CONFLICT, "not-replayable".to_owned()));
        assert_eq!(retry.rejection.unwrap().original_status(), Some(StatusCode::OK));
    }
    assert_eq!(entries.count(), 3);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_an_empty_success() {
    let (layer, entries) = (layer(), Entries::default());
    let service = service_fn(|_: Handled| async {
        let frames = [Ok(http_body::Frame::data(Bytes::from("half"))), Err(std::io::Error::other("gone"))];
        Ok::<_, std::convert::Infallible>(Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames)))))
    });
    let mut body = layer.layer(service).oneshot(post("k")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    assert!(body.frame().await.unwrap().is_err(), "the client sees the failure");
    assert_eq!(send(&layer, &entries, counted, post("k")).await.problem(), "not-replayable");
    assert_eq!(entries.count(), 0);
}

#[tokio::test]
async fn trailers_are_replayed() {
    let (layer, entries) = (layer(), Entries::default());
    let handler = |_, _: Handled| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let trailers = async move { Some(Ok(trailers)) };
        let body = http_body_util::Full::new(Bytes::from("x")).with_trailers(trailers);
        Response::builder().header("trailer", "grpc-status").body(Body::new(body)).unwrap()
    };
    for _ in 0..2 {
        let entries = entries.clone();
        let service = service_fn(move |request| {
            let response = handler(entries.enter(), request);
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        let response = layer.layer(service).oneshot(post("k")).await.unwrap();
        // An exact size becomes a content-length, after which HTTP/1.1 sends no trailers; they need their announcement.
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
        assert_eq!(response.headers()["trailer"], "grpc-status");
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "x");
    }
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn an_error_of_the_inner_service_comes_back_unchanged_and_is_not_run_again() {
    let (layer, entries) = (layer(), Entries::default());
    let failing = service_fn(|_: Handled| async { Err::<Response<Body>, _>("broken") });
    assert_eq!(layer.layer(failing).oneshot(post("k")).await.err(), Some("broken"));
    assert_eq!(send(&layer, &entries, counted, post("k")).await.problem(), "indeterminate");
    assert_eq!(entries.count(), 0);
}

#[tokio::test]
async fn rejections_look_as_the_application_wants() {
    let entries = Entries::default();
    let based = layer().required().problem_base("https://example.com/p#").unwrap();
    let request = || Request::post("/pay").body(Body::empty()).unwrap();
    let answer = send(&based, &entries, counted, request()).await;
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["type"], "https://example.com/p#key-missing");
    let custom = layer().required().on_rejection(|rejection| {
        let body = Bytes::from(rejection.kind().name());
        Response::builder().status(418).body(body).unwrap()
    });
    let answer = send(&custom, &entries, counted, request()).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (418, &b"key-missing"[..]));
    assert_eq!(answer.rejection.unwrap().kind(), RejectionKind::KeyMissing);
}

#[tokio::test]
async fn the_handler_knows_its_attempt() {
    let (layer, entries) = (layer(), Entries::default());
    let handler = |_, request: Handled| {
        let idempotency: &Idempotency = request.extensions().get().unwrap();
        assert_eq!((idempotency.key().as_str(), idempotency.attempt()), ("k", 1));
        assert!(!idempotency.is_takeover() && !idempotency.is_lost());
        assert_eq!(idempotency.lease().fence, idempotency.fence());
        let shown = format!("{idempotency:?}");
        Response::new(Body::from(format!("{} {}", idempotency.downstream_key("charge"), shown.contains("\"k\""))))
    };
    let answer = send(&layer, &entries, handler, post("k")).await;
    let (key, shown) = std::str::from_utf8(&answer.body).unwrap().split_once(' ').unwrap();
    assert_eq!((key.len(), shown), (32, "false"));
}

#[tokio::test]
async fn header_fields_are_replayed_in_order_and_with_repetitions_but_not_secrets() {
    let layer = layer().replay_header(HeaderName::from_static("x-own")).unwrap();
    let entries = Entries::default();
    let handler = |_, _: Handled| {
        let fields = [
            ("link", "a"),
            ("grpc-status", "5"),
            ("idempotent-replayed", "true"),
            ("idempotency-recorded-at", "yesterday"),
            ("set-cookie", "s"),
            ("x-own", "1"),
            ("link", "b"),
            ("date", "now"),
        ];
        let response = fields.into_iter().fold(Response::builder(), |r, (name, value)| r.header(name, value));
        response.header("etag", HeaderValue::from_bytes(b"\"\xe9\"").unwrap()).body(Body::empty()).unwrap()
    };
    let first = send(&layer, &entries, handler, post("k")).await;
    assert_eq!(first.headers["set-cookie"], "s");
    assert!(!first.headers.contains_key(IDEMPOTENCY_RECORDED_AT));
    assert!(!first.is_replay(), "what a proxied answer said of itself is not said of this one");
    let replay = send(&layer, &entries, handler, post("k")).await;
    let names = replay.headers.iter().filter(|(name, _)| *name != IDEMPOTENCY_RECORDED_AT);
    let fields: Vec<_> = names.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let expected: [(&str, &[u8]); 6] = [
        ("link", b"a"),
        ("link", b"b"),
        ("grpc-status", b"5"),
        ("x-own", b"1"),
        ("etag", b"\"\xe9\""),
        ("idempotent-replayed", b"true"),
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    /// Panics when called without having been polled ready; a clone is not ready.
    struct Picky(bool);
    impl Clone for Picky {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl tower::Service<Handled> for Picky {
        type Response = Response<Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Response<Body>, std::convert::Infallible>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
            self.0 = true;
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Handled) -> Self::Future {
            assert!(std::mem::take(&mut self.0), "called without being ready");
            std::future::ready(Ok(Response::new(Body::from("ready"))))
        }
    }
    let mut service = layer().layer(Picky(false));
    for key in ["a", "b"] {
        let response = service.ready().await.unwrap();
        let answer = read(tower::Service::call(response, post(key)).await.unwrap()).await;
        assert_eq!(answer.body, "ready", "{answer:?}");
    }
}

#[tokio::test]
async fn a_layer_met_twice_is_met_once() {
    let (layer, entries) = (layer(), Entries::default());
    let inner = entries.clone();
    let service = service_fn(move |request: Request<RequestBody<RequestBody<Body>>>| {
        let response = Response::new(Body::from(format!("run {}", inner.enter())));
        drop(request);
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    for _ in 0..2 {
        let twice = layer.clone().required().layer(layer.layer(service.clone()));
        let answer = read(twice.oneshot(post("k")).await.unwrap()).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"run 1"[..]));
    }
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn an_endless_answer_is_passed_on_at_the_end_of_the_maximal_execution() {
    let lease = Duration::from_millis(100);
    let timing = tower_idempotency::Timing::default().lease(lease).max_execution(lease);
    let (layer, entries) = (layer().timing(timing).unwrap(), Entries::default());
    let (parts, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    parts.send(Bytes::from("first")).await.unwrap();
    let body = std::sync::Mutex::new(Some(Body::new(StreamBody::new(futures_frames(receiver)))));
    let body = std::sync::Arc::new(body);
    let service = service_fn(move |_: Handled| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok::<_, std::convert::Infallible>(Response::new(body)) }
    });
    let mut streamed = layer.layer(service).oneshot(post("k")).await.unwrap().into_body();
    assert_eq!(streamed.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    parts.send(Bytes::from("second")).await.unwrap();
    assert_eq!(streamed.frame().await.unwrap().unwrap().into_data().unwrap(), "second");
    assert_eq!(send(&layer, &entries, counted, post("k")).await.problem(), "not-replayable");
}

#[tokio::test]
async fn a_replay_tells_when_the_first_run_was_recorded() {
    let clock = std::sync::Arc::new(ManualClock::new());
    let store = MemoryStore::new().with_clock(std::sync::Arc::<ManualClock>::clone(&clock));
    let (layer, entries) = (IdempotencyLayer::new(store, Scope::shared(), secret()), Entries::default());
    let recorded_at = clock.now().to_system_time();
    let first = send(&layer, &entries, counted, post("k")).await;
    assert!(!first.headers.contains_key(IDEMPOTENCY_RECORDED_AT));
    let gone = |_, _: Handled| Response::builder().extension(Recording::DoNotKeep).body(Body::empty()).unwrap();
    send(&layer, &entries, gone, post("gone")).await;
    clock.advance(Duration::from_secs(3600));
    let replay = send(&layer, &entries, counted, post("k")).await;
    assert_eq!(replay.headers[IDEMPOTENCY_RECORDED_AT], httpdate::fmt_http_date(recorded_at));
    let tombstone = send(&layer, &entries, counted, post("gone")).await;
    let problem: serde_json::Value = serde_json::from_slice(&tombstone.body).unwrap();
    assert_eq!(problem["recorded_at"], httpdate::fmt_http_date(recorded_at));
    assert_eq!(tombstone.rejection.unwrap().recorded_at(), Some(recorded_at));
}

#[tokio::test]
async fn a_principal_may_be_a_number_a_text_or_whatever_a_closure_finds() {
    #[derive(Clone)]
    struct User {
        id: u64,
        name: String,
    }
    let store = MemoryStore::new();
    let scopes = [
        (Scope::extension_with(|user: &User| user.id.to_be_bytes()), 500),
        (Scope::extension_with(|user: &User| user.name.clone()), 500),
        (Scope::from_fn(|request| Some(request.extensions.get::<User>()?.id.to_string())), 401),
        (Scope::from_fn(|request| request.headers.get("x-user").cloned()), 401),
    ];
    for (number, (scope, missing)) in scopes.into_iter().enumerate() {
        let scope = scope.namespace(&number.to_string());
        let (layer, entries) = (IdempotencyLayer::new(store.clone(), scope, secret()), Entries::default());
        let by = |id: u64| {
            let mut request = post("k");
            request.extensions_mut().insert(User { id, name: format!("user {id}") });
            request.headers_mut().insert("x-user", id.into());
            request
        };
        assert_eq!(send(&layer, &entries, counted, by(1)).await.body, "run 1");
        assert_eq!(send(&layer, &entries, counted, by(2)).await.body, "run 2");
        assert_eq!(send(&layer, &entries, counted, by(1)).await.body, "run 1");
        let nobody = send(&layer, &entries, counted, post("k")).await;
        assert_eq!((nobody.status.as_u16(), nobody.problem()), (missing, "scope-missing".to_owned()));
    }
    let empty = IdempotencyLayer::new(store, Scope::from_fn(|_| Some(String::new())), secret());
    let answer = send(&empty, &Entries::default(), counted, post("k")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "an empty principal is nobody");
}

#[tokio::test]
async fn the_same_bytes_are_the_same_principal_however_an_extension_is_read() {
    #[derive(Clone)]
    struct User(&'static str);
    let (store, entries) = (MemoryStore::new(), Entries::default());
    let scopes = [Scope::extension(|user: &User| user.0.as_bytes()), Scope::extension_with(|user: &User| user.0)];
    for scope in scopes {
        let mut request = post("k");
        request.extensions_mut().insert(User("u"));
        let layer = IdempotencyLayer::new(store.clone(), scope, secret());
        assert_eq!(send(&layer, &entries, counted, request).await.body, "run 1");
    }
}

#[tokio::test]
async fn scopes_of_different_kinds_and_namespaces_never_meet() {
    #[derive(Clone)]
    struct Id(&'static str);
    let store = MemoryStore::new();
    let by_type = || Scope::extension(|id: &Id| id.0.as_bytes());
    let header = |name| Scope::header(HeaderName::from_static(name));
    let scopes = [by_type(), by_type().namespace("other"), header("x-user"), header("x-merchant"), Scope::shared()];
    let entries = Entries::default();
    for scope in scopes {
        let layer = IdempotencyLayer::new(store.clone(), scope, secret());
        for _ in 0..2 {
            let mut request = post("k");
            request.extensions_mut().insert(Id("42"));
            request.headers_mut().insert("x-user", HeaderValue::from_static("42"));
            request.headers_mut().insert("x-merchant", HeaderValue::from_static("42"));
            assert_eq!(send(&layer, &entries, counted, request).await.status, StatusCode::CREATED);
        }
    }
    assert_eq!(entries.count(), 5);
}

#[tokio::test]
async fn keys_may_be_asked_to_be_longer_or_shorter() {
    let (layer, entries) = (layer().key_length(16..=32).unwrap(), Entries::default());
    for (length, status) in [(15, 400), (16, 201), (32, 201), (33, 400)] {
        let answer = send(&layer, &entries, counted, post(&"k".repeat(length))).await;
        assert_eq!(answer.status.as_u16(), status, "{length} bytes");
    }
    let absurd = [0..=255, 1..=256, std::ops::RangeInclusive::new(9, 8)];
    for absurd in absurd {
        assert!(layer.clone().key_length(absurd).is_err());
    }
}
