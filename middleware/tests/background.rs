//! What is told to the store in the background is bounded, and what is too much is counted. In paused time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Entries, counted, post, secret, send};
use tokio::time::sleep;
use tower_idempotency::store::record::{Record, Transition};
use tower_idempotency::store::{Deadline, Key, MemoryStore, Scanned, StoreError, StoreTime, Transact};
use tower_idempotency::{IdempotencyLayer, Scope};

/// As many outcomes as wait for the store at a time.
const IN_BACKGROUND: usize = 1024;

/// Takes claims or none, answers nothing else, and remembers which keys it was asked about.
#[derive(Clone)]
struct Down {
    inner: MemoryStore,
    takes_claims: bool,
    known: Arc<Mutex<HashSet<Key>>>,
    asked: Arc<Mutex<HashSet<Key>>>,
}

impl Down {
    fn new(takes_claims: bool) -> Self {
        Self { inner: MemoryStore::new(), takes_claims, known: Arc::default(), asked: Arc::default() }
    }
}

impl Transact for Down {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        if self.takes_claims && self.known.lock().unwrap().insert(key) {
            return self.inner.transact(key, deadline, transition).await;
        }
        self.asked.lock().unwrap().insert(key);
        Err(StoreError::unknown("down", "no answer"))
    }

    async fn scan(&self, _: Option<Key>, _: NonZeroUsize, _: Deadline) -> Result<Vec<Scanned>, StoreError> {
        Ok(Vec::new())
    }

    fn now(&self) -> StoreTime {
        Transact::now(&self.inner)
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        Transact::ping(&self.inner, deadline).await
    }
}

impl Down {
    /// The keys that it is asked about within so long.
    async fn asked_within(&self, time: Duration) -> usize {
        self.asked.lock().unwrap().clear();
        sleep(time).await;
        self.asked.lock().unwrap().len()
    }
}

/// As many requests at once as are one hundred too many.
async fn flood(layer: &IdempotencyLayer<Down>) -> Vec<common::Answer> {
    let mut sent = tokio::task::JoinSet::new();
    for key in 0..IN_BACKGROUND + 100 {
        let layer = layer.clone();
        sent.spawn(async move { send(&layer, &Entries::default(), counted, post(&key.to_string())).await });
    }
    sent.join_all().await
}

#[tokio::test(start_paused = true)]
async fn answers_that_wait_for_the_store_are_bounded_and_those_too_many_are_counted() {
    let store = Down::new(true);
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
    let answers = flood(&layer).await;
    assert!(answers.iter().all(|answer| answer.headers["idempotency-status"] == "unrecorded"));
    assert_eq!((layer.counts().unrecorded, layer.counts().lost), (1124, 100));
    assert_eq!(store.asked_within(Duration::from_secs(60)).await, IN_BACKGROUND);
}

#[tokio::test(start_paused = true)]
async fn keys_that_wait_to_be_given_back_are_bounded_and_those_too_many_are_counted() {
    let store = Down::new(false);
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
    let answers = flood(&layer).await;
    assert!(answers.iter().all(|answer| answer.problem() == "store-unavailable"));
    assert_eq!(layer.counts().lost, 100);
    assert_eq!(store.asked_within(Duration::from_secs(60)).await, IN_BACKGROUND);
}
