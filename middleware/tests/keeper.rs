//! Leases are renewed by whoever is left to do it, and nobody is left over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use common::{post, read, secret};
use http::{Request, Response};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, Transition};
use tower_idempotency::store::{Deadline, Key, MemoryStore, Scanned, StoreError, StoreTime, Transact};
use tower_idempotency::{IdempotencyLayer, RequestBody, Scope, Timing};

const LEASE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(30);

/// A memory store that says how often it was asked about each key.
#[derive(Clone)]
struct Told {
    inner: MemoryStore,
    asked: Arc<watch::Sender<Vec<Key>>>,
}

impl Told {
    /// Waits until a key was asked about so often.
    async fn asked_about(&self, key: Key, times: usize) {
        let mut asked = self.asked.subscribe();
        let often = asked.wait_for(|keys| keys.iter().filter(|asked| **asked == key).count() >= times);
        tokio::time::timeout(PATIENCE, often).await.expect("its lease is renewed").unwrap();
    }
}

impl Transact for Told {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        self.asked.send_modify(|keys| keys.push(key));
        self.inner.transact(key, deadline, transition).await
    }

    async fn scan(&self, after: Option<Key>, limit: NonZeroUsize, until: Deadline) -> Result<Vec<Scanned>, StoreError> {
        self.inner.scan(after, limit, until).await
    }

    fn now(&self) -> StoreTime {
        Transact::now(&self.inner)
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        Transact::ping(&self.inner, deadline).await
    }
}

struct Setup {
    store: Told,
    layer: IdempotencyLayer<Told>,
    ends: Arc<Semaphore>,
}

fn setup() -> Setup {
    let store = Told { inner: MemoryStore::new(), asked: Arc::default() };
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
    let layer = layer.timing(Timing::default().lease(LEASE)).unwrap();
    Setup { store, layer, ends: Arc::new(Semaphore::new(0)) }
}

impl Setup {
    /// Starts a request on a runtime whose handler ends when it gets a permit; waits until its key is claimed.
    async fn start(&self, runtime: &Runtime, key: &'static str) -> (Key, tokio::task::JoinHandle<u16>) {
        let known = self.store.asked.borrow().clone();
        let (ends, layer) = (Arc::clone(&self.ends), self.layer.clone());
        let service = service_fn(move |_: Request<RequestBody<Body>>| {
            let ends = Arc::clone(&ends);
            async move {
                ends.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::builder().status(201).body(Body::from("done")).unwrap())
            }
        });
        let answer = async move { read(layer.layer(service).oneshot(post(key)).await.unwrap()).await.status.as_u16() };
        let answer = runtime.spawn(answer);
        let mut asked = self.store.asked.subscribe();
        let is_new = |asked: &Vec<Key>| asked.iter().find(|key| !known.contains(key)).copied();
        let claimed = tokio::time::timeout(PATIENCE, asked.wait_for(|asked| is_new(asked).is_some())).await;
        let key = is_new(&claimed.expect("it is claimed").unwrap()).unwrap();
        (key, answer)
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[tokio::test]
async fn a_runtime_that_goes_down_takes_no_renewals_of_others_with_it() {
    let setup = setup();
    let (first, second) = (runtime(), runtime());
    let (_, lost) = setup.start(&first, "first").await;
    let (key, answer) = setup.start(&second, "second").await;
    first.shutdown_background();
    assert!(lost.await.is_err());
    setup.store.asked_about(key, 4).await;
    setup.ends.add_permits(1);
    assert_eq!(answer.await.unwrap(), 201);
    second.shutdown_background();
}

/// A server may have one runtime per core, and each may stand still while a handler blocks it.
#[test]
fn a_runtime_that_stands_still_takes_no_renewals_of_others_with_it() {
    let setup = setup();
    let (still, other) = (Builder::new_current_thread().enable_all().build().unwrap(), runtime());
    // From here on nobody drives the first one.
    still.block_on(setup.start(&still, "first"));
    let (key, answer) = other.block_on(setup.start(&other, "second"));
    other.block_on(setup.store.asked_about(key, 4));
    setup.ends.add_permits(2);
    assert_eq!(other.block_on(answer).unwrap(), 201);
}

#[tokio::test(start_paused = true)]
async fn short_attempts_share_one_task_and_leave_none_behind() {
    let setup = setup();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let service = service_fn(|_: Request<RequestBody<Body>>| async {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Response::new(Body::from("done")))
    });
    let before = alive();
    for number in 0..100 {
        let request = post(&format!("key-{number}"));
        read(setup.layer.clone().layer(service).oneshot(request).await.unwrap()).await;
    }
    tokio::task::yield_now().await;
    assert!(alive() <= before + 1, "{} tasks for leases that are settled", alive() - before);
    tokio::time::sleep(LEASE).await;
    assert_eq!(alive(), before, "nobody waits for nothing");
    read(setup.layer.clone().layer(service).oneshot(post("last")).await.unwrap()).await;
    drop(setup);
    tokio::task::yield_now().await;
    assert_eq!(alive(), before, "nor is anybody left when the layer is not");
}
