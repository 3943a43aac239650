//! Two versions of what is stored, as during a rolling deployment: the old one meets what the new one wrote.
//!
//! That version 1 is read for ever is tested by its bytes: `store/tests/codec.rs`, `middleware/tests/recorded_version_1.rs`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use idempotency_store::{Answer, BoxStore, EmbeddedStore, ManualClock, Resolution, Resolved, Store};
use idempotency_tests::{App, Backend, Verb, on_each_store};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::redis_own::{Own, soon};

on_each_store!(s63_an_answer_of_a_newer_version_is_neither_served_nor_run_again);

/// What the layer records, unlike the record around it, is the layer's: a newer layer may write what this one cannot read.
async fn s63_an_answer_of_a_newer_version_is_neither_served_nor_run_again(backend: impl Backend) {
    const NEWER: &[u8] = b"\x02\xc9\x00 and whatever a newer version writes";
    let app = App::start(&backend).await;
    for (key, newer) in [("kept", Answer::Kept(Bytes::from_static(NEWER))), ("note", Answer::NotKept(NEWER.into()))] {
        app.send("/panic", key).await.expect_rejection(500, "handler-panicked");
        let lease = app.runs().last().unwrap().lease.unwrap();
        let resolved = app.store.resolve(lease.key, lease.fence.into(), &Resolution::Completed(newer), soon()).await;
        assert_eq!(resolved.unwrap(), Resolved::Resolved);
        let exec = app.exec();
        for _ in 0..2 {
            let refused = app.send("/panic", key).await;
            refused.expect_rejection(503, "record-corrupt");
            assert!(!String::from_utf8_lossy(&refused.body).contains("whatever"), "{refused:?}");
            assert_eq!(refused.header("retry-after"), None, "repeating does not help");
        }
        assert_eq!(app.exec(), exec);
    }
    let written = [Verb::Complete, Verb::Release, Verb::Checkpoint, Verb::Renew].map(|verb| app.faults.called(verb));
    assert_eq!((written, app.faults.called(Verb::Abandon)), ([0; 4], 2), "the two that panicked");
}

/// An embedded store whose bytes the test can reach.
struct File {
    store: EmbeddedStore,
    clock: Arc<ManualClock>,
    directory: TempDir,
}

impl Backend for File {
    async fn open() -> Self {
        let (clock, directory) = (Arc::new(ManualClock::new()), TempDir::new().unwrap());
        let path = directory.path().join("keys.redb");
        let store = EmbeddedStore::open_with_clock(path, Arc::<ManualClock>::clone(&clock)).await.unwrap();
        Self { store, clock, directory }
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.store.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn served(&self) -> String {
        unreachable!("no process serves it")
    }
}

const RECORDS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("records");

/// In the file a record has its time and a checksum before it, so its version comes after sixteen bytes.
const VERSION: usize = 16;

fn only_record(path: &Path) -> ([u8; 32], Vec<u8>) {
    let database = Database::open(path).unwrap();
    let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
    let all: Vec<_> = records.iter().unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(all.len(), 1);
    (*all[0].0.value(), all[0].1.value().to_vec())
}

/// Writes it back as a newer version would, its checksum included.
fn make_newer(path: &Path) -> Vec<u8> {
    let (key, mut record) = only_record(path);
    assert_eq!(record[VERSION], 1);
    record[VERSION] = 2;
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = record[..8].iter().chain(&record[VERSION..]).fold(0xcbf2_9ce4_8422_2325, step);
    record[8..VERSION].copy_from_slice(&sum.to_be_bytes());
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(RECORDS).unwrap().insert(&key, record.as_slice()).unwrap();
    transaction.commit().unwrap();
    record
}

#[tokio::test]
async fn s63_a_record_of_a_newer_version_in_the_file_is_left_alone() {
    for path in ["/charge", "/panic", "/busy"] {
        let mut backend = File::open().await;
        let file = backend.directory.path().join("keys.redb");
        let app = App::start(&backend).await;
        app.send(path, "key-1").await;
        backend.store.close().await;
        let newer = make_newer(&file);
        backend.store = EmbeddedStore::open_with_clock(&file, Arc::<ManualClock>::clone(&backend.clock)).await.unwrap();

        let old = App::on(&backend).beside(&app).start().await;
        for _ in 0..2 {
            old.send(path, "key-1").await.expect_rejection(503, "record-corrupt");
        }
        assert_eq!(old.send("/charge", "key-2").await.status, StatusCode::CREATED, "other keys are served");
        assert_eq!(old.exec(), 1);
        backend.store.close().await;
        let database = Database::open(&file).unwrap();
        let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
        let kept = records.iter().unwrap().any(|entry| entry.unwrap().1.value() == newer);
        assert!(kept, "the record was changed ({path})");
    }
}

/// The record's version on Redis, after the time.
const ON_REDIS: usize = 8;

#[tokio::test]
async fn s63_a_record_of_a_newer_version_on_redis_is_left_alone() {
    for path in ["/charge", "/panic", "/busy"] {
        let own = Own::open().await;
        let app = App::start(&own).await;
        app.send(path, "key-1").await;
        let newer = make_newer_on(&own).await;
        let old = App::on(&own).beside(&app).start().await;
        for _ in 0..2 {
            old.send(path, "key-1").await.expect_rejection(503, "record-corrupt");
        }
        let name = own.record().await;
        assert_eq!((own.server.get(&name).await, old.exec()), (Some(newer), 0), "{path}");
    }
}

async fn make_newer_on(own: &Own) -> Vec<u8> {
    let name = own.record().await;
    let mut record = own.server.get(&name).await.unwrap();
    assert_eq!(record[ON_REDIS], 1);
    record[ON_REDIS] = 2;
    own.server.overwrite(&name, &record).await;
    record
}

/// Its owner is told no lie either: the answer is its own, and that it was not recorded.
#[tokio::test]
async fn s63_a_record_that_becomes_newer_while_its_handler_runs_is_left_alone() {
    let own = Own::open().await;
    let timing = idempotency_tests::patient().completion_wait(Duration::from_millis(300));
    let app = App::on(&own).timing(timing).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    let newer = make_newer_on(&own).await;
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false));
    assert_eq!(first.header("idempotency-status"), Some("unrecorded"));
    app.send("/held-before", "key-1").await.expect_rejection(503, "record-corrupt");
    let name = own.record().await;
    assert_eq!((own.server.get(&name).await, app.exec()), (Some(newer), 1));
}
