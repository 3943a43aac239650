//! A resolver finds out what became of an abandoned key, and the layer acts on its word.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post as on_post;
use bytes::Bytes;
use common::{Answer, Entries, counted, post, post_body, read, secret, send};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt};
use tower_idempotency::store::{ManualClock, MemoryStore, Reason};
use tower_idempotency::{
    Abandoned, Idempotency, IdempotencyLayer, OnAbandoned, RecordedAnswer, RequestBody, Resolution, Scope,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than the default lease.
const LAPSE: Duration = Duration::from_secs(31);

/// A store with a clock that the test moves, and servers on it.
struct Setup {
    clock: Arc<ManualClock>,
    store: MemoryStore,
    entries: Entries,
}

fn setup() -> Setup {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
    Setup { clock, store, entries: Entries::default() }
}

impl Setup {
    fn refusing(&self) -> IdempotencyLayer<MemoryStore> {
        IdempotencyLayer::new(self.store.clone(), Scope::shared(), secret())
    }

    fn resolving<F>(&self, resolver: impl Fn(Abandoned) -> F + Send + Sync + 'static) -> IdempotencyLayer<MemoryStore>
    where
        F: Future<Output = Resolution> + Send + 'static,
    {
        self.refusing().on_abandoned(OnAbandoned::resolve(resolver))
    }

    /// A key whose handler has panicked.
    async fn abandon(&self, key: &str) {
        let died = send(&self.refusing(), &Entries::default(), dies, post(key)).await;
        assert_eq!(died.problem(), "handler-panicked");
    }

    async fn send(&self, layer: &IdempotencyLayer<MemoryStore>, key: &str) -> Answer {
        send(layer, &self.entries, counted, post(key)).await
    }
}

fn dies(_: usize, _: Request<RequestBody<Body>>) -> Response<Body> {
    panic!("a handler that was asked to panic");
}

fn give_up() -> String {
    panic!("a handler that was asked to panic");
}

fn found(body: &'static str) -> RecordedAnswer {
    RecordedAnswer { status: StatusCode::CREATED, headers: HeaderMap::new(), body: body.into(), trailers: None }
}

fn unknown_for(retry_after: Duration) -> Resolution {
    Resolution::Unknown { retry_after }
}

#[track_caller]
fn assert_unresolved(answer: &Answer, retry_after: &str) {
    assert_eq!((answer.status.as_u16(), answer.problem()), (409, "indeterminate".to_owned()));
    assert_eq!(answer.headers["retry-after"], retry_after);
}

/// Counts how often it was asked, and answers what it was given.
fn saying(resolution: Resolution) -> (Entries, impl Fn(Abandoned) -> std::future::Ready<Resolution> + Send + Sync) {
    let asked = Entries::default();
    let count = asked.clone();
    (asked, move |_| {
        count.enter();
        std::future::ready(resolution.clone())
    })
}

#[tokio::test]
async fn what_was_executed_is_recorded_and_replayed() {
    let setup = setup();
    setup.abandon("k").await;
    let (asked, resolver) = saying(Resolution::Completed(found("found")));
    let layer = setup.resolving(resolver);
    for _ in 0..2 {
        let answer = setup.send(&layer, "k").await;
        assert_eq!((answer.status, &answer.body[..], answer.is_replay()), (StatusCode::CREATED, &b"found"[..], true));
    }
    assert_eq!(setup.send(&setup.refusing(), "k").await.body, "found", "other servers have it too");
    assert_eq!((asked.count(), setup.entries.count()), (1, 0));
}

#[tokio::test]
async fn of_a_found_answer_as_much_is_kept_as_of_a_handlers() {
    let setup = setup();
    setup.abandon("k").await;
    setup.abandon("large").await;
    let layer = setup.resolving(|abandoned| async move {
        let mut answer = found("too long");
        answer.headers.insert(header::SET_COOKIE, HeaderValue::from_static("session=secret"));
        answer.headers.insert(header::LOCATION, HeaderValue::from_static("/charges/1"));
        if abandoned.key().as_str() == "k" {
            answer.body = Bytes::from_static(b"short");
        }
        Resolution::Completed(answer)
    });
    let layer = layer.max_recorded_answer(5).unwrap();
    let kept = setup.send(&layer, "k").await;
    assert_eq!((kept.headers["location"].to_str().unwrap(), kept.headers.get("set-cookie")), ("/charges/1", None));
    let tombstone = setup.send(&layer, "large").await;
    assert_eq!((tombstone.problem(), setup.entries.count()), ("not-replayable".to_owned(), 0));
}

#[tokio::test]
async fn what_was_not_executed_runs_at_once() {
    let setup = setup();
    setup.abandon("k").await;
    let (asked, resolver) = saying(Resolution::NotExecuted);
    let layer = setup.resolving(resolver);
    let ran = setup.send(&layer, "k").await;
    assert_eq!((&ran.body[..], ran.is_replay()), (&b"run 1"[..], false));
    assert!(setup.send(&layer, "k").await.is_replay());
    assert_eq!(asked.count(), 1);
}

#[tokio::test]
async fn while_nobody_knows_the_client_may_ask_again_and_so_does_the_layer() {
    let setup = setup();
    setup.abandon("k").await;
    let (asked, resolver) = saying(unknown_for(Duration::from_millis(4_001)));
    let layer = setup.resolving(resolver);
    assert_unresolved(&setup.send(&layer, "k").await, "5");
    assert_unresolved(&setup.send(&layer, "k").await, "5");
    assert_eq!((asked.count(), setup.entries.count()), (2, 0));
    let (_, at_once) = saying(unknown_for(Duration::ZERO));
    assert_unresolved(&setup.send(&setup.resolving(at_once), "k").await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_or_panics_knows_nothing() {
    let setup = setup();
    setup.abandon("k").await;
    let hangs = setup.resolving(|_| std::future::pending());
    assert_unresolved(&setup.send(&hangs, "k").await, "2");
    let panics = setup.resolving(|_| async { panic!("a resolver that was asked to panic") });
    assert_unresolved(&setup.send(&panics, "k").await, "2");
    let panics_at_once = setup.resolving(|_| -> std::future::Ready<Resolution> { panic!("the same, sooner") });
    assert_unresolved(&setup.send(&panics_at_once, "k").await, "2");
    let begun = tokio::time::Instant::now();
    let short = OnAbandoned::resolve_within(Duration::from_secs(3), |_| std::future::pending()).unwrap();
    assert_unresolved(&setup.send(&setup.refusing().on_abandoned(short), "k").await, "2");
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(setup.entries.count(), 0);
}

#[tokio::test]
async fn a_resolver_sees_the_request_the_attempt_and_the_derived_key() {
    let setup = setup();
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let layer = setup.resolving(move |abandoned| {
        keep.lock().unwrap().replace(abandoned);
        std::future::ready(unknown_for(PATIENCE))
    });
    let sent = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&sent);
    let handler = move |idempotency: Idempotency| async move {
        tell.lock().unwrap().replace((idempotency.downstream_key("charge"), idempotency.fence()));
        idempotency.save_checkpoint("reserved").await.unwrap();
        give_up()
    };
    let app: Router = Router::new().nest("/v1", Router::new().route("/pay", on_post(handler).route_layer(layer)));
    let request = || {
        let request = Request::put("/v1/pay?x=1").method("POST").header("idempotency-key", "\"k\"");
        request.header("x-merchant", "acme").extension(7_u8).body(Body::from("{\"amount\":1}")).unwrap()
    };
    app.clone().oneshot(request()).await.unwrap();
    setup.clock.advance(Duration::from_secs(5));
    assert_unresolved(&read(app.oneshot(request()).await.unwrap()).await, "30");

    let (downstream_key, fence) = sent.lock().unwrap().take().unwrap();
    let abandoned = seen.lock().unwrap().take().unwrap();
    assert_eq!((abandoned.key().as_str(), abandoned.downstream_key("charge")), ("k", downstream_key));
    assert_eq!((abandoned.method().as_str(), abandoned.uri().path()), ("POST", "/pay"));
    assert_eq!(abandoned.original_uri(), "/v1/pay?x=1");
    assert_eq!(abandoned.headers()["x-merchant"], "acme");
    assert_eq!(abandoned.extensions().get(), Some(&7_u8));
    assert_eq!(abandoned.body(), "{\"amount\":1}");
    assert_eq!((abandoned.fence(), abandoned.attempts(), abandoned.reason()), (fence, 1, Some(Reason::Panic)));
    assert_eq!(abandoned.quiet_for(), Duration::from_secs(5));
    assert_eq!(abandoned.checkpoint(), Some(&Bytes::from_static(b"reserved")));
    let shown = format!("{abandoned:?}");
    assert!(!shown.contains("amount") && !shown.contains("acme"), "{shown}");
}

#[tokio::test]
async fn a_lapsed_lease_has_no_reason_and_counts_from_its_last_renewal() {
    let setup = setup();
    let hung = tokio::spawn({
        let (layer, entries) = (setup.refusing(), setup.entries.clone());
        let service = tower::service_fn(move |_: Request<RequestBody<Body>>| {
            entries.enter();
            std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
        });
        async move { layer.layer(service).oneshot(post("k")).await.map(|_| ()) }
    });
    while setup.entries.count() == 0 {
        tokio::task::yield_now().await;
    }
    let (seen, keep) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(())));
    let noted = Arc::clone(&seen);
    let layer = setup.resolving(move |abandoned| {
        let _one = keep.lock().unwrap();
        noted.lock().unwrap().replace((abandoned.reason(), abandoned.quiet_for()));
        std::future::ready(unknown_for(PATIENCE))
    });
    assert_eq!(setup.send(&layer, "k").await.problem(), "in-flight");
    assert_eq!(*seen.lock().unwrap(), None, "a lease that holds is not asked about");
    setup.clock.advance(LAPSE);
    assert_unresolved(&setup.send(&layer, "k").await, "30");
    assert_eq!(*seen.lock().unwrap(), Some((None, LAPSE)));
    hung.abort();
}

#[tokio::test]
async fn another_request_with_the_key_is_not_asked_about() {
    let setup = setup();
    setup.abandon("k").await;
    let (asked, resolver) = saying(Resolution::NotExecuted);
    let other = send(&setup.resolving(resolver), &setup.entries, counted, post_body("k", "other")).await;
    assert_eq!((other.problem(), asked.count(), setup.entries.count()), ("key-reused".to_owned(), 0, 0));
}

/// A resolver that waits for a permit, and tells that it was asked.
fn held(resolution: Resolution) -> (Arc<Semaphore>, Entries, impl Fn(Abandoned) -> Held + Send + Sync) {
    let (permits, asked) = (Arc::new(Semaphore::new(0)), Entries::default());
    let (permit, count) = (Arc::clone(&permits), asked.clone());
    let resolver = move |_| {
        count.enter();
        let (permit, resolution) = (Arc::clone(&permit), resolution.clone());
        Box::pin(async move {
            drop(permit.acquire().await);
            resolution
        }) as Held
    };
    (permits, asked, resolver)
}

type Held = std::pin::Pin<Box<dyn Future<Output = Resolution> + Send>>;

async fn until_asked(asked: &Entries) {
    while asked.count() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_request_asks_at_a_time_and_others_may_come_again() {
    let setup = setup();
    setup.abandon("k").await;
    setup.abandon("other").await;
    let (permits, asked, resolver) = held(Resolution::Completed(found("found")));
    let layer = setup.resolving(resolver);
    let asks = tokio::spawn({
        let (layer, entries) = (layer.clone(), setup.entries.clone());
        async move { send(&layer, &entries, counted, post("k")).await }
    });
    until_asked(&asked).await;
    for _ in 0..3 {
        assert_unresolved(&setup.send(&layer, "k").await, "2");
    }
    assert_eq!(asked.count(), 1);
    permits.add_permits(2);
    assert_eq!(asks.await.unwrap().body, "found");
    assert_eq!(setup.send(&layer, "k").await.body, "found");
    assert_eq!(setup.send(&layer, "other").await.body, "found", "the right to ask was given back");
}

#[tokio::test]
async fn a_client_that_leaves_stops_nothing_and_a_shutdown_waits() {
    let setup = setup();
    setup.abandon("k").await;
    let (permits, asked, resolver) = held(Resolution::Completed(found("found")));
    let layer = setup.resolving(resolver);
    let asks = tokio::spawn({
        let (layer, entries) = (layer.clone(), setup.entries.clone());
        async move { send(&layer, &entries, counted, post("k")).await }
    });
    until_asked(&asked).await;
    asks.abort();
    let drain = layer.drain(PATIENCE);
    tokio::pin!(drain);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut drain).await.is_err(), "it did not wait");
    permits.add_permits(1);
    assert_eq!(drain.await.abandoned, 0);
    assert_eq!(setup.send(&setup.refusing(), "k").await.body, "found");
}

