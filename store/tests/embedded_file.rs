//! What is particular to the embedded store: sweeping, damage, time over a restart, sharing commits.
#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Clock, Deadline, EmbeddedStore, ErrorKind, Fingerprint, Grant, Key, ManualClock,
    OnAbandoned, Owner, Query, Recorded, Released, Store, StoreTime, Terms, Transact,
};
use redb::{Database, ReadableDatabase, TableDefinition};
use tempfile::TempDir;

const RETENTION: Duration = Duration::from_secs(3600);
const RECORDS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("records");

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn claim(key: u16, owner: u8) -> Claim {
    let digest: Vec<u8> = key.to_be_bytes().repeat(16);
    Claim {
        attempt: Attempt {
            key: Key::new(digest.try_into().unwrap()),
            owner: Owner::new([owner; 16]),
            fingerprint: Fingerprint::new([1; 32]),
        },
        terms: Terms::new(Duration::from_secs(30), RETENTION).unwrap(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    }
}

async fn acquire(store: &EmbeddedStore, key: u16) -> Grant {
    match store.claim(&claim(key, 1), soon()).await.unwrap() {
        Claimed::Acquired { grant, .. } => grant,
        other => panic!("expected a grant, got {other:?}"),
    }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    (directory, path)
}

async fn open(path: &Path, clock: &Arc<ManualClock>) -> EmbeddedStore {
    EmbeddedStore::open_with_clock(path, Arc::<ManualClock>::clone(clock)).await.unwrap()
}

async fn count(store: &EmbeddedStore) -> u64 {
    store.count(soon()).await.unwrap()
}

#[tokio::test]
async fn sweeping_removes_what_has_expired_and_nothing_that_lives() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = open(&path, &clock).await;
    for key in 0..40 {
        acquire(&store, key).await;
    }
    clock.advance(RETENTION / 2);
    let renewed = acquire(&store, 0).await;
    acquire(&store, 100).await;
    assert_eq!(store.sweep(1000, soon()).await.unwrap(), 0);

    clock.advance(RETENTION / 2);
    assert_eq!(store.sweep(7, soon()).await.unwrap(), 7);
    // The transaction of the sweep takes a few more on its way, as every one does.
    assert!((2..=34).contains(&count(&store).await));
    assert!((1..=32).contains(&store.sweep(1000, soon()).await.unwrap()));
    // The one that was asked for again, and the younger one.
    assert_eq!(count(&store).await, 2);
    assert_eq!(store.complete(&renewed, &Answer::Kept(Bytes::new()).into(), soon()).await.unwrap(), Recorded::Recorded);

    clock.advance(RETENTION);
    assert_eq!(store.sweep(1000, soon()).await.unwrap(), 2);
    assert_eq!(count(&store).await, 0);
    assert_eq!(store.stats().swept, 41);
}

#[tokio::test]
async fn a_tombstone_is_swept_after_its_minute() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = open(&path, &clock).await;
    let grant = acquire(&store, 1).await;
    assert_eq!(store.release(&grant.attempt, Some(grant.fence), soon()).await.unwrap(), Released::Released);
    clock.advance(Duration::from_secs(59));
    assert_eq!(store.sweep(10, soon()).await.unwrap(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.sweep(10, soon()).await.unwrap(), 1);
    assert_eq!(count(&store).await, 0);
}

#[tokio::test]
async fn writing_removes_more_than_it_adds() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = open(&path, &clock).await;
    for key in 0..90 {
        acquire(&store, key).await;
    }
    clock.advance(RETENTION);
    for key in 100..110 {
        acquire(&store, key).await;
    }
    assert_eq!(count(&store).await, 10);
}

#[tokio::test]
async fn time_does_not_go_back_over_a_restart() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    clock.advance(Duration::from_secs(50 * 365 * 24 * 3600));
    let store = open(&path, &clock).await;
    let fence = acquire(&store, 1).await.fence;
    store.close().await;

    let store = EmbeddedStore::open(&path).await.unwrap();
    assert!(store.now() >= clock.now(), "the clock went back to the wall clock's time");
    assert!(acquire(&store, 2).await.fence >= fence);
    store.close().await;

    let (_directory, path) = place();
    let wall = EmbeddedStore::open(&path).await.unwrap();
    assert!(wall.now() > StoreTime::from_micros(1_700_000_000_000_000) && wall.now() < clock.now());
}

