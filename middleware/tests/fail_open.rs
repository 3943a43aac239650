//! A store that cannot be asked, and routes that run all the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::body::Body;
use common::{Answer, Entries, counted, post, read, secret, send};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, Transition};
use tower_idempotency::store::{Deadline, Key, ManualClock, MemoryStore, Scanned, StoreError, StoreTime, Transact};
use tower_idempotency::{
    Idempotency, IdempotencyLayer, OnDisconnect, OnUnavailable, RequestBody, RouteSettings, Scope, Timing,
};

type Handled = Request<RequestBody<Body>>;

/// How the store is.
#[derive(Clone, Copy)]
enum Mode {
    Up,
    /// Refuses everything.
    Down,
    /// Does what it is asked, and its replies are lost.
    Mute,
    /// Cannot read its records.
    Corrupt,
    /// Refuses everything, once it is told to.
    Slow,
}

#[derive(Clone)]
struct Store {
    inner: MemoryStore,
    mode: Arc<AtomicU8>,
    asked: Arc<Semaphore>,
    told: Arc<Semaphore>,
}

impl Store {
    fn is(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }
}

impl Transact for Store {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        match self.mode.load(Ordering::SeqCst) {
            mode if mode == Mode::Down as u8 => Err(StoreError::not_applied("test", "down")),
            mode if mode == Mode::Corrupt as u8 => Err(StoreError::corrupt("test", "garbage")),
            mode if mode == Mode::Slow as u8 => {
                self.asked.add_permits(1);
                drop(self.told.acquire().await);
                Err(StoreError::not_applied("test", "down"))
            }
            mode if mode == Mode::Mute as u8 => {
                self.inner.transact(key, deadline, transition).await?;
                Err(StoreError::unknown("test", "the reply was lost"))
            }
            _ => self.inner.transact(key, deadline, transition).await,
        }
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

struct Setup {
    layer: IdempotencyLayer<Store>,
    store: Store,
    clock: Arc<ManualClock>,
    entries: Entries,
}

fn setup(on_unavailable: OnUnavailable) -> Setup {
    let clock = Arc::new(ManualClock::new());
    let inner = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
    let closed = || Arc::new(Semaphore::new(0));
    let store = Store { inner, mode: Arc::default(), asked: closed(), told: closed() };
    let timing = Timing::default().claim_budget(Duration::from_millis(50));
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret()).timing(timing).unwrap();
    // Refusing is the default, and nobody says so.
    let layer = match on_unavailable {
        OnUnavailable::FailOpen => layer.on_unavailable(on_unavailable),
        _ => layer,
    };
    Setup { layer, store, clock, entries: Entries::default() }
}

impl Setup {
    async fn send(&self, key: &str) -> Answer {
        send(&self.layer, &self.entries, counted, post(key)).await
    }
}

fn status(answer: &Answer) -> Option<&str> {
    answer.headers.get("idempotency-status").map(|status| status.to_str().unwrap())
}

#[tokio::test]
async fn by_default_nothing_runs_without_a_store() {
    let setup = setup(OnUnavailable::default());
    for down in [Mode::Down, Mode::Mute] {
        setup.store.is(down);
        assert_eq!(setup.send("k").await.problem(), "store-unavailable");
    }
    assert_eq!((setup.entries.count(), setup.layer.counts().unprotected), (0, 0));
}

#[tokio::test]
async fn a_route_that_fails_open_runs_marked_and_counted() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Down);
    for run in 1..=2 {
        let answer = setup.send("k").await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, format!("run {run}").as_bytes()));
        assert_eq!((status(&answer), answer.is_replay()), (Some("unprotected"), false));
        assert_eq!(setup.layer.clone().required().counts().unprotected, run);
    }
    setup.store.is(Mode::Up);
    let answer = setup.send("k").await;
    assert_eq!((status(&answer), &answer.body[..]), (None, &b"run 3"[..]), "nothing was recorded");
    assert!(setup.send("k").await.is_replay());
}

#[tokio::test]
async fn one_route_may_fail_open_alone() {
    let setup = setup(OnUnavailable::Refuse);
    setup.store.is(Mode::Down);
    let mut request = post("k");
    request.extensions_mut().insert(RouteSettings::new().on_unavailable(OnUnavailable::FailOpen));
    assert_eq!(status(&send(&setup.layer, &setup.entries, counted, request).await), Some("unprotected"));
    assert_eq!(setup.send("k").await.problem(), "store-unavailable");
}

