//! The future of a request is dropped after each of its polls, on every path that a request can take, over a store whose
//! verbs yield and with a body that comes in pieces. However far it came: no lease is lost, nothing runs without one, no
//! task is left, and a retry gets the answer or runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use common::{Answer, Entries, post_body, read, secret};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, State, Transition};
use tower_idempotency::store::{
    Deadline, Key, MemoryStore, Query, Scanned, Standing, Store, StoreError, StoreTime, Transact,
};
use tower_idempotency::{
    IdempotencyLayer, OnAbandoned, OnDisconnect, RecordedAnswer, RequestBody, Resolution, Scope, Wait,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The ways that a request can go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Path {
    First,
    Replay,
    /// Another server runs the key.
    InFlight,
    /// The same, and the request waits for it.
    Waiting,
    /// An earlier attempt was abandoned, and the policy is to run again.
    Takeover,
    /// The same, and a resolver finds its answer.
    Found,
    /// The same, and a resolver finds that it did not run.
    NotFound,
    /// The store takes the claim, and its reply is lost.
    ReplyLost,
    /// The store refuses claims.
    StoreDown,
}

const PATHS: [Path; 9] = [
    Path::First,
    Path::Replay,
    Path::InFlight,
    Path::Waiting,
    Path::Takeover,
    Path::Found,
    Path::NotFound,
    Path::ReplyLost,
    Path::StoreDown,
];

/// How the next verbs fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    LoseReply,
    Refuse,
}

/// A memory store whose every verb takes several polls, before and after it is carried out.
#[derive(Clone)]
struct Slow {
    inner: MemoryStore,
    grants: Arc<AtomicUsize>,
    fault: Arc<Mutex<Fault>>,
}

async fn several_polls() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

impl Slow {
    fn new() -> Self {
        Self { inner: MemoryStore::new(), grants: Arc::default(), fault: Arc::new(Mutex::new(Fault::None)) }
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// The fault of this verb. A lost reply is lost once.
    fn fault(&self) -> Fault {
        let mut fault = self.fault.lock().unwrap();
        let now = *fault;
        if now == Fault::LoseReply {
            *fault = Fault::None;
        }
        now
    }

    async fn standings(&self) -> Vec<Standing> {
        let page = self.inner.list(&Query::default(), Deadline::after(PATIENCE)).await.unwrap();
        page.entries.iter().map(|listed| listed.standing).collect()
    }
}

impl Transact for Slow {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        several_polls().await;
        let fault = self.fault();
        if fault == Fault::Refuse {
            return Err(StoreError::not_applied("slow", "refused by a test"));
        }
        let grants = Arc::clone(&self.grants);
        let counted = move |current: Option<&Record>, now| {
            let transition = transition(current, now);
            let granted = |record: &Record| {
                let before = current.map(|record| record.fence);
                matches!(record.state, State::InFlight { .. }) && before != Some(record.fence)
            };
            grants.fetch_add(usize::from(transition.write.as_ref().is_some_and(granted)), Ordering::SeqCst);
            transition
        };
        let reply = self.inner.transact(key, deadline, counted).await;
        several_polls().await;
        match fault {
            Fault::LoseReply => Err(StoreError::unknown("slow", "a test lost the reply")),
            _ => reply,
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

type Server = IdempotencyLayer<Slow>;

/// One key's world: a store, and what happened on it.
struct World {
    path: Path,
    store: Slow,
    entries: Entries,
    /// Lets the other server's handler end.
    end: Arc<Semaphore>,
}

/// A request body that needs several polls.
fn in_pieces() -> Body {
    let frames = futures_util::stream::unfold(0_u8, |part| async move {
        tokio::task::yield_now().await;
        (part < 2).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from("x"))), part + 1))
    });
    Body::new(StreamBody::new(frames))
}

/// An answer body that needs several polls.
fn answer_in_pieces(run: usize) -> Body {
    let parts = ["run ".to_owned(), run.to_string()];
    let frames = futures_util::stream::unfold(parts.into_iter(), |mut parts| async move {
        tokio::task::yield_now().await;
        parts.next().map(|part| (Ok::<_, Infallible>(Frame::data(Bytes::from(part))), parts))
    });
    Body::new(StreamBody::new(frames))
}

