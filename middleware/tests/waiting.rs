//! Duplicates that wait for the answer of a running request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use common::{Answer, Entries, counted, post, post_body, read, secret, send};
use http::{Request, Response, StatusCode};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, Transition};
use tower_idempotency::store::{Deadline, Key, ManualClock, MemoryStore, Scanned, StoreError, StoreTime, Transact};
use tower_idempotency::{IdempotencyLayer, OnAbandoned, RecordedAnswer, RequestBody, Resolution, Scope, Wait};

const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than the default lease.
const LAPSE: Duration = Duration::from_secs(31);

/// How a store behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Well,
    Down,
    Unreadable,
}

/// A memory store that counts what it is asked and can be made to fail.
#[derive(Clone)]
struct Watched {
    inner: MemoryStore,
    asked: Arc<AtomicUsize>,
    mood: Arc<std::sync::Mutex<Mood>>,
}

impl Watched {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

impl Transact for Watched {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => self.inner.transact(key, deadline, transition).await,
            Mood::Down => Err(StoreError::not_applied("watched", "down")),
            Mood::Unreadable => Err(StoreError::corrupt("watched", "of a later version")),
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

/// How a handler ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Answer,
    Release,
    Panic,
}

/// A store with a clock that the test moves, and handlers that end as they are told.
struct Setup {
    clock: Arc<ManualClock>,
    store: Watched,
    entries: Entries,
    ends: Arc<Semaphore>,
    end: Arc<Mutex<End>>,
}

type Server = IdempotencyLayer<Watched>;

fn setup() -> Setup {
    let clock = Arc::new(ManualClock::new());
    let inner = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
    let store = Watched { inner, asked: Arc::default(), mood: Arc::new(std::sync::Mutex::new(Mood::Well)) };
    let (entries, ends) = (Entries::default(), Arc::new(Semaphore::new(0)));
    Setup { clock, store, entries, ends, end: Arc::new(Mutex::new(End::Answer)) }
}

impl Setup {
    /// A server whose duplicates do not wait.
    fn impatient(&self) -> Server {
        IdempotencyLayer::new(self.store.clone(), Scope::shared(), secret())
    }

    fn server(&self) -> Server {
        self.impatient().wait(Wait::new(Duration::from_secs(10)).unwrap())
    }

    /// Sends a request to a handler that ends when it gets a permit. It goes by a task of its own.
    fn send(&self, server: &Server, request: Request<Body>) -> JoinHandle<Answer> {
        let (server, entries) = (server.clone(), self.entries.clone());
        let (ends, end) = (Arc::clone(&self.ends), Arc::clone(&self.end));
        let service = service_fn(move |_: Request<RequestBody<Body>>| {
            let (run, ends, end) = (entries.enter(), Arc::clone(&ends), Arc::clone(&end));
            async move {
                ends.acquire().await.unwrap().forget();
                let response = Response::builder();
                Ok::<_, Infallible>(match *end.lock().await {
                    End::Answer => response.status(201).body(Body::from(format!("run {run}"))).unwrap(),
                    End::Release => response.status(429).body(Body::empty()).unwrap(),
                    End::Panic => panic!("a handler that was asked to panic"),
                })
            }
        });
        tokio::spawn(async move { read(server.layer(service).oneshot(request).await.unwrap()).await })
    }

    /// One that runs.
    async fn run(&self, server: &Server) -> JoinHandle<Answer> {
        let run = self.send(server, post("k"));
        let before = self.entries.count();
        until(|| self.entries.count() > before).await;
        run
    }

    /// Several that wait for it.
    async fn wait(&self, server: &Server, waiters: usize) -> JoinSet<Answer> {
        let before = self.store.asked();
        let mut waiting = JoinSet::new();
        for _ in 0..waiters {
            let waiter = self.send(server, post("k"));
            waiting.spawn(async move { waiter.await.unwrap() });
        }
        until(|| self.store.asked() >= before + waiters).await;
        // Their claims are answered; by now they sit down.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        waiting
    }

