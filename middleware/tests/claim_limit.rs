//! The limit on new keys of one scope: what costs a token, what does not, and who is refused. In paused time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use common::{Answer, Entries, counted, post, post_body, read, secret, send};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::StreamBody;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, Transition};
use tower_idempotency::store::{Deadline, Key, ManualClock, MemoryStore, Scanned, StoreError, StoreTime, Transact};
use tower_idempotency::{
    ClaimLimit, ConfigError, IdempotencyLayer, OnAbandoned, OnUnavailable, RejectionKind, RequestBody, Scope, Wait,
};

const SECOND: Duration = Duration::from_secs(1);

/// Counts what it is asked, and may be down.
#[derive(Clone, Debug)]
struct Watched {
    inner: MemoryStore,
    asked: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
}

impl Watched {
    fn new() -> Self {
        Self { inner: MemoryStore::new(), asked: Arc::default(), answers: Arc::new(Semaphore::new(1)) }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn goes_down(&self) {
        self.answers.forget_permits(1);
    }
}

impl Transact for Watched {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.answers.available_permits() == 0 {
            return Err(StoreError::not_applied("watched", "down"));
        }
        self.inner.transact(key, deadline, transition).await
    }

    async fn scan(
        &self,
        after: Option<Key>,
        limit: NonZeroUsize,
        deadline: Deadline,
    ) -> Result<Vec<Scanned>, StoreError> {
        self.inner.scan(after, limit, deadline).await
    }

    fn now(&self) -> StoreTime {
        Transact::now(&self.inner)
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        Transact::ping(&self.inner, deadline).await
    }
}

type Limited = IdempotencyLayer<Watched>;

/// One new key in ten seconds, and so many at once.
fn limited(store: &Watched, burst: u32) -> Limited {
    let limit = ClaimLimit::every(10 * SECOND, burst).unwrap();
    IdempotencyLayer::new(store.clone(), Scope::shared(), secret()).limit_claims(limit)
}

async fn status(layer: &Limited, request: Request<Body>) -> u16 {
    send(layer, &Entries::default(), counted, request).await.status.as_u16()
}

fn assert_refused(answer: &Answer, retry_after: &str) {
    assert_eq!((answer.status, answer.problem()), (StatusCode::TOO_MANY_REQUESTS, "too-many-claims".into()));
    assert_eq!(answer.headers["retry-after"], retry_after);
    assert_eq!(answer.rejection.as_ref().unwrap().kind(), RejectionKind::TooManyClaims);
}

