//! The future of a request is dropped after each of its polls, on the paths that end in no plain recorded answer: nobody
//! can tell, no store, a store that goes away before the record, an answer that releases the key, and one that is not kept.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::future_not_send, reason = "polled by hand in one thread")]

mod common;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use common::{post_body, read, secret};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::yield_now;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, Transition};
use tower_idempotency::store::{
    Deadline, Fence, Key, ManualClock, MemoryStore, Query, Scanned, Standing, Store, StoreError, StoreTime, Transact,
};
use tower_idempotency::{
    Idempotency, IdempotencyLayer, OnAbandoned, OnDisconnect, OnUnavailable, Recording, RequestBody, Resolution,
    ResponseBody, Scope,
};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Path {
    /// An earlier attempt was abandoned, and a resolver cannot tell.
    Unresolved,
    /// No store answers, and the route runs all the same.
    FailOpen,
    /// The store goes away while the handler runs.
    DownAtComplete,
    /// The handler says that it did nothing.
    Released,
    /// The answer is a stream.
    Tombstone,
}

const PATHS: [Path; 5] = [Path::Unresolved, Path::FailOpen, Path::DownAtComplete, Path::Released, Path::Tombstone];

/// A memory store whose every verb takes several polls, before and after it is carried out, and that can be down.
#[derive(Clone)]
struct Slow {
    inner: MemoryStore,
    down: Arc<AtomicBool>,
}

async fn several_polls() {
    for _ in 0..3 {
        yield_now().await;
    }
}

impl Transact for Slow {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        several_polls().await;
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::not_applied("slow", "refused by a test"));
        }
        let reply = self.inner.transact(key, deadline, transition).await;
        several_polls().await;
        reply
    }

    async fn scan(&self, after: Option<Key>, limit: NonZeroUsize, by: Deadline) -> Result<Vec<Scanned>, StoreError> {
        self.inner.scan(after, limit, by).await
    }

    fn now(&self) -> StoreTime {
        Transact::now(&self.inner)
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        Transact::ping(&self.inner, deadline).await
    }
}

/// One key's world. The handler's entries are counted per fence; without a lease there is none.
#[derive(Clone)]
struct World {
    path: Path,
    store: Slow,
    entries: Arc<Mutex<HashMap<Option<Fence>, usize>>>,
}

fn in_pieces() -> Body {
    let frames = futures_util::stream::unfold(0_u8, |part| async move {
        yield_now().await;
        (part < 2).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from("x"))), part + 1))
    });
    Body::new(StreamBody::new(frames))
}

impl World {
    fn new(path: Path) -> Self {
        let inner = MemoryStore::new().with_clock(Arc::new(ManualClock::new()));
        Self { path, store: Slow { inner, down: Arc::default() }, entries: Arc::default() }
    }

    fn server(&self) -> IdempotencyLayer<Slow> {
        let server = IdempotencyLayer::new(self.store.clone(), Scope::shared(), secret());
        match self.path {
            Path::FailOpen => server.on_unavailable(OnUnavailable::FailOpen),
            Path::Unresolved => server.on_abandoned(OnAbandoned::resolve(|_| async {
                several_polls().await;
                Resolution::Unknown { retry_after: Duration::from_secs(1) }
            })),
            _ => server,
        }
    }

