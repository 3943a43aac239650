//! The laws of every fence store, on the memory and the embedded one and on the boxed twin; and what is particular to
//! each.
#![cfg(all(feature = "memory", feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use idempotency_store::fence_store::conformance::{Boxed, FenceFixture};
use idempotency_store::{
    Admitted, Attempt, Claim, Claimed, Deadline, EmbeddedFenceStore, EmbeddedStore, ErrorKind, Fence, FenceKey,
    FenceStore, Fingerprint, Holder, Key, ManualClock, MemoryFenceStore, OnAbandoned, Owner, Store, StoreFull, Terms,
};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);
const FENCES: TableDefinition<&[u8; 32], &[u8; 40]> = TableDefinition::new("fences");
const EXPIRY: TableDefinition<(u64, &[u8; 32]), ()> = TableDefinition::new("fence-expiry");

struct Memory {
    store: MemoryFenceStore,
    clock: Arc<ManualClock>,
}

impl FenceFixture for Memory {
    type Store = MemoryFenceStore;

    async fn open() -> Self {
        let clock = Arc::new(ManualClock::new());
        Self { store: MemoryFenceStore::new().with_clock(Arc::<ManualClock>::clone(&clock)), clock }
    }

    fn store(&self) -> &MemoryFenceStore {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

struct Embedded {
    store: EmbeddedFenceStore,
    clock: Arc<ManualClock>,
    // Dropped last: the file goes with it.
    _directory: TempDir,
}

impl FenceFixture for Embedded {
    type Store = EmbeddedFenceStore;

    async fn open() -> Self {
        let (directory, path) = place();
        let clock = Arc::new(ManualClock::new());
        Self { store: fences_at(&path, &clock).await, clock, _directory: directory }
    }

    fn store(&self) -> &EmbeddedFenceStore {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

mod memory {
    idempotency_store::fence_conformance!(super::Memory);

    mod boxed {
        idempotency_store::fence_conformance!(crate::Boxed<crate::Memory>);
    }
}

mod embedded {
    idempotency_store::fence_conformance!(super::Embedded);

    mod boxed {
        idempotency_store::fence_conformance!(crate::Boxed<crate::Embedded>);
    }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    (directory, path)
}

async fn store_at(path: &Path, clock: &Arc<ManualClock>) -> EmbeddedStore {
    EmbeddedStore::open_with_clock(path, Arc::<ManualClock>::clone(clock)).await.unwrap()
}

async fn fences_at(path: &Path, clock: &Arc<ManualClock>) -> EmbeddedFenceStore {
    EmbeddedFenceStore::open_with_clock(path, Arc::<ManualClock>::clone(clock)).await.unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn key(number: u8) -> FenceKey {
    FenceKey::new([number; 32])
}

fn holder(fence: u64) -> Holder {
    Holder { fence: Fence::new(fence), owner: Owner::new([7; 16]) }
}

async fn admit(store: &impl FenceStore, number: u8, fence: u64) -> Admitted {
    store.admit(&key(number), holder(fence), HOUR, soon()).await.unwrap()
}

fn fenced(highest: u64) -> Admitted {
    Admitted::Fenced { highest: Fence::new(highest) }
}

#[tokio::test]
async fn a_full_memory_store_refuses_new_keys_and_judges_the_known_ones() {
    let clock = Arc::new(ManualClock::new());
    let bounded = MemoryFenceStore::bounded(NonZeroUsize::new(2).unwrap());
    let store = bounded.with_clock(Arc::<ManualClock>::clone(&clock));
    assert_eq!(admit(&store, 1, 5).await, Admitted::Admitted);
    assert_eq!(admit(&store, 2, 5).await, Admitted::Admitted);

    let full = store.admit(&key(3), holder(5), HOUR, soon()).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::NotApplied);
    assert_eq!(full.source().unwrap().downcast_ref(), Some(&StoreFull { capacity: 2 }));
    assert_eq!((admit(&store, 1, 4).await, admit(&store, 2, 6).await), (fenced(5), Admitted::Admitted));
    assert_eq!(store.len(), 2);

    clock.advance(HOUR);
    assert_eq!(admit(&store, 3, 1).await, Admitted::Admitted, "what has expired makes room");
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn fences_outlive_the_process_that_kept_them() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = fences_at(&path, &clock).await;
    assert_eq!(admit(&store, 1, 5).await, Admitted::Admitted);
    store.close().await;

    let store = fences_at(&path, &clock).await;
    assert_eq!((admit(&store, 1, 4).await, admit(&store, 1, 5).await), (fenced(5), Admitted::Admitted));
    clock.advance(HOUR);
    assert_eq!(admit(&store, 1, 4).await, Admitted::Admitted);
}

#[tokio::test]
async fn keys_and_fences_share_a_file_and_its_sweeps() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = store_at(&path, &clock).await;
    let claim = Claim {
        attempt: Attempt { key: Key::new([1; 32]), owner: Owner::new([7; 16]), fingerprint: Fingerprint::new([1; 32]) },
        terms: Terms::new(Duration::from_secs(30), HOUR).unwrap(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    };
    assert!(matches!(store.claim(&claim, soon()).await.unwrap(), Claimed::Acquired { .. }));
    assert_eq!(admit(&store.fences(), 1, 5).await, Admitted::Admitted, "a record of the same digest is another thing");
    assert_eq!(admit(&store.fences(), 2, 5).await, Admitted::Admitted);
    assert_eq!(store.count(soon()).await.unwrap(), 1, "fences are no records");

    assert_eq!(store.sweep(10, soon()).await.unwrap(), 0);
    clock.advance(HOUR);
    assert_eq!(store.sweep(2, soon()).await.unwrap(), 2);
    assert_eq!(store.stats().swept, 3, "a transaction that writes sweeps on its own, too");
    store.close().await;
    let database = Database::open(&path).unwrap().begin_read().unwrap();
    assert!(database.open_table(FENCES).unwrap().is_empty().unwrap());
    assert!(database.open_table(EXPIRY).unwrap().is_empty().unwrap());
}

#[tokio::test]
async fn a_file_from_before_there_were_fences_gets_them() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    store_at(&path, &clock).await.close().await;
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(FENCES).unwrap() && transaction.delete_table(EXPIRY).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let store = fences_at(&path, &clock).await;
    assert_eq!(admit(&store, 1, 5).await, Admitted::Admitted);
    store.close().await;
    assert_eq!(admit(&fences_at(&path, &clock).await, 1, 4).await, fenced(5));
}

#[tokio::test]
async fn a_damaged_fence_lets_nobody_pass_and_is_not_overwritten() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = fences_at(&path, &clock).await;
    for number in [1, 2] {
        assert_eq!(admit(&store, number, 5).await, Admitted::Admitted);
    }
    store.close().await;
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let damaged = {
        let mut table = transaction.open_table(FENCES).unwrap();
        // One that lost a bit, and one that belongs to another key.
        let mut value = *table.get(&[1; 32]).unwrap().unwrap().value();
        let foreign = value;
        *value.last_mut().unwrap() ^= 1;
        table.insert(&[1; 32], &value).unwrap();
        table.insert(&[2; 32], &foreign).unwrap();
        [value, foreign]
    };
    transaction.commit().unwrap();
    drop(database);

    let store = fences_at(&path, &clock).await;
    for number in [1, 2] {
        let error = store.admit(&key(number), holder(9), HOUR, soon()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    assert_eq!(admit(&store, 3, 1).await, Admitted::Admitted, "other keys are served");
    store.close().await;
    let table = Database::open(&path).unwrap().begin_read().unwrap().open_table(FENCES).unwrap();
    for (number, value) in [1, 2].into_iter().zip(damaged) {
        assert_eq!(*table.get(&[number; 32]).unwrap().unwrap().value(), value);
    }
}