#[tokio::test(start_paused = true)]
async fn a_scope_without_a_token_is_refused_before_the_store_and_before_its_body() {
    let (store, entries) = (Watched::new(), Entries::default());
    let layer = limited(&store, 2);
    for key in ["a", "b"] {
        assert_eq!(send(&layer, &entries, counted, post(key)).await.status, StatusCode::CREATED);
    }
    let asked = store.asked();
    let unread = Body::new(StreamBody::new(futures_util::stream::pending::<Result<_, Infallible>>()));
    let refused = send(&layer, &entries, counted, post_body("c", unread));
    let refused = timeout(60 * SECOND, refused).await.expect("an answer that does not wait for the body");
    assert_refused(&refused, "10");
    assert_eq!((store.asked(), entries.count(), layer.counts().limited), (asked, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_comes_back_with_time_and_the_bucket_says_when() {
    let layer = limited(&Watched::new(), 1);
    assert_eq!(status(&layer, post("a")).await, 201);
    advance(Duration::from_millis(7_001)).await;
    assert_refused(&send(&layer, &Entries::default(), counted, post("b")).await, "3");
    advance(3 * SECOND).await;
    assert_eq!(status(&layer, post("b")).await, 201, "the same key, later");
    assert_eq!(status(&layer, post("c")).await, 429);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_new_key_costs_nothing() {
    let layer = limited(&Watched::new(), 2);
    assert_eq!(status(&layer, post("a")).await, 201);
    for _ in 0..10 {
        assert_eq!(status(&layer, post("a")).await, 201, "a replay");
        assert_eq!(status(&layer, post_body("a", "other")).await, 422, "another request under the key");
        assert_eq!(status(&layer, post("")).await, 400, "no key");
    }
    assert_eq!((status(&layer, post("b")).await, status(&layer, post("c")).await), (201, 429));
    assert_eq!(status(&layer, post("a")).await, 429, "whether a key is new is not known without the store");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_given_back_has_cost_its_token() {
    let layer = limited(&Watched::new(), 1);
    let released = |_, _: Request<RequestBody<Body>>| Response::builder().status(429).body(Body::empty()).unwrap();
    let answer = send(&layer, &Entries::default(), released, post("a")).await;
    assert!((answer.status, answer.rejection.is_none()) == (StatusCode::TOO_MANY_REQUESTS, true));
    assert_refused(&send(&layer, &Entries::default(), counted, post("a")).await, "10");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_costs_nothing() {
    for on_unavailable in [OnUnavailable::Refuse, OnUnavailable::FailOpen] {
        let store = Watched::new();
        let layer = limited(&store, 1).on_unavailable(on_unavailable);
        store.goes_down();
        let expected = if on_unavailable == OnUnavailable::Refuse { 503 } else { 201 };
        for _ in 0..3 {
            assert_eq!(status(&layer, post("a")).await, expected);
        }
        store.answers.add_permits(1);
        assert_eq!((status(&layer, post("a")).await, status(&layer, post("b")).await), (201, 429));
        store.goes_down();
        assert_eq!(status(&layer, post("c")).await, 429, "also where it fails open");
    }
}

/// Sends a request whose handler ends when it gets a permit.
fn held(layer: &Limited, ends: &Arc<Semaphore>, key: &str) -> JoinHandle<Answer> {
    let (layer, ends, request) = (layer.clone(), Arc::clone(ends), post(key));
    let service = service_fn(move |_: Request<RequestBody<Body>>| {
        let ends = Arc::clone(&ends);
        async move {
            ends.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(Response::new(Body::from("held")))
        }
    });
    tokio::spawn(async move { read(layer.layer(service).oneshot(request).await.unwrap()).await })
}

#[tokio::test(start_paused = true)]
async fn who_waits_or_is_told_to_come_back_holds_no_token() {
    let (store, ends) = (Watched::new(), Arc::new(Semaphore::new(0)));
    let impatient = limited(&store, 3);
    let layer = impatient.clone().wait(Wait::default());
    let running = held(&layer, &ends, "a");
    sleep(Duration::from_millis(1)).await;
    for _ in 0..5 {
        assert_eq!(status(&impatient, post("a")).await, 409);
    }
    let waiting: Vec<_> = (0..5).map(|_| held(&layer, &ends, "a")).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((status(&layer, post("b")).await, status(&layer, post("c")).await), (201, 201));
    ends.add_permits(1);
    for answer in waiting {
        assert!(answer.await.unwrap().is_replay());
    }
    assert_eq!(running.await.unwrap().body, "held");
    assert_eq!(status(&layer, post("d")).await, 429);
}

#[tokio::test(start_paused = true)]
async fn a_take_over_is_no_new_key() {
    let clock = Arc::new(ManualClock::new());
    let store = Watched { inner: MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock)), ..Watched::new() };
    let layer = limited(&store, 2).on_abandoned(OnAbandoned::reexecute(5).unwrap());
    let failing = service_fn(|_: Request<RequestBody<Body>>| async { Err::<Response<Body>, _>("no answer") });
    let answer = layer.clone().layer(failing).oneshot(post("a")).await;
    assert_eq!(answer.err(), Some("no answer"));
    assert_eq!(status(&layer, post("a")).await, 201, "taken over");
    assert_eq!((status(&layer, post("b")).await, status(&layer, post("c")).await), (201, 429));
}

#[tokio::test(start_paused = true)]
async fn every_scope_has_its_own_bucket_and_clones_share_them() {
    let caller = HeaderName::from_static("x-caller");
    let limit = ClaimLimit::every(10 * SECOND, 1).unwrap();
    let layer = IdempotencyLayer::new(Watched::new(), Scope::header(caller.clone()), secret());
    let layer = layer.limit_claims(limit.clone());
    let by = |name: &'static str, key: &str| {
        let mut request = post(key);
        request.headers_mut().insert(&caller, name.parse().unwrap());
        request
    };
    assert_eq!(status(&layer, by("a", "1")).await, 201);
    assert_eq!(status(&layer.clone().required(), by("a", "2")).await, 429);
    assert_eq!(status(&layer, by("b", "2")).await, 201);
    assert_eq!(status(&layer, post("3")).await, 401, "nobody has no bucket");
    assert_eq!(limit.tracked_scopes(), 2);
    advance(10 * SECOND).await;
    assert_eq!(limit.tracked_scopes(), 0, "a full bucket is forgotten");
    assert_eq!(status(&layer, by("a", "2")).await, 201);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_there_is_none() {
    let store = Watched::new();
    let layer = IdempotencyLayer::new(store, Scope::shared(), secret());
    for key in 0..1000 {
        assert_eq!(status(&layer, post(&key.to_string())).await, 201);
    }
    assert_eq!(layer.counts().limited, 0);
}

/// A client that leaves while its body is on the way has asked for nothing.
#[tokio::test(start_paused = true)]
async fn who_leaves_before_the_claim_costs_nothing() {
    let (store, entries) = (Watched::new(), Entries::default());
    let layer = limited(&store, 1);
    for _ in 0..3 {
        let endless = Body::new(StreamBody::new(futures_util::stream::pending::<Result<_, Infallible>>()));
        let sent = send(&layer, &entries, counted, post_body("a", endless));
        assert!(timeout(Duration::from_millis(1), sent).await.is_err());
    }
    assert_eq!((status(&layer, post("a")).await, store.asked() > 0), (201, true));
}

#[test]
fn a_limit_that_makes_no_sense_is_refused_with_the_reason() {
    let reason = |limit: Result<ClaimLimit, ConfigError>| limit.unwrap_err().to_string();
    for absurd in [ClaimLimit::per_second(0, 1), ClaimLimit::per_second(1_000_001, 1)] {
        assert!(reason(absurd).contains("up to 1,000,000 keys per second"));
    }
    for absurd in [Duration::ZERO, Duration::from_secs(3601), Duration::MAX] {
        assert!(reason(ClaimLimit::every(absurd, 1)).contains("leave the limit off"));
    }
    for absurd in [0, 1_000_001] {
        assert!(reason(ClaimLimit::per_second(1, absurd)).contains("1 to 1,000,000"));
    }
    assert!(ClaimLimit::per_second(1_000_000, 1_000_000).is_ok());
    assert!(ClaimLimit::every(Duration::from_secs(3600), 1).is_ok());
}