#[tokio::test]
async fn an_unprotected_handler_gets_no_attempt() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Down);
    let handler = |_, request: Handled| {
        let attempt = request.extensions().get::<Idempotency>();
        Response::new(Body::from(attempt.is_none().to_string()))
    };
    assert_eq!(send(&setup.layer, &setup.entries, handler, post("k")).await.body, "true");
}

#[tokio::test]
async fn a_claim_that_may_have_landed_is_not_given_back_when_its_handler_runs() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Mute);
    assert_eq!(status(&setup.send("k").await), Some("unprotected"));
    setup.store.is(Mode::Up);
    // Ends only when nothing is under way in the background.
    let other = setup.layer.clone();
    assert_eq!(setup.send("k").await.problem(), "in-flight");
    setup.clock.advance(Duration::from_secs(30));
    assert_eq!(setup.send("k").await.problem(), "indeterminate");
    assert_eq!(other.drain(Duration::from_secs(30)).await.abandoned, 0);
    let after = IdempotencyLayer::new(setup.store.clone(), Scope::shared(), secret());
    assert_eq!(send(&after, &setup.entries, counted, post("k")).await.problem(), "indeterminate");
    assert_eq!(setup.entries.count(), 1);
}

#[tokio::test]
async fn nothing_runs_unprotected_for_a_client_that_left_and_wanted_it_cancelled() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Slow);
    let (layer, entries) = (setup.layer.clone().on_disconnect(OnDisconnect::Cancel), setup.entries.clone());
    let client = tokio::spawn(async move { send(&layer, &entries, counted, post("k")).await });
    drop(setup.store.asked.acquire().await);
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    setup.store.told.add_permits(1);
    assert_eq!(setup.layer.drain(Duration::from_secs(30)).await.abandoned, 0);
    assert_eq!((setup.entries.count(), setup.layer.counts().unprotected), (0, 0));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_never_failed_open() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Corrupt);
    assert_eq!(setup.send("k").await.problem(), "record-corrupt");
    assert_eq!((setup.entries.count(), setup.layer.counts().unprotected), (0, 0));
}

#[tokio::test]
async fn a_server_that_shuts_down_refuses_also_where_it_fails_open() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Down);
    setup.layer.drain(Duration::ZERO).await;
    assert_eq!(setup.send("k").await.problem(), "shutting-down");
    assert_eq!(setup.entries.count(), 0);
}

#[tokio::test]
async fn a_drain_waits_for_what_runs_unprotected() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Down);
    let (entered, gate) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (begun, opened) = (Arc::clone(&entered), Arc::clone(&gate));
    let service = service_fn(move |_: Handled| {
        let (begun, opened) = (Arc::clone(&begun), Arc::clone(&opened));
        async move {
            begun.notify_one();
            opened.notified().await;
            Ok::<_, Infallible>(Response::new(Body::from("done")))
        }
    });
    let client = tokio::spawn(setup.layer.layer(service).oneshot(post("k")));
    entered.notified().await;
    let drain = setup.layer.drain(Duration::from_secs(30));
    tokio::pin!(drain);
    assert!(drain.as_mut().now_or_never().is_none());
    gate.notify_one();
    assert_eq!(drain.await.abandoned, 0);
    assert_eq!(read(client.await.unwrap().unwrap()).await.body, "done");
}

#[tokio::test]
async fn failures_and_panics_of_an_unprotected_handler_are_its_clients() {
    let setup = setup(OnUnavailable::FailOpen);
    setup.store.is(Mode::Down);
    let failing = service_fn(|_: Handled| async { Err::<Response<Body>, _>("broken") });
    assert_eq!(setup.layer.layer(failing).oneshot(post("k")).await.err(), Some("broken"));
    let panicking = |_, _: Handled| -> Response<Body> { panic!("asked to") };
    let answer = send(&setup.layer, &setup.entries, panicking, post("k")).await;
    assert_eq!((answer.problem(), status(&answer)), ("handler-panicked".to_owned(), Some("unprotected")));
}

#[tokio::test]
async fn an_answer_that_could_not_be_recorded_is_counted() {
    let setup = setup(OnUnavailable::Refuse);
    let layer = setup.layer.timing(Timing::default().completion_wait(Duration::from_millis(50))).unwrap();
    let store = setup.store.clone();
    let handler = move |entry, request| {
        store.is(Mode::Down);
        counted(entry, request)
    };
    let answer = send(&layer, &setup.entries, handler, post("k")).await;
    assert_eq!((status(&answer), layer.counts().unrecorded), (Some("unrecorded"), 1));
    setup.store.is(Mode::Up);
    layer.drain(Duration::from_secs(30)).await;
    assert_eq!(layer.counts().lost, 0);
}