#[tokio::test]
async fn a_restart_keeps_every_state() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = open(&path, &clock).await;
    acquire(&store, 1).await;
    let done = acquire(&store, 2).await;
    let answer = Answer::Kept(Bytes::from_static(b"answer"));
    store.complete(&done, &answer.clone().into(), soon()).await.unwrap();
    let given_back = acquire(&store, 3).await;
    store.release(&given_back.attempt, None, soon()).await.unwrap();
    store.close().await;

    let store = open(&path, &clock).await;
    assert!(matches!(store.claim(&claim(1, 2), soon()).await.unwrap(), Claimed::InFlight { .. }));
    let Claimed::Completed(completed) = store.claim(&claim(2, 2), soon()).await.unwrap() else {
        panic!("the answer was lost");
    };
    assert_eq!((completed.answer, completed.fence), (answer, done.fence));
    assert!(matches!(store.claim(&claim(3, 1), soon()).await.unwrap(), Claimed::Stale));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_share_commits() {
    const CALLERS: u16 = 64;
    const EACH: u16 = 40;
    let (_directory, path) = place();
    let store = EmbeddedStore::open(&path).await.unwrap();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    acquire(&store, caller * EACH + number).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let stats = store.stats();
    assert_eq!(stats.writes, u64::from(CALLERS * EACH));
    assert!(stats.writes >= 16 * stats.commits, "{stats:?}");
}

/// Changes the bytes of the record of `key` behind the store's back.
fn damage(path: &Path, key: &Key, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut bytes = {
        let table = transaction.open_table(RECORDS).unwrap();
        redb::ReadableTable::get(&table, key.as_bytes()).unwrap().unwrap().value().to_vec()
    };
    change(&mut bytes);
    transaction.open_table(RECORDS).unwrap().insert(key.as_bytes(), bytes.as_slice()).unwrap();
    transaction.commit().unwrap();
    bytes
}

fn stored(path: &Path, key: &Key) -> Vec<u8> {
    let database = Database::open(path).unwrap();
    let table = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    let value = redb::ReadableTable::get(&table, key.as_bytes()).unwrap().unwrap();
    value.value().to_vec()
}

#[tokio::test]
async fn a_damaged_record_is_neither_executed_nor_overwritten() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = open(&path, &clock).await;
    let grant = acquire(&store, 1).await;
    store.complete(&grant, &Answer::Kept(Bytes::from_static(b"answer")).into(), soon()).await.unwrap();
    acquire(&store, 2).await;
    store.close().await;

    let key = grant.attempt.key;
    let len = stored(&path, &key).len();
    for at in 0..=len {
        // Each byte in turn, and a record that is cut short.
        let bytes = damage(&path, &key, |bytes| if at < len { bytes[at] ^= 1 } else { bytes.truncate(40) });
        let store = open(&path, &clock).await;
        let kinds = [
            store.claim(&claim(1, 2), soon()).await.unwrap_err().kind(),
            store.renew(&grant, soon()).await.unwrap_err().kind(),
            store.complete(&grant, &Answer::Kept(Bytes::new()).into(), soon()).await.unwrap_err().kind(),
            store.release(&grant.attempt, None, soon()).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::Corrupt; 4], "byte {at}");
        // Nor can an operator make it go away by mistake. It is counted in a listing, and does not end it.
        assert_eq!(store.inspect(key, soon()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(store.erase(key, grant.fence.into(), soon()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        let page = store.list(&Query::default(), soon()).await.unwrap();
        assert_eq!((page.entries.len(), page.unreadable), (1, 1), "byte {at}");
        // The rest of the file serves on.
        assert!(matches!(store.claim(&claim(2, 2), soon()).await.unwrap(), Claimed::InFlight { .. }));
        store.close().await;
        assert_eq!(stored(&path, &key), bytes, "byte {at}: the record was overwritten");
        if at < len {
            damage(&path, &key, |bytes| bytes[at] ^= 1);
        }
    }
}

#[tokio::test]
async fn a_byte_that_rots_in_the_file_is_noticed() {
    let (_directory, path) = place();
    let clock = Arc::new(ManualClock::new());
    let store = open(&path, &clock).await;
    let grant = acquire(&store, 1).await;
    store.complete(&grant, &Answer::Kept(Bytes::from(vec![0xA5; 3000])).into(), soon()).await.unwrap();
    store.close().await;
    let mut file = fs::read(&path).unwrap();
    // Every place where the answer stands, pages that were freed included.
    for at in
        (0..file.len() - 3000).filter(|&at| file[at..at + 3000].iter().all(|byte| *byte == 0xA5)).collect::<Vec<_>>()
    {
        file[at + 1500] = 0xA4;
    }
    fs::write(&path, file).unwrap();
    let store = open(&path, &clock).await;
    assert_eq!(store.claim(&claim(1, 2), soon()).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn the_last_handle_closes_the_file() {
    let (_directory, path) = place();
    let store = EmbeddedStore::open(&path).await.unwrap();
    let other = store.clone();
    drop(store);
    acquire(&other, 1).await;
    drop(other);
    // In the background, so it is not unlocked at once; that it will be is all that can be said.
    let mut reopened = EmbeddedStore::open(&path).await;
    while reopened.is_err() {
        tokio::task::yield_now().await;
        reopened = EmbeddedStore::open(&path).await;
    }
    assert_eq!(count(&reopened.unwrap()).await, 1);
}