    /// Brings the key to where the path begins.
    async fn prepare(&self) {
        if self.path == Path::Unresolved {
            let dies = service_fn(|_: Request<RequestBody<Body>>| async { died() });
            let answer = self.server().layer(dies).oneshot(post_body("k", in_pieces())).await.unwrap();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        self.store.down.store(self.path == Path::FailOpen, Ordering::SeqCst);
    }

    async fn send(&self, server: &IdempotencyLayer<Slow>, fails: bool) -> Response<ResponseBody<Body>> {
        let world = self.clone();
        let service = service_fn(move |request: Request<RequestBody<Body>>| {
            let fence = request.extensions().get::<Idempotency>().map(Idempotency::fence);
            *world.entries.lock().unwrap().entry(fence).or_default() += 1;
            let world = world.clone();
            async move {
                several_polls().await;
                let goes_away = fails && world.path == Path::DownAtComplete;
                world.store.down.fetch_or(goes_away, Ordering::SeqCst);
                Ok::<_, Infallible>(world.answer())
            }
        });
        server.layer(service).oneshot(post_body("k", in_pieces())).await.unwrap()
    }

    fn answer(&self) -> Response<Body> {
        let answer = Response::builder().status(StatusCode::CREATED);
        match self.path {
            Path::Released => answer.extension(Recording::NotExecuted),
            Path::Tombstone => answer.header("content-type", "text/event-stream"),
            _ => answer,
        }
        .body(in_pieces())
        .unwrap()
    }

    fn runs(&self) -> usize {
        self.entries.lock().unwrap().values().sum()
    }

    async fn standings(&self) -> Vec<Standing> {
        let page = self.store.inner.list(&Query::default(), Deadline::after(PATIENCE)).await.unwrap();
        page.entries.iter().map(|listed| listed.standing).collect()
    }

    /// What must be true however far the dropped request came.
    async fn judge(&self, server: &IdempotencyLayer<Slow>, on_disconnect: OnDisconnect, at: &str) {
        assert_eq!(server.drain(PATIENCE).await.abandoned, 0, "something hangs: {at}");
        let (ran, standings) = (self.runs(), self.standings().await);
        assert!(!standings.contains(&Standing::InFlight), "a lease is lost: {at}");
        let retry = read(self.send(&self.server(), false).await).await;
        let entries = self.entries.lock().unwrap().clone();
        assert!(entries.values().all(|times| *times == 1), "a lease ran twice: {at}: {entries:?}");
        let told = if retry.status == StatusCode::CONFLICT { retry.problem() } else { retry.status.to_string() };
        let cancelled = on_disconnect == OnDisconnect::Cancel && told == "indeterminate";
        let (expected, runs) = match self.path {
            Path::Unresolved => ("indeterminate", 0),
            _ if cancelled => ("indeterminate", 1),
            Path::Tombstone if ran == 1 => ("not-replayable", 1),
            Path::FailOpen | Path::Released => ("201 Created", ran + 1),
            _ => ("201 Created", 1),
        };
        assert_eq!((told.as_str(), self.runs()), (expected, runs), "{at}");
    }
}

fn died() -> Result<Response<Body>, Infallible> {
    panic!("a handler that was asked to panic");
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Lets everything run until no task is left but those that were there.
async fn rest(before: usize, at: &str) {
    for _ in 0..100_000 {
        if alive() == before {
            return;
        }
        yield_now().await;
    }
    panic!("a task is leaked: {at}");
}

/// Polls the request and drops it, if it is not answered first. Of a stream, the rest is dropped after its first frame.
async fn drop_after(polls: usize, world: &World, server: &IdempotencyLayer<Slow>) -> bool {
    let mut answer = pin!(world.send(server, true));
    for _ in 0..polls {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            if world.path == Path::Tombstone {
                assert!(answer.into_body().frame().await.is_some());
            }
            return true;
        }
        yield_now().await;
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_client_may_leave_at_any_poll_where_no_plain_answer_is_recorded() {
    let before = alive();
    for (path, on_disconnect) in
        PATHS.into_iter().flat_map(|path| [OnDisconnect::Finish, OnDisconnect::Cancel].map(|on| (path, on)))
    {
        for polls in 0.. {
            let at = format!("{path:?} with {on_disconnect:?} after {polls} polls");
            assert!(polls < 1_000, "never answered: {at}");
            let world = World::new(path);
            world.prepare().await;
            let server = world.server().on_disconnect(on_disconnect);
            let answered = drop_after(polls, &world, &server).await;
            // A request without a store must have been decided on before there is one again.
            if path == Path::FailOpen {
                rest(before, &at).await;
            }
            world.store.down.store(false, Ordering::SeqCst);
            if path == Path::DownAtComplete {
                heal(&world, before).await;
            }
            world.judge(&server, on_disconnect, &at).await;
            rest(before, &at).await;
            if answered {
                assert!(polls > 5, "it was to be dropped in the middle: {at}");
                break;
            }
        }
    }
}

/// Keeps the store up until everything has ended, whenever the handler takes it down.
async fn heal(world: &World, before: usize) {
    while alive() > before {
        world.store.down.store(false, Ordering::SeqCst);
        yield_now().await;
        tokio::time::advance(Duration::from_millis(50)).await;
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A runtime that ends leaves a key that had begun in flight or settled; released only where its handler said so.
#[test]
fn a_runtime_may_end_at_any_step_where_no_plain_answer_is_recorded() {
    for path in PATHS {
        // How many steps an answer takes is drawn at random: the pauses between two tries at a store that is down are.
        for steps in 0.. {
            assert!(steps < 1_000, "{path:?} is never answered");
            let (world, living, dying) = (World::new(path), runtime(), runtime());
            living.block_on(world.prepare());
            let answered = dying.block_on(async {
                let sent = world.clone();
                let client = tokio::spawn(async move { read(sent.send(&sent.server(), true).await).await });
                for _ in 0..steps {
                    yield_now().await;
                    tokio::time::advance(Duration::from_millis(50)).await;
                }
                client.is_finished()
            });
            drop(dying);
            let standings = living.block_on(world.standings());
            let allowed = match (path, &standings[..]) {
                (Path::Unresolved, [Standing::Indeterminate])
                | (Path::FailOpen, [])
                | (Path::DownAtComplete | Path::Released | Path::Tombstone, [Standing::InFlight]) => true,
                (Path::Tombstone, [Standing::Completed]) | (Path::Released, [Standing::Released]) => world.runs() == 1,
                (_, []) => world.runs() == 0,
                _ => false,
            };
            assert!(allowed, "{path:?} after {steps} steps: {standings:?}");
            if answered {
                assert!(steps > 5, "the runtime was to end in the middle: {path:?}");
                break;
            }
        }
    }
}