impl World {
    fn new(path: Path) -> Self {
        Self { path, store: Slow::new(), entries: Entries::default(), end: Arc::new(Semaphore::new(0)) }
    }

    fn plain(&self) -> Server {
        IdempotencyLayer::new(self.store.clone(), Scope::shared(), secret())
    }

    /// A server with the policy of the path.
    fn server(&self) -> Server {
        let server = self.plain().wait(Wait::default());
        match self.path {
            Path::Takeover => server.on_abandoned(OnAbandoned::reexecute(5).unwrap()),
            Path::Found => server.on_abandoned(resolver(&Resolution::Completed(RecordedAnswer {
                status: StatusCode::CREATED,
                headers: HeaderMap::new(),
                body: "run 0".into(),
                trailers: None,
            }))),
            Path::NotFound => server.on_abandoned(resolver(&Resolution::NotExecuted)),
            Path::InFlight => self.plain(),
            _ => server,
        }
    }

    /// Sends the request to a handler that needs several polls.
    async fn send(&self, server: &Server) -> Answer {
        let entries = self.entries.clone();
        let service = service_fn(move |_: Request<RequestBody<Body>>| {
            let run = entries.enter();
            async move {
                several_polls().await;
                Ok::<_, Infallible>(Response::builder().status(201).body(answer_in_pieces(run)).unwrap())
            }
        });
        let response = server.layer(service).oneshot(post_body("k", in_pieces())).await.unwrap();
        read(response).await
    }

    /// Brings the key to where the path begins. Returns a client of another server that runs, if there is one.
    async fn prepare(&self, other: &Server) -> Option<tokio::task::JoinHandle<Answer>> {
        match self.path {
            Path::First => None,
            Path::Replay => {
                self.send(other).await;
                None
            }
            Path::InFlight | Path::Waiting => Some(self.run_elsewhere(other).await),
            Path::Takeover | Path::Found | Path::NotFound => {
                let dies = service_fn(|_: Request<RequestBody<Body>>| async { died() });
                let answer = other.layer(dies).oneshot(post_body("k", in_pieces())).await.unwrap();
                assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
                None
            }
            Path::ReplyLost | Path::StoreDown => {
                let fault = if self.path == Path::ReplyLost { Fault::LoseReply } else { Fault::Refuse };
                self.store.set(fault);
                None
            }
        }
    }

    async fn run_elsewhere(&self, other: &Server) -> tokio::task::JoinHandle<Answer> {
        let (entries, end, other) = (self.entries.clone(), Arc::clone(&self.end), other.clone());
        let held = service_fn(move |_: Request<RequestBody<Body>>| {
            let (run, end) = (entries.enter(), Arc::clone(&end));
            async move {
                end.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::builder().status(201).body(answer_in_pieces(run)).unwrap())
            }
        });
        let client =
            tokio::spawn(
                async move { read(other.layer(held).oneshot(post_body("k", in_pieces())).await.unwrap()).await },
            );
        until(|| self.entries.count() == 1).await;
        client
    }

    /// What must be true however far the dropped request came.
    async fn judge(&self, server: &Server, on_disconnect: OnDisconnect, polls: usize) {
        let at = format!("{:?} with {on_disconnect:?} after {polls} polls", self.path);
        assert_eq!(server.drain(PATIENCE).await.abandoned, 0, "something hangs: {at}");
        let standings = self.store.standings().await;
        assert!(!standings.contains(&Standing::InFlight), "a lease is lost: {at}");
        let ran = self.entries.count();
        assert!(ran <= self.store.grants.load(Ordering::SeqCst), "a handler ran without a lease: {at}");

        let retry = self.send(&self.server()).await;
        let runs = self.entries.count();
        match on_disconnect {
            OnDisconnect::Cancel if retry.status == StatusCode::CONFLICT => {
                assert_eq!((retry.problem(), ran, runs), ("indeterminate".to_owned(), 1, 1), "{at}");
            }
            OnDisconnect::Cancel if matches!(self.path, Path::Takeover | Path::NotFound) => {
                assert_eq!(retry.status, StatusCode::CREATED, "{at}");
                assert!(runs <= 2, "{runs} runs: {at}");
            }
            _ => {
                let expected = usize::from(self.path != Path::Found);
                assert_eq!(
                    (retry.status, &retry.body[..]),
                    (StatusCode::CREATED, format!("run {expected}").as_bytes())
                );
                assert_eq!(runs, expected, "{at}");
            }
        }
    }
}

