//! Files that the embedded store refuses, and that it leaves them as they are.
#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use idempotency_store::embedded::{OpenError, Refusal};
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Deadline, EmbeddedStore, Fingerprint, Key, OnAbandoned, Owner, Query, Recorded,
    Renewed, Store, Terms,
};
use redb::{Database, ReadableDatabase, TableDefinition};
use tempfile::TempDir;

const PAGE: usize = 4096;

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn claim(key: u8) -> Claim {
    Claim {
        attempt: Attempt {
            key: Key::new([key; 32]),
            owner: Owner::new([key; 16]),
            fingerprint: Fingerprint::new([1; 32]),
        },
        terms: Terms::new(Duration::from_secs(30), Duration::from_secs(3600)).unwrap(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    }
}

/// A directory and a path in it.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    (directory, path)
}

async fn fill(store: &EmbeddedStore, keys: std::ops::Range<u8>) {
    for key in keys {
        let Claimed::Acquired { grant, .. } = store.claim(&claim(key), soon()).await.unwrap() else {
            panic!("a fresh key was not granted");
        };
        let answer = Answer::Kept(Bytes::from(vec![key; 3000]));
        store.complete(&grant, &answer.clone().into(), soon()).await.unwrap();
    }
}

/// Opens the file, expects a refusal that names it, and that the file is as it was.
async fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).ok();
    let error = EmbeddedStore::open(path).await.unwrap_err();
    assert_eq!(fs::read(path).ok(), before, "{error}: and yet the file was changed");
    assert_eq!(error.path(), path);
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains(error.refusal().remedy()), "{text}");
    error
}

/// A store's file as a crash leaves it, and as closing leaves it.
async fn images() -> [Vec<u8>; 2] {
    let (_directory, path) = place();
    let store = EmbeddedStore::open(&path).await.unwrap();
    fill(&store, 0..100).await;
    let crashed = fs::read(&path).unwrap();
    store.close().await;
    [crashed, fs::read(&path).unwrap()]
}

#[tokio::test]
async fn a_new_file_is_complete_private_and_alone() {
    let (directory, path) = place();
    let store = EmbeddedStore::open(&path).await.unwrap();
    let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, std::slice::from_ref(&path));
    assert_eq!(store.path(), path);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn both_images_open_and_hold_every_answer() {
    for image in images().await {
        let (_directory, path) = place();
        fs::write(&path, image).unwrap();
        let store = EmbeddedStore::open(&path).await.unwrap();
        assert!(holds_every_answer(&store).await);
    }
}

#[tokio::test]
async fn a_file_in_use_is_refused() {
    let (_directory, path) = place();
    let store = EmbeddedStore::open(&path).await.unwrap();
    assert_eq!(refused(&path).await.refusal(), Refusal::InUse);
    fill(&store, 0..1).await;
}

/// Whether every answer that [`fill`] recorded is there.
async fn holds_every_answer(store: &EmbeddedStore) -> bool {
    for key in 0..100 {
        match store.claim(&claim(key), soon()).await {
            Ok(Claimed::Completed(completed)) if completed.answer == Answer::Kept(vec![key; 3000].into()) => {}
            _ => return false,
        }
    }
    true
}

#[tokio::test]
async fn a_file_that_was_closed_and_cut_anywhere_is_refused() {
    let [_, closed] = images().await;
    let (_directory, path) = place();
    for len in cuts(closed.len()) {
        fs::write(&path, &closed[..len]).unwrap();
        let refusal = refused(&path).await.refusal();
        assert!(matches!(refusal, Refusal::Damaged | Refusal::Foreign), "{len} bytes: {refusal:?}");
    }
    fs::write(&path, []).unwrap();
    assert_eq!(refused(&path).await.refusal(), Refusal::Empty);
}

#[tokio::test]
async fn a_file_that_crashed_and_was_cut_is_refused_unless_nothing_is_missing() {
    let [crashed, _] = images().await;
    let (_directory, path) = place();
    let mut refusals = 0;
    for len in cuts(crashed.len()) {
        fs::write(&path, &crashed[..len]).unwrap();
        // A crash may leave unused pages at the end, and no trace of how many: a cut through those alone loses nothing.
        if let Ok(store) = EmbeddedStore::open(&path).await {
            assert!(holds_every_answer(&store).await, "{len} bytes: it was opened, and something is missing");
            store.close().await;
        } else {
            refused(&path).await;
            refusals += 1;
        }
    }
    assert!(refusals > 8, "only {refusals} cuts were refused");
}

/// Lengths to cut a file to: whole pages and others.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    let pages = len / PAGE;
    let whole = (1..pages).step_by(pages / 8).map(|page| page * PAGE);
    whole.chain([1, 9, 100, 320, 4095, len / 2 + 1, len - PAGE, len - 1])
}

#[tokio::test]
async fn another_programs_file_is_refused() {
    let (_directory, path) = place();
    for bytes in [b"x".to_vec(), b"{\"accounts\": []}".repeat(1000), vec![0; 1 << 20]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(refused(&path).await.refusal(), Refusal::Foreign);
    }
}

