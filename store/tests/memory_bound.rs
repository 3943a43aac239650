//! What is particular to the memory store: its bound.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Deadline, DeadlinePassed, ErrorKind, Fingerprint, Grant, Key, ManualClock,
    MemoryStore, OnAbandoned, Owner, Recorded, Released, Store, StoreError, StoreFull, Terms,
};

const RETENTION: Duration = Duration::from_secs(3600);

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

fn claim(key: u8) -> Claim {
    Claim {
        attempt: Attempt {
            key: Key::new([key; 32]),
            owner: Owner::random().unwrap(),
            fingerprint: Fingerprint::new([1; 32]),
        },
        terms: Terms::new(Duration::from_secs(30), RETENTION).unwrap(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    }
}

fn bounded(capacity: usize) -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (MemoryStore::bounded(NonZeroUsize::new(capacity).unwrap()).with_clock(Arc::<ManualClock>::clone(&clock)), clock)
}

async fn acquire(store: &MemoryStore, key: u8) -> Grant {
    match store.claim(&claim(key), soon()).await.unwrap() {
        Claimed::Acquired { grant, .. } => grant,
        other => panic!("expected a grant, got {other:?}"),
    }
}

fn assert_full(error: &StoreError, capacity: usize) {
    assert_eq!(error.kind(), ErrorKind::NotApplied);
    assert_eq!(error.source().unwrap().downcast_ref(), Some(&StoreFull { capacity }));
}

#[tokio::test]
async fn a_full_store_refuses_new_keys_and_serves_the_known_ones() {
    let (store, _clock) = bounded(2);
    let first = acquire(&store, 1).await;
    let second = acquire(&store, 2).await;

    assert_full(&store.claim(&claim(3), soon()).await.unwrap_err(), 2);
    assert_full(&store.ping(soon()).await.unwrap_err(), 2);
    assert_eq!(store.len(), 2);

    let answer = Answer::Kept(Bytes::from_static(b"answer"));
    assert_eq!(store.complete(&first, &answer.clone().into(), soon()).await.unwrap(), Recorded::Recorded);
    assert!(matches!(store.claim(&claim(1), soon()).await.unwrap(), Claimed::Completed(_)));
    let released = store.release(&second.attempt, Some(second.fence), soon()).await.unwrap();
    assert_eq!(released, Released::Released);
    assert!(acquire(&store, 2).await.fence > second.fence);
}

#[tokio::test]
async fn a_full_store_takes_new_keys_once_old_ones_have_expired() {
    let (store, clock) = bounded(100);
    for key in 0..100 {
        acquire(&store, key).await;
    }
    assert_full(&store.claim(&claim(200), soon()).await.unwrap_err(), 100);

    clock.advance(RETENTION);
    acquire(&store, 200).await;
    assert!(store.ping(soon()).await.is_ok());
    // Each verb drops more than it adds, so what nobody asks for again goes too.
    for _ in 0..13 {
        store.ping(soon()).await.unwrap();
    }
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_renewed_record_outlives_its_first_expiry() {
    let (store, clock) = bounded(10);
    let kept = acquire(&store, 1).await;
    acquire(&store, 2).await;
    clock.advance(RETENTION / 2);
    store.renew(&kept, soon()).await.unwrap();
    clock.advance(RETENTION / 2);
    store.ping(soon()).await.unwrap();
    assert_eq!(store.len(), 1);
    assert!(matches!(store.claim(&claim(1), soon()).await.unwrap(), Claimed::Indeterminate(_)));
}

#[tokio::test]
async fn clones_share_the_records_and_a_new_clock_means_a_new_store() {
    let (store, clock) = bounded(10);
    acquire(&store.clone(), 1).await;
    assert_eq!(store.len(), 1);
    assert!(store.clone().with_clock(clock).is_empty());
    assert!(!store.is_empty());
}

#[tokio::test]
async fn a_verb_past_its_deadline_is_refused() {
    let (store, _clock) = bounded(10);
    let error = store.claim(&claim(1), Deadline::at(Instant::now(), Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotApplied);
    assert!(error.source().unwrap().is::<DeadlinePassed>());
    assert!(store.is_empty());
}
