//! What a handler's calls carry, by each of the three ways, and that none leaves under a lost lease.

#![cfg(feature = "client")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use common::{layer, post};
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_idempotency::client::DownstreamLayer;
use tower_idempotency::store::{Fence, MemoryStore, Owner};
use tower_idempotency::{
    Downstream, DownstreamError, FenceHeader, IDEMPOTENCY_FENCE, IDEMPOTENCY_KEY, Idempotency, IdempotencyLayer,
    LeaseLost, RequestBody, Timing,
};

/// Runs a handler behind the layer and gives out what it found.
async fn handle<F, T>(layer: IdempotencyLayer<MemoryStore>, key: &str, handler: impl FnOnce(Idempotency) -> F) -> T
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let (entered, mut attempts) = tokio::sync::mpsc::channel(1);
    let (found, what) = tokio::sync::oneshot::channel::<()>();
    let what = Arc::new(Mutex::new(Some(what)));
    let service = service_fn(move |request: Request<RequestBody<Body>>| {
        let (entered, what) = (entered.clone(), what.lock().unwrap().take().expect("entered once"));
        async move {
            entered.send(request.extensions().get::<Idempotency>().unwrap().clone()).await.unwrap();
            what.await.unwrap();
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let answer = tokio::spawn(layer.layer(service).oneshot(post(key)));
    let result = handler(attempts.recv().await.unwrap()).await;
    found.send(()).unwrap();
    answer.await.unwrap().unwrap();
    result
}

async fn step(key: &str) -> Downstream {
    handle(layer(), key, |idempotency| async move { idempotency.downstream("charge") }).await
}

/// A step whose lease is lost, because the time that it may take is over.
async fn lost_step() -> Downstream {
    let lease = Duration::from_millis(100);
    let brief = layer().timing(Timing::default().lease(lease).max_execution(lease)).unwrap();
    handle(brief, "k", |idempotency| async move {
        idempotency.lost().await;
        idempotency.downstream("charge")
    })
    .await
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
    fields.iter().map(field).fold(HeaderMap::new(), |mut headers, (name, value): (http::HeaderName, HeaderValue)| {
        headers.append(name, value);
        headers
    })
}

#[tokio::test]
async fn the_fields_are_the_derived_key_and_the_fence_with_its_owner() {
    let (step, lease, derived) = handle(layer(), "k", |idempotency| async move {
        (idempotency.downstream("charge"), idempotency.lease(), idempotency.downstream_key("charge"))
    })
    .await;
    let mut headers = HeaderMap::new();
    step.apply(&mut headers).unwrap();
    assert_eq!(headers.len(), 2);
    assert_eq!(headers[IDEMPOTENCY_KEY], format!("\"{derived}\""));
    assert!(headers[IDEMPOTENCY_KEY].is_sensitive());
    assert_eq!(FenceHeader::parse(&headers), Ok(Some(FenceHeader::new(lease.fence, lease.owner))));
    assert_eq!(step.key(), derived);
}

#[tokio::test]
async fn each_attempt_of_a_key_sends_the_same_key_under_a_fence_of_its_own() {
    // Each has a store of its own, so that both run; the secret is one.
    let (first, second, other) = (step("k").await, step("k").await, step("other").await);
    assert_eq!(first.key(), second.key());
    assert_ne!(first.fence().owner(), second.fence().owner());
    assert_ne!(first.key(), other.key());
}

#[tokio::test]
async fn debug_hides_the_key() {
    let step = step("k").await;
    assert!(!format!("{step:?}").contains(step.key()), "{step:?}");
}

#[tokio::test]
async fn fields_that_say_the_same_are_left_and_others_are_refused() {
    let step = step("k").await;
    let mut applied = headers(&[("idempotency-key", step.key())]);
    step.apply(&mut applied).unwrap();
    assert_eq!(applied[IDEMPOTENCY_KEY], step.key(), "the bare form is the same key");
    let once = applied.clone();
    step.apply(&mut applied).unwrap();
    assert_eq!(applied, once, "applied twice is applied once");

    let other_fence = FenceHeader::new(Fence::new(7), Owner::new([1; 16])).to_string();
    let conflicts = [
        (headers(&[("idempotency-key", "the-clients-own")]), IDEMPOTENCY_KEY),
        (headers(&[("idempotency-key", step.key()), ("idempotency-key", step.key())]), IDEMPOTENCY_KEY),
        (headers(&[("idempotency-key", "not, a key")]), IDEMPOTENCY_KEY),
        (headers(&[("idempotency-fence", &other_fence)]), IDEMPOTENCY_FENCE),
        (headers(&[("idempotency-fence", "17")]), IDEMPOTENCY_FENCE),
    ];
    for (before, name) in conflicts {
        let mut after = before.clone();
        assert_eq!(step.apply(&mut after), Err(DownstreamError::Conflict(name)));
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn a_lost_lease_applies_nothing() {
    let step = lost_step().await;
    let mut headers = HeaderMap::new();
    assert!(step.is_lost());
    assert_eq!(step.apply(&mut headers), Err(DownstreamError::LeaseLost(LeaseLost)));
    assert!(headers.is_empty());
}

/// A client that keeps what it was to send.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<HeaderMap>>>);

impl Sent {
    async fn send(&self, request: Request<()>) -> Result<Response<()>, BoxError> {
        let sent = self.clone();
        let client = service_fn(move |request: Request<()>| {
            sent.0.lock().unwrap().push(request.headers().clone());
            async { Ok::<_, BoxError>(Response::new(())) }
        });
        DownstreamLayer::new().layer(client).oneshot(request).await
    }
}

#[tokio::test]
async fn the_layer_sends_both_fields_where_a_request_carries_a_step() {
    let (step, sent) = (step("k").await, Sent::default());
    let mut request = Request::new(());
    request.extensions_mut().insert(step.clone());
    sent.send(request).await.unwrap();
    sent.send(Request::new(())).await.unwrap();
    let mut expected = HeaderMap::new();
    step.apply(&mut expected).unwrap();
    assert_eq!(*sent.0.lock().unwrap(), [expected, HeaderMap::new()]);
}

#[tokio::test]
async fn the_layer_sends_nothing_under_a_lost_lease_or_another_key() {
    let sent = Sent::default();
    let mut request = Request::new(());
    request.extensions_mut().insert(lost_step().await);
    let refused = sent.send(request).await.unwrap_err();
    assert_eq!(refused.downcast_ref(), Some(&DownstreamError::LeaseLost(LeaseLost)));

    let mut request = Request::new(());
    *request.headers_mut() = headers(&[("idempotency-key", "the-clients-own")]);
    request.extensions_mut().insert(step("k").await);
    let refused = sent.send(request).await.unwrap_err();
    assert_eq!(refused.downcast_ref(), Some(&DownstreamError::Conflict(IDEMPOTENCY_KEY)));
    assert!(sent.0.lock().unwrap().is_empty());
}

#[cfg(feature = "reqwest")]
mod by_reqwest {
    use axum::Router;
    use axum::extract::State;
    use axum::routing::post;
    use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error};
    use tokio::net::TcpListener;
    use tower_idempotency::client::reqwest::{DownstreamMiddleware, RetryMiddleware};
    use tower_idempotency::client::{CallError, Outcome, Reason};

    use super::*;

    async fn server() -> (String, Sent) {
        let sent = Sent::default();
        let keep = |State(sent): State<Sent>, headers: HeaderMap| async move { sent.0.lock().unwrap().push(headers) };
        let router = Router::new().route("/", post(keep)).with_state(sent.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, sent)
    }

    fn client() -> ClientWithMiddleware {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        ClientBuilder::new(client).with(DownstreamMiddleware::new()).build()
    }

    #[tokio::test]
    async fn the_middleware_sends_both_fields_where_a_request_carries_a_step() {
        let ((url, sent), step) = (server().await, step("k").await);
        client().post(&url).with_extension(step.clone()).send().await.unwrap().error_for_status().unwrap();
        client().post(&url).send().await.unwrap().error_for_status().unwrap();
        let sent = sent.0.lock().unwrap().clone();
        assert_eq!(sent[0][IDEMPOTENCY_KEY], format!("\"{}\"", step.key()));
        assert_eq!(FenceHeader::parse(&sent[0]), Ok(Some(step.fence())));
        assert!(!sent[1].contains_key(IDEMPOTENCY_KEY) && !sent[1].contains_key(IDEMPOTENCY_FENCE));
    }

    #[tokio::test]
    async fn the_middleware_sends_nothing_under_a_lost_lease() {
        let ((url, sent), step) = (server().await, lost_step().await);
        let Err(Error::Middleware(refused)) = client().post(&url).with_extension(step).send().await else {
            panic!("sent under a lost lease")
        };
        assert_eq!(refused.downcast_ref(), Some(&DownstreamError::LeaseLost(LeaseLost)));
        assert!(sent.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn retries_send_the_steps_key_and_end_with_its_lease() {
        let retrying = || {
            let client = ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap());
            client.with(RetryMiddleware::new()).with(DownstreamMiddleware::new()).build()
        };
        let ((url, sent), step, lost) = (server().await, step("k").await, lost_step().await);
        retrying().post(&url).with_extension(step.clone()).send().await.unwrap().error_for_status().unwrap();
        assert_eq!(sent.0.lock().unwrap()[0][IDEMPOTENCY_KEY], format!("\"{}\"", step.key()));

        let refused = retrying().post(&url).with_extension(lost).send().await.unwrap_err();
        let Error::Middleware(refused) = refused else { panic!("{refused:?}") };
        let Ok(CallError::GaveUp(gave_up)) = refused.downcast() else { panic!("another error") };
        assert_eq!((gave_up.reason(), gave_up.outcome(), gave_up.tries()), (Reason::Refused, Outcome::NotSent, 1));
        assert_eq!(sent.0.lock().unwrap().len(), 1);
    }
}