#[tokio::test]
async fn a_shutdown_gives_back_what_was_found_not_to_have_run() {
    let setup = setup();
    setup.abandon("k").await;
    let (permits, asked, resolver) = held(Resolution::NotExecuted);
    let layer = setup.resolving(resolver);
    let asks = tokio::spawn({
        let (layer, entries) = (layer.clone(), setup.entries.clone());
        async move { send(&layer, &entries, counted, post("k")).await }
    });
    until_asked(&asked).await;
    let draining = tokio::spawn({
        let layer = layer.clone();
        async move { layer.drain(PATIENCE).await }
    });
    while setup.send(&layer, "another").await.status != StatusCode::SERVICE_UNAVAILABLE {
        tokio::task::yield_now().await;
    }
    let before = setup.entries.count();
    permits.add_permits(1);
    assert_eq!(asks.await.unwrap().problem(), "shutting-down");
    assert_eq!(draining.await.unwrap().abandoned, 0);
    assert_eq!(setup.entries.count(), before);
    let next = setup.send(&setup.refusing(), "k").await;
    assert_eq!((next.status, next.is_replay()), (StatusCode::CREATED, false), "the key is free");
}

#[tokio::test]
async fn a_word_that_comes_too_late_changes_nothing() {
    let setup = setup();
    setup.abandon("k").await;
    let (store, other, entries) = (setup.store.clone(), setup.refusing(), setup.entries.clone());
    // While one server asks, somebody frees the key and another server runs it.
    let layer = setup.resolving(move |abandoned| {
        let (store, other, entries) = (store.clone(), other.clone(), entries.clone());
        async move {
            free(&store, &abandoned).await;
            assert_eq!(send(&other, &entries, counted, post("k")).await.body, "run 1");
            Resolution::NotExecuted
        }
    });
    let answer = setup.send(&layer, "k").await;
    assert_eq!((&answer.body[..], answer.is_replay(), setup.entries.count()), (&b"run 1"[..], true, 1));
}