    /// One more handler may end.
    fn end(&self) {
        self.ends.add_permits(1);
    }
}

/// Lets the others run until it has happened. Time stands still meanwhile.
async fn until(mut happened: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if happened() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never happens");
}

fn assert_rejected(answer: &Answer, status: u16, problem: &str) {
    assert_eq!((answer.status.as_u16(), answer.problem()), (status, problem.to_owned()));
}

fn assert_replay(answer: &Answer, body: &str) {
    assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, true), "{answer:?}");
    assert_eq!(answer.body, body);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_the_same_process_is_answered_at_once_and_for_one_look() {
    let setup = setup();
    let server = setup.server();
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 100).await;
    let (asked, begun) = (setup.store.asked(), tokio::time::Instant::now());
    setup.end();
    assert_eq!(first.await.unwrap().body, "run 1");
    while let Some(answer) = waiting.join_next().await {
        assert_replay(&answer.unwrap(), "run 1");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody had to look at the clock");
    assert_eq!(setup.store.asked() - asked, 2, "a completion and one look for a hundred");
    assert_eq!(setup.entries.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_who_wait_cost_one_look_at_a_time_and_one_at_the_end() {
    const WAITERS: usize = 10_000;
    let setup = setup();
    let (here, elsewhere) = (setup.server(), setup.server());
    let first = setup.run(&here).await;
    let mut near = setup.wait(&here, WAITERS).await;
    let mut far = setup.wait(&elsewhere, WAITERS).await;
    let asked = setup.store.asked();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let looks = setup.store.asked() - asked;
    assert!((10..=40).contains(&looks), "{looks} looks of two processes in five seconds");

    let (asked, ended) = (setup.store.asked(), tokio::time::Instant::now());
    setup.end();
    assert_eq!(first.await.unwrap().body, "run 1");
    while let Some(answer) = near.join_next().await {
        assert_replay(&answer.unwrap(), "run 1");
    }
    // Time goes on only where all others wait for it: none of them did.
    assert_eq!(ended.elapsed(), Duration::ZERO, "no timer fired between the completion and the last answer");
    assert_eq!(setup.store.asked() - asked, 2, "a completion, and one look for all who wait in this process");
    while let Some(answer) = far.join_next().await {
        assert_replay(&answer.unwrap(), "run 1");
    }
    assert!(ended.elapsed() <= Duration::from_secs(1), "a look later");
    assert_eq!(setup.store.asked() - asked, 3, "and one look for all who wait in the other");
    assert_eq!(setup.entries.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_shared_is_not_copied() {
    let setup = setup();
    let server = setup.server();
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 2).await;
    setup.end();
    first.await.unwrap();
    let bodies = [waiting.join_next().await.unwrap().unwrap().body, waiting.join_next().await.unwrap().unwrap().body];
    assert_eq!(bodies[0].as_ptr(), bodies[1].as_ptr());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_process_looks_now_and_then_once_for_all() {
    let setup = setup();
    let (server, other) = (setup.server(), setup.server());
    let first = setup.run(&other).await;
    let mut waiting = setup.wait(&server, 100).await;
    let asked = setup.store.asked();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let looks = setup.store.asked() - asked;
    assert!((5..=20).contains(&looks), "{looks} looks in five seconds");
    setup.end();
    assert_eq!(first.await.unwrap().body, "run 1");
    while let Some(answer) = waiting.join_next().await {
        assert_replay(&answer.unwrap(), "run 1");
    }
    assert_eq!(setup.entries.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_the_first_is_still_in_flight() {
    let setup = setup();
    let server = setup.server();
    let first = setup.run(&server).await;
    let begun = tokio::time::Instant::now();
    let answer = tokio::time::timeout(PATIENCE, setup.send(&server, post("k"))).await;
    let answer = answer.expect("it has an end").unwrap();
    assert_rejected(&answer, 409, "in-flight");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    setup.end();
    assert_eq!(first.await.unwrap().body, "run 1");
}

#[tokio::test(start_paused = true)]
async fn waiting_is_off_unless_it_is_turned_on() {
    let setup = setup();
    let server = setup.impatient();
    let _first = setup.run(&server).await;
    let begun = tokio::time::Instant::now();
    assert_rejected(&setup.send(&server, post("k")).await.unwrap(), 409, "in-flight");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn another_request_with_the_key_does_not_wait() {
    let setup = setup();
    let server = setup.server();
    let _first = setup.run(&server).await;
    let begun = tokio::time::Instant::now();
    assert_rejected(&setup.send(&server, post_body("k", "other")).await.unwrap(), 422, "key-reused");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_more_than_may_wait_is_refused_at_once() {
    let setup = setup();
    let server = setup.impatient().wait(Wait::default().waiters(3).unwrap());
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 3).await;
    let begun = tokio::time::Instant::now();
    assert_rejected(&setup.send(&server, post("k")).await.unwrap(), 409, "in-flight");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    setup.end();
    first.await.unwrap();
    while let Some(answer) = waiting.join_next().await {
        assert_replay(&answer.unwrap(), "run 1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_gives_its_place_back_and_the_last_one_leaves_nothing_behind() {
    let setup = setup();
    let server = setup.impatient().wait(Wait::default().waiters(2).unwrap());
    let first = setup.run(&setup.impatient()).await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for _ in 0..3 {
        let (waiting, asked) =
            ([post("k"), post("k")].map(|request| setup.send(&server, request)), setup.store.asked());
        until(|| setup.store.asked() == asked + 2).await;
        assert_rejected(&setup.send(&server, post("k")).await.unwrap(), 409, "in-flight");
        assert!(alive() > before + 2, "each has a client, a task and, together, somebody who looks");
        for client in waiting {
            client.abort();
            let _ = client.await;
        }
        until(|| alive() == before).await;
    }
    setup.end();
    assert_eq!(first.await.unwrap().body, "run 1");
}

#[tokio::test(start_paused = true)]
async fn when_the_owner_panics_all_who_wait_learn_it_at_once_and_none_runs() {
    let setup = setup();
    let server = setup.server();
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 50).await;
    let begun = tokio::time::Instant::now();
    *setup.end.lock().await = End::Panic;
    setup.end();
    assert_rejected(&first.await.unwrap(), 500, "handler-panicked");
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_rejected(&answer, 409, "indeterminate");
        assert!(!answer.headers.contains_key("retry-after"));
    }
    assert_eq!((setup.entries.count(), begun.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn when_the_lease_of_another_process_lapses_all_who_wait_learn_it_and_none_runs() {
    let setup = setup();
    let (server, other) = (setup.server(), setup.server());
    let _first = setup.run(&other).await;
    let mut waiting = setup.wait(&server, 50).await;
    let begun = tokio::time::Instant::now();
    setup.clock.advance(LAPSE);
    while let Some(answer) = waiting.join_next().await {
        assert_rejected(&answer.unwrap(), 409, "indeterminate");
    }
    assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(setup.entries.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_key_becomes_free_one_runs_and_the_others_wait_on() {
    let setup = setup();
    let server = setup.server();
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 20).await;
    *setup.end.lock().await = End::Release;
    setup.end();
    assert_eq!(first.await.unwrap().status, StatusCode::TOO_MANY_REQUESTS);
    until(|| setup.entries.count() == 2).await;
    *setup.end.lock().await = End::Answer;
    setup.end();
    let mut replays = 0;
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"run 2"[..]));
        replays += usize::from(answer.is_replay());
    }
    assert_eq!((replays, setup.entries.count()), (19, 2));
}

#[tokio::test(start_paused = true)]
async fn with_reexecution_one_takes_over_and_the_others_get_its_answer() {
    let setup = setup();
    let server = setup.server().on_abandoned(OnAbandoned::reexecute(2).unwrap());
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 20).await;
    *setup.end.lock().await = End::Panic;
    setup.end();
    assert_rejected(&first.await.unwrap(), 500, "handler-panicked");
    until(|| setup.entries.count() == 2).await;
    *setup.end.lock().await = End::Answer;
    setup.end();
    let mut replays = 0;
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"run 2"[..]));
        replays += usize::from(answer.is_replay());
    }
    assert_eq!((replays, setup.entries.count()), (19, 2));
}

/// A resolver that counts, takes a while, and answers.
fn resolving(resolution: Resolution) -> (Entries, OnAbandoned) {
    let asked = Entries::default();
    let count = asked.clone();
    let policy = OnAbandoned::resolve(move |_| {
        count.enter();
        let resolution = resolution.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            resolution
        }
    });
    (asked, policy)
}

#[tokio::test(start_paused = true)]
async fn with_a_resolver_one_asks_and_all_get_what_it_found() {
    let setup = setup();
    let headers = http::HeaderMap::new();
    let found = RecordedAnswer { status: StatusCode::CREATED, headers, body: "found".into(), trailers: None };
    let (asked, policy) = resolving(Resolution::Completed(found));
    let server = setup.server().on_abandoned(policy);
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 20).await;
    *setup.end.lock().await = End::Panic;
    setup.end();
    first.await.unwrap();
    while let Some(answer) = waiting.join_next().await {
        assert_replay(&answer.unwrap(), "found");
    }
    assert_eq!((asked.count(), setup.entries.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn with_a_resolver_that_does_not_know_all_are_told_when_to_ask_again() {
    let setup = setup();
    let (asked, policy) = resolving(Resolution::Unknown { retry_after: Duration::from_secs(7) });
    let server = setup.server().on_abandoned(policy);
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 20).await;
    *setup.end.lock().await = End::Panic;
    setup.end();
    first.await.unwrap();
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_rejected(&answer, 409, "indeterminate");
        assert_eq!(answer.headers["retry-after"], "7");
    }
    assert_eq!((asked.count(), setup.entries.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn with_a_resolver_that_says_it_did_not_run_one_runs() {
    let setup = setup();
    let (asked, policy) = resolving(Resolution::NotExecuted);
    let server = setup.server().on_abandoned(policy);
    let first = setup.run(&server).await;
    let mut waiting = setup.wait(&server, 20).await;
    *setup.end.lock().await = End::Panic;
    setup.end();
    first.await.unwrap();
    until(|| asked.count() == 1).await;
    *setup.end.lock().await = End::Answer;
    setup.end();
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"run 2"[..]));
    }
    assert_eq!((asked.count(), setup.entries.count()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_off_who_waits() {
    let setup = setup();
    let (server, other) = (setup.server(), setup.server());
    let first = setup.run(&other).await;
    let mut waiting = setup.wait(&server, 20).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(server.drain(PATIENCE).await.abandoned, 0);
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_rejected(&answer, 503, "shutting-down");
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits for those who wait");
    setup.end();
    first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_who_waits_waits_on() {
    let setup = setup();
    let (server, other) = (setup.server(), setup.server());
    let first = setup.run(&other).await;
    let mut waiting = setup.wait(&server, 2).await;
    setup.store.set(Mood::Down);
    tokio::time::sleep(Duration::from_secs(5)).await;
    setup.store.set(Mood::Well);
    setup.end();
    first.await.unwrap();
    while let Some(answer) = waiting.join_next().await {
        assert_replay(&answer.unwrap(), "run 1");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_store_stays_down_the_first_counts_as_in_flight() {
    let setup = setup();
    let (server, other) = (setup.server(), setup.server());
    let _first = setup.run(&other).await;
    let mut waiting = setup.wait(&server, 2).await;
    setup.store.set(Mood::Down);
    while let Some(answer) = waiting.join_next().await {
        assert_rejected(&answer.unwrap(), 409, "in-flight");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_reported() {
    let setup = setup();
    let (server, other) = (setup.server(), setup.server());
    let _first = setup.run(&other).await;
    let mut waiting = setup.wait(&server, 2).await;
    setup.store.set(Mood::Unreadable);
    while let Some(answer) = waiting.join_next().await {
        assert_rejected(&answer.unwrap(), 503, "record-corrupt");
    }
    assert_eq!(setup.entries.count(), 1);
}

/// A counted handler that nobody holds, for what is sent after the waiting.
#[tokio::test(start_paused = true)]
async fn who_comes_after_the_answer_does_not_wait() {
    let setup = setup();
    let server = setup.server();
    let first = setup.run(&server).await;
    setup.end();
    first.await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_replay(&send(&server, &setup.entries, counted, post("k")).await, "run 1");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// Two servers, of which the first was overtaken and comes to its end before the second.
#[tokio::test(start_paused = true)]
async fn the_client_of_an_overtaken_attempt_waits_for_the_winner() {
    let setup = setup();
    let reexecuting = || setup.server().on_abandoned(OnAbandoned::reexecute(2).unwrap());
    let overtaken = setup.run(&reexecuting()).await;
    setup.clock.advance(LAPSE);
    let winner = setup.run(&reexecuting()).await;
    // The first who waits is the first who ends.
    setup.end();
    until(|| setup.ends.available_permits() == 0).await;
    setup.end();
    assert_eq!(winner.await.unwrap().body, "run 2");
    assert_replay(&overtaken.await.unwrap(), "run 2");
}
