//! A renewal or a completion that was asked for long before it is carried out: by then, the tombstone of its own release could
//! have come and gone, and nobody may own what it would write again.
#![cfg(all(feature = "memory", feature = "embedded"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use idempotency_store::record::{self, RELEASED_TOMBSTONE};
use idempotency_store::{
    Answer, Attempt, Clock, Completion, Deadline, EmbeddedStore, Fence, Fingerprint, Grant, Key, Loss, MemoryStore,
    Owner, Recorded, Renewed, Store, StoreTime, Terms,
};

const NOW: StoreTime = StoreTime::from_micros(1_795_521_600_000_000);

const MICRO: Duration = Duration::from_micros(1);

/// Granted now. No store that these tests open has its record.
fn grant() -> Grant {
    Grant {
        attempt: Attempt { key: Key::new([1; 32]), owner: Owner::new([2; 16]), fingerprint: Fingerprint::new([3; 32]) },
        fence: Fence::new(NOW.as_micros()),
        terms: Terms::new(Duration::from_secs(30), Duration::from_secs(86_400)).unwrap(),
        number: 1,
    }
}

fn completion() -> Completion {
    Completion { answer: Answer::Kept("late".into()), retention: None }
}

#[test]
fn what_was_issued_within_a_tombstones_life_is_written_again() {
    for (age, is_recreated) in [
        (Duration::ZERO, true),
        (RELEASED_TOMBSTONE.saturating_sub(MICRO), true),
        (RELEASED_TOMBSTONE, false),
        (RELEASED_TOMBSTONE * 2, false),
    ] {
        let now = NOW.after(age);
        let renewed = record::renew(None, now, NOW, &grant());
        let recorded = record::complete(None, now, NOW, &grant(), &completion());
        assert_eq!((renewed.write.is_some(), recorded.write.is_some()), (is_recreated, is_recreated), "{age:?}");
        assert_eq!(renewed.reply == Renewed::Recreated, is_recreated, "{age:?}: {renewed:?}");
        assert_eq!(recorded.reply == Recorded::Recreated, is_recreated, "{age:?}: {recorded:?}");
    }
}

/// A clock on which a verb takes its time: once its caller has looked, it is so much later.
#[derive(Debug)]
struct Slow {
    now: Mutex<StoreTime>,
    takes: Duration,
    caller: ThreadId,
}

impl Slow {
    fn taking(takes: Duration) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(NOW), takes, caller: std::thread::current().id() })
    }
}

impl Clock for Slow {
    fn now(&self) -> StoreTime {
        let mut now = self.now.lock().unwrap();
        let seen = *now;
        if std::thread::current().id() == self.caller {
            *now = now.after(self.takes);
        }
        seen
    }
}

async fn expect_nothing_written(store: impl Store) {
    let soon = Deadline::after(Duration::from_secs(60));
    assert_eq!(store.renew(&grant(), soon).await.unwrap(), Renewed::Lost(Loss::Absent));
    assert_eq!(store.complete(&grant(), &completion(), soon).await.unwrap(), Recorded::Lost(Loss::Absent));
    assert_eq!(store.inspect(grant().attempt.key, soon).await.unwrap(), None);
}

#[tokio::test]
async fn a_memory_store_writes_nothing_again_that_comes_too_late() {
    expect_nothing_written(MemoryStore::new().with_clock(Slow::taking(RELEASED_TOMBSTONE))).await;
    let soon = Deadline::after(Duration::from_secs(60));
    let in_time = MemoryStore::new().with_clock(Slow::taking(RELEASED_TOMBSTONE / 2));
    assert_eq!(in_time.renew(&grant(), soon).await.unwrap(), Renewed::Recreated);
}

#[tokio::test]
async fn an_embedded_store_writes_nothing_again_that_comes_too_late() {
    let directory = tempfile::tempdir().unwrap();
    let open = async |name: &str, takes| {
        EmbeddedStore::open_with_clock(directory.path().join(name), Slow::taking(takes)).await.unwrap()
    };
    expect_nothing_written(open("late.redb", RELEASED_TOMBSTONE).await).await;
    let soon = Deadline::after(Duration::from_secs(60));
    let in_time = open("in-time.redb", RELEASED_TOMBSTONE / 2).await;
    assert_eq!(in_time.renew(&grant(), soon).await.unwrap(), Renewed::Recreated);
}