/// An operator says that it was not executed.
async fn free(store: &MemoryStore, abandoned: &Abandoned) {
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
    let freeing = layer.on_abandoned(OnAbandoned::resolve(|_| async { Resolution::NotExecuted }));
    let busy = |_, _: Request<RequestBody<Body>>| Response::builder().status(429).body(Body::empty()).unwrap();
    let key = abandoned.key().as_str().to_owned();
    let freed = Box::pin(async move { send(&freeing, &Entries::default(), busy, post(&key)).await });
    assert_eq!(freed.await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_key_that_is_abandoned_anew_each_time_is_not_asked_about_for_ever() {
    let setup = setup();
    setup.abandon("k").await;
    let (store, other, asked) = (setup.store.clone(), setup.refusing(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let layer = setup.resolving(move |abandoned| {
        let (store, other) = (store.clone(), other.clone());
        let asked = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if asked > 10 {
                return unknown_for(PATIENCE);
            }
            free(&store, &abandoned).await;
            let died = Box::pin(async move { send(&other, &Entries::default(), dies, post("k")).await });
            assert_eq!(died.await.problem(), "handler-panicked");
            Resolution::NotExecuted
        }
    });
    assert_unresolved(&setup.send(&layer, "k").await, "2");
    assert_eq!((asked.load(Ordering::SeqCst), setup.entries.count()), (3, 0));
}