#[tokio::test]
async fn another_database_is_refused_closed_or_crashed() {
    const TABLE: TableDefinition<&str, u64> = TableDefinition::new("accounts");
    let (_directory, path) = place();
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TABLE).unwrap().insert("alice", 1).unwrap();
    transaction.commit().unwrap();
    let crashed = fs::read(&path).unwrap();
    drop(database);
    assert_eq!(refused(&path).await.refusal(), Refusal::Foreign);
    fs::write(&path, crashed).unwrap();
    assert_eq!(refused(&path).await.refusal(), Refusal::Foreign);
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_number() {
    let (_directory, path) = place();
    EmbeddedStore::open(&path).await.unwrap().close().await;
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", 3).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refused(&path).await;
    assert_eq!(error.refusal(), Refusal::NewerFormat(3));
    assert!(error.to_string().contains("format is 3"), "{error}");
}

const META: TableDefinition<&str, u64> = TableDefinition::new("idempotency-store");

fn format(path: &Path) -> Option<u64> {
    let database = Database::open(path).unwrap();
    let table = database.begin_read().unwrap().open_table(META).unwrap();
    redb::ReadableTable::get(&table, "format").unwrap().map(|format| format.value())
}

/// The bytes of a record as format 1 had them, with its checksum (FNV-1a) after the first eight.
fn of_format_1(value: &[u8]) -> Vec<u8> {
    let (since, record) = (&value[..8], &value[16..]);
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = since.iter().chain(record).fold(0xcbf2_9ce4_8422_2325, step);
    [since, &sum.to_be_bytes(), record].concat()
}

/// Makes of a file that is closed what format 1 would have been: all records in one table.
fn make_format_1(path: &Path) {
    const IN_FLIGHT: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("in-flight");
    const RECORDS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("records");
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut all = Vec::new();
    {
        let mut in_flight = transaction.open_table(IN_FLIGHT).unwrap();
        let mut records = transaction.open_table(RECORDS).unwrap();
        while let Some((key, value)) = records.pop_first().unwrap().or_else(|| in_flight.pop_first().unwrap()) {
            all.push((*key.value(), of_format_1(value.value())));
        }
        for (key, value) in &all {
            records.insert(key, value.as_slice()).unwrap();
        }
        transaction.open_table(META).unwrap().insert("format", 1).unwrap();
    }
    transaction.delete_table(IN_FLIGHT).unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_format_1_serves_on() {
    let (_directory, path) = place();
    let store = EmbeddedStore::open(&path).await.unwrap();
    fill(&store, 0..1).await;
    let mut grants = Vec::new();
    for key in 1..4 {
        let Claimed::Acquired { grant, .. } = store.claim(&claim(key), soon()).await.unwrap() else {
            panic!("a fresh key was not granted");
        };
        grants.push(grant);
    }
    store.close().await;
    make_format_1(&path);

    let store = EmbeddedStore::open(&path).await.unwrap();
    assert_eq!(store.renew(&grants[0], soon()).await.unwrap(), Renewed::Held);
    let answer = Answer::Kept(Bytes::from_static(b"answer"));
    for grant in &grants[..2] {
        assert_eq!(store.complete(grant, &answer.clone().into(), soon()).await.unwrap(), Recorded::Recorded);
    }
    let stranger = |key| Claim { attempt: Attempt { owner: Owner::new([9; 16]), ..claim(key).attempt }, ..claim(key) };
    assert!(matches!(store.claim(&stranger(0), soon()).await.unwrap(), Claimed::Completed(_)));
    assert!(matches!(store.claim(&stranger(1), soon()).await.unwrap(), Claimed::Completed(_)));
    assert!(matches!(store.claim(&stranger(2), soon()).await.unwrap(), Claimed::Completed(_)));
    assert!(matches!(store.claim(&stranger(3), soon()).await.unwrap(), Claimed::InFlight { .. }));
    // Each record lies in one table, wherever it lay before.
    let listed = store.list(&Query::default(), soon()).await.unwrap().entries;
    assert_eq!((store.count(soon()).await.unwrap(), listed.len()), (4, 4));
    store.close().await;
    assert_eq!(format(&path), Some(2), "an earlier version would open it, and not find what is in flight");
    let store = EmbeddedStore::open(&path).await.unwrap();
    assert_eq!(store.count(soon()).await.unwrap(), 4);
}

#[tokio::test]
async fn what_is_not_a_file_is_refused() {
    let (directory, path) = place();
    assert_eq!(refused(directory.path()).await.refusal(), Refusal::NotAFile);
    assert_eq!(refused(&path.join("missing").join("keys.redb")).await.refusal(), Refusal::NoDirectory);
    fs::write(&path, b"a file").unwrap();
    assert_eq!(refused(&path.join("keys.redb")).await.refusal(), Refusal::NoDirectory);
    #[cfg(unix)]
    assert_eq!(refused(Path::new("/dev/null")).await.refusal(), Refusal::NotAFile);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_may_not_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = place();
    EmbeddedStore::open(&path).await.unwrap().close().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500)).unwrap();
    // The system denies nothing to root, so there is nothing to see then.
    if fs::OpenOptions::new().write(true).open(&path).is_err() {
        assert_eq!(refused(&path).await.refusal(), Refusal::Denied);
        assert_eq!(refused(&path.with_file_name("other")).await.refusal(), Refusal::Denied);
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
}
