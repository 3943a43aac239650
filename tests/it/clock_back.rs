//! A store's own clock that goes back, as after a fail-over to a server that is behind.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use idempotency_store::{BoxStore, Clock, Deadline, EmbeddedStore, MemoryStore, Store, StoreTime};
use idempotency_tests::{App, Backend, on_store};
use reqwest::StatusCode;
use tempfile::TempDir;

on_store!(
    memory,
    super::Memory,
    s59_fences_grow_for_a_process_that_saw_greater_ones,
    s59_a_handler_that_runs_while_the_clock_goes_back_is_recorded
);
on_store!(
    embedded,
    super::Embedded,
    s59_fences_grow_for_a_process_that_saw_greater_ones,
    s59_a_handler_that_runs_while_the_clock_goes_back_is_recorded
);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A fail-over takes its time, so that a clock an hour behind is less than that behind what was seen before.
const ALMOST_AN_HOUR: Duration = Duration::from_secs(60 * 60 - 1);

const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that can be set back, which no clock of a store may ever do by itself.
#[derive(Debug)]
struct Stepped(Mutex<StoreTime>);

impl Stepped {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(StoreTime::from_micros(1_780_000_000_000_000))))
    }

    fn back(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = StoreTime::from_micros(now.as_micros() - u64::try_from(by.as_micros()).unwrap());
    }
}

impl Clock for Stepped {
    fn now(&self) -> StoreTime {
        *self.0.lock().unwrap()
    }
}

/// A store on such a clock.
trait SetBack: Backend {
    fn clock(&self) -> &Stepped;
}

#[derive(Debug)]
struct Memory {
    store: MemoryStore,
    clock: Arc<Stepped>,
}

impl Backend for Memory {
    async fn open() -> Self {
        let clock = Stepped::new();
        Self { store: MemoryStore::new().with_clock(Arc::<Stepped>::clone(&clock)), clock }
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.store.clone())
    }

    async fn advance(&self, by: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.after(by);
    }

    fn served(&self) -> String {
        "memory".to_owned()
    }
}

impl SetBack for Memory {
    fn clock(&self) -> &Stepped {
        &self.clock
    }
}

#[derive(Debug)]
struct Embedded {
    store: EmbeddedStore,
    clock: Arc<Stepped>,
    directory: TempDir,
}

impl Backend for Embedded {
    async fn open() -> Self {
        let (clock, directory) = (Stepped::new(), TempDir::new().unwrap());
        let path = directory.path().join("keys.redb");
        let store = EmbeddedStore::open_with_clock(path, Arc::<Stepped>::clone(&clock)).await.unwrap();
        Self { store, clock, directory }
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.store.clone())
    }

    async fn advance(&self, by: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.after(by);
    }

    fn served(&self) -> String {
        format!("embedded:{}", self.directory.path().join("served.redb").display())
    }
}

impl SetBack for Embedded {
    fn clock(&self) -> &Stepped {
        &self.clock
    }
}

async fn s59_fences_grow_for_a_process_that_saw_greater_ones(backend: impl SetBack) {
    let app = App::start(&backend).await;
    app.send("/busy", "released").await;
    assert_eq!(app.send("/charge", "forgotten").await.status, StatusCode::CREATED);
    backend.advance(RETENTION).await;
    // Expired, and swept on the way of the next ones or of a look at the whole store, so that nothing but the process remembers it.
    backend.store().ping(Deadline::after(Duration::from_secs(5))).await.unwrap();
    app.send("/busy", "released").await;
    assert_eq!(app.send("/charge", "last").await.status, StatusCode::CREATED);

    backend.clock().back(ALMOST_AN_HOUR);
    for key in ["released", "forgotten", "fresh"] {
        let answer = app.send("/charge", key).await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, false), "{key}");
        app.send("/charge", key).await.expect_replay_of(&answer, &[]);
    }
    let fences = app.fences();
    assert_eq!(fences.len(), 7);
    assert!(fences.is_sorted_by(|earlier, later| earlier < later), "{fences:?}");

    // A server that saw none of them cannot know; per key, where fences are compared, its own are greater all the same.
    let other = App::on(&backend).beside(&app).start().await;
    app.send("/busy", "shared").await;
    other.send("/busy", "shared").await;
    assert!(other.fences()[0] > app.fences()[7], "{} after {}", other.fences()[0], app.fences()[7]);
}

async fn s59_a_handler_that_runs_while_the_clock_goes_back_is_recorded(backend: impl SetBack) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    backend.clock().back(HOUR);
    app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

/// Over a restart nobody remembers but the file.
#[tokio::test]
async fn s59_a_process_that_restarts_with_its_clock_behind_goes_on_from_the_files_time() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keys.redb");
    let ahead = StoreTime::default().after(std::time::UNIX_EPOCH.elapsed().unwrap()).after(HOUR);
    let before = Arc::new(Stepped(Mutex::new(ahead)));
    let mut backend = Embedded {
        store: EmbeddedStore::open_with_clock(&path, Arc::<Stepped>::clone(&before)).await.unwrap(),
        clock: before,
        directory,
    };
    let app = App::start(&backend).await;
    app.send("/busy", "released").await;
    let done = app.send("/charge", "done").await;
    backend.store.close().await;

    // Its clock is the wall clock now, an hour behind what the file has seen.
    backend.store = EmbeddedStore::open(&path).await.unwrap();
    let restarted = App::on(&backend).beside(&app).start().await;
    restarted.send("/charge", "done").await.expect_replay_of(&done, &[]);
    for key in ["released", "fresh"] {
        assert_eq!(restarted.send("/charge", key).await.status, StatusCode::CREATED);
    }
    let last = *app.fences().last().unwrap();
    assert!(restarted.fences().iter().all(|fence| *fence > last), "{:?} after {last}", restarted.fences());
    backend.store.close().await;
}