fn died() -> Result<Response<Body>, Infallible> {
    panic!("a handler that was asked to panic");
}

/// A resolver that needs several polls.
fn resolver(resolution: &Resolution) -> OnAbandoned {
    let resolution = resolution.clone();
    OnAbandoned::resolve(move |_| {
        let resolution = resolution.clone();
        async move {
            several_polls().await;
            resolution
        }
    })
}

/// Lets the others run until it has happened.
async fn until(mut happened: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if happened() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never happens");
}

fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Polls the request `polls` times, lets everything else run in between, and drops it. True if it was answered.
async fn drop_after(polls: usize, world: &World, server: &Server) -> bool {
    let mut answer = pin!(world.send(server));
    for poll in 0..polls {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            let expected = match world.path {
                Path::InFlight => StatusCode::CONFLICT,
                Path::StoreDown => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::CREATED,
            };
            assert_eq!(answer.status, expected, "{:?}", world.path);
            return true;
        }
        tokio::task::yield_now().await;
        // Asking again waits a moment, and so does looking at a key that another server runs.
        tokio::time::advance(Duration::from_millis(5)).await;
        if poll == 40 && world.path == Path::Waiting {
            world.end.add_permits(1);
        }
    }
    false
}

/// Drops the request after each number of polls until it is answered. Returns how many it took.
async fn drop_at_each_poll(path: Path, on_disconnect: OnDisconnect) -> usize {
    let before = alive();
    for polls in 0..1_000 {
        let world = World::new(path);
        let (server, other) = (world.server().on_disconnect(on_disconnect), world.plain());
        let running = world.prepare(&other).await;
        let answered = drop_after(polls, &world, &server).await;
        world.store.set(Fault::None);
        world.end.add_permits(1);
        if let Some(running) = running {
            assert_eq!(running.await.unwrap().body, "run 1");
        }
        world.judge(&server, on_disconnect, polls).await;
        // The task that begins renewals waits a while for the next attempt, but not longer than there is a layer.
        drop(other);
        until(|| alive() == before).await;
        if answered {
            return polls;
        }
    }
    panic!("{path:?} is never answered");
}

#[tokio::test(start_paused = true)]
async fn a_client_may_leave_at_any_poll_of_any_path() {
    for path in PATHS {
        for on_disconnect in [OnDisconnect::Finish, OnDisconnect::Cancel] {
            let polls = drop_at_each_poll(path, on_disconnect).await;
            assert!(polls > 5, "{path:?} was to be dropped in the middle, but took only {polls} polls");
        }
    }
}

/// The task that carries a request out is cancelled by nothing but the end of its runtime. Whatever that leaves, it is
/// nothing that lets the work run again: a handler that had begun has left its key in flight, or its answer.
#[test]
fn a_runtime_may_end_at_any_step_of_any_path() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    for path in PATHS {
        let mut answered = false;
        for steps in 0..1_000 {
            let world = Arc::new(World::new(path));
            let preparing = runtime();
            // What runs elsewhere runs in another runtime, which is not what this test ends.
            let running = preparing.block_on(world.prepare(&world.plain()));
            let before = world.entries.count();
            let dying = runtime();
            answered = dying.block_on(async {
                let (sent, server) = (Arc::clone(&world), world.server());
                let client = tokio::spawn(async move { sent.send(&server).await });
                for _ in 0..steps {
                    tokio::task::yield_now().await;
                    tokio::time::advance(Duration::from_millis(5)).await;
                }
                client.is_finished()
            });
            drop(dying);
            let at = format!("{path:?} after {steps} steps");
            let standings = preparing.block_on(world.store.standings());
            if world.entries.count() > before {
                assert!(matches!(standings[..], [Standing::InFlight | Standing::Completed]), "{at}: {standings:?}");
            } else if matches!(path, Path::First | Path::ReplyLost) {
                assert!(matches!(standings[..], [] | [Standing::InFlight]), "{at}: {standings:?}");
            }
            drop(running);
            if answered || (path == Path::Waiting && steps > 60) {
                answered = true;
                break;
            }
        }
        assert!(answered, "{path:?} is never answered");
    }
}
