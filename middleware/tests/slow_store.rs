//! A store that answers late: what has begun by then, and what may not begin any more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use common::{Entries, counted, post, secret, send};
use http::{Request, Response};
use tokio::sync::{Semaphore, mpsc};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, Transition};
use tower_idempotency::store::{
    Deadline, Key, ManualClock, MemoryStore, Resolution, Resolved, Scanned, Store, StoreError, StoreTime, Transact,
};
use tower_idempotency::{Idempotency, IdempotencyLayer, OnDisconnect, RequestBody, Scope, Timing};

const PATIENCE: Duration = Duration::from_secs(30);

/// Does at once what it is asked, and holds back its first reply.
#[derive(Clone)]
struct Late {
    inner: MemoryStore,
    verbs: Arc<AtomicUsize>,
    done: mpsc::Sender<Key>,
    reply: Arc<Semaphore>,
}

impl Transact for Late {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        let reply = self.inner.transact(key, deadline, transition).await;
        if self.verbs.fetch_add(1, Ordering::SeqCst) == 0 {
            self.done.send(key).await.unwrap();
            drop(self.reply.acquire().await);
        }
        reply
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

/// A layer whose first claim is applied, and answered when `reply` gets a permit.
struct Setup {
    layer: IdempotencyLayer<Late>,
    store: Late,
    clock: Arc<ManualClock>,
    applied: mpsc::Receiver<Key>,
}

fn setup() -> Setup {
    let clock = Arc::new(ManualClock::new());
    let (done, applied) = mpsc::channel(1);
    let inner = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
    let store = Late { inner, verbs: Arc::default(), done, reply: Arc::new(Semaphore::new(0)) };
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
    Setup { layer, store, clock, applied }
}

/// A client that is still waiting for its claim.
async fn begin(setup: &mut Setup, entries: &Entries) -> (tokio::task::JoinHandle<common::Answer>, Key) {
    let (layer, entries) = (setup.layer.clone(), entries.clone());
    let client = tokio::spawn(async move { send(&layer, &entries, counted, post("k")).await });
    (client, setup.applied.recv().await.unwrap())
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens within half a minute")
}

#[tokio::test]
async fn a_drain_waits_for_a_claim_whose_client_has_left() {
    let (mut setup, entries) = (setup(), Entries::default());
    let (client, _) = begin(&mut setup, &entries).await;
    client.abort();
    let drain = setup.layer.drain(PATIENCE);
    tokio::pin!(drain);
    let waits = tokio::time::timeout(Duration::from_millis(50), &mut drain).await;
    assert!(waits.is_err(), "the drain ended while a claim was under way");
    setup.store.reply.add_permits(1);
    assert_eq!(soon(drain).await.abandoned, 0);
    let next = IdempotencyLayer::new(setup.store.clone(), Scope::shared(), secret());
    assert_eq!(send(&next, &entries, counted, post("k")).await.body, "run 1", "the key was given back");
}

#[tokio::test]
async fn a_handler_is_not_begun_for_a_client_that_left_and_wanted_it_cancelled() {
    let (mut setup, entries) = (setup(), Entries::default());
    setup.layer = setup.layer.on_disconnect(OnDisconnect::Cancel);
    let (client, _) = begin(&mut setup, &entries).await;
    client.abort();
    let _ = client.await;
    setup.store.reply.add_permits(1);
    soon(setup.layer.drain(PATIENCE)).await;
    let next = IdempotencyLayer::new(setup.store.clone(), Scope::shared(), secret());
    let retry = send(&next, &entries, counted, post("k")).await;
    assert_eq!((retry.status.as_u16(), &retry.body[..], entries.count()), (201, &b"run 1"[..], 1));
}

#[tokio::test]
async fn a_handler_is_not_begun_under_a_lease_that_was_settled_meanwhile() {
    let (mut setup, entries) = (setup(), Entries::default());
    let lease = Duration::from_millis(100);
    setup.layer = setup.layer.timing(Timing::default().lease(lease)).unwrap();
    let (client, key) = begin(&mut setup, &entries).await;

    // The lease lapses, an operator finds that nothing was executed, and the retry runs.
    setup.clock.advance(lease);
    tokio::time::sleep(lease).await;
    let inner = &setup.store.inner;
    let fence = fence_of(inner, key).await;
    let resolved = inner.resolve(key, fence.into(), &Resolution::NotExecuted, Deadline::after(PATIENCE)).await;
    assert_eq!(resolved.unwrap(), Resolved::Resolved);
    assert_eq!(send(&setup.layer, &entries, counted, post("k")).await.body, "run 1");

    // Now the first claim is answered: granted.
    setup.store.reply.add_permits(1);
    let first = soon(client).await.unwrap();
    assert_eq!((&first.body[..], first.is_replay(), entries.count()), (&b"run 1"[..], true, 1));
}

async fn fence_of(store: &MemoryStore, key: Key) -> tower_idempotency::store::Fence {
    let read = |record: Option<&Record>, _| Transition { write: None, reply: record.unwrap().fence };
    store.transact(key, Deadline::after(PATIENCE), read).await.unwrap()
}

#[tokio::test]
async fn a_process_that_was_stopped_sees_at_once_that_its_lease_is_in_doubt() {
    let lease = Duration::from_millis(100);
    let layer = common::layer().timing(Timing::default().lease(lease)).unwrap();
    let handler = move |_, request: Request<RequestBody<Body>>| {
        let idempotency: &Idempotency = request.extensions().get().unwrap();
        let begun = std::time::Instant::now();
        // Busy, so that no task of this runtime gets to tell.
        while begun.elapsed() < lease * 2 {
            std::hint::spin_loop();
        }
        Response::new(Body::from(idempotency.is_lost().to_string()))
    };
    assert_eq!(send(&layer, &Entries::default(), handler, post("k")).await.body, "true");
}

#[tokio::test(start_paused = true)]
async fn renewals_keep_the_runtimes_time() {
    let setup = setup();
    setup.store.reply.add_permits(1);
    let service = service_fn(|_: Request<RequestBody<Body>>| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, Infallible>(Response::new(Body::from("paid")))
    });
    assert_eq!(setup.layer.layer(service).oneshot(post("k")).await.unwrap().status(), 200);
    let verbs = setup.store.verbs.load(Ordering::SeqCst);
    assert!((4..=9).contains(&verbs), "a claim, six renewals and a completion, not {verbs} verbs");
}
