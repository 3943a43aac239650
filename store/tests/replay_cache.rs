//! What is particular to the cache of replays: what it answers by itself, for how long, and what it must not.
#![cfg(all(feature = "cache", feature = "memory", feature = "encrypt"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idempotency_store::record::{Record, Transition};
use idempotency_store::{
    Answer, Attempt, CachedStore, Claim, Claimed, Completed, Completion, Deadline, EncryptedStore, EncryptionKey,
    Erased, ErrorKind, Fingerprint, Key, KeyRing, ManualClock, MemoryStore, OnAbandoned, Owner, ReplayTtlError,
    Retention, Scanned, Seen, Store, StoreError, StoreTime, Terms, Transact,
};

const TTL: Duration = Duration::from_secs(10);

/// A memory store that counts what it is asked.
#[derive(Clone)]
struct Counted {
    inner: MemoryStore,
    asked: Arc<AtomicUsize>,
}

impl Transact for Counted {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        self.asked.fetch_add(1, Ordering::SeqCst);
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

/// A store, and the cache of one process in front of it.
struct Setup {
    behind: Counted,
    cached: CachedStore<Counted>,
    clock: Arc<ManualClock>,
}

impl Setup {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let inner = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
        let behind = Counted { inner, asked: Arc::default() };
        let cached = CachedStore::new(behind.clone(), TTL).unwrap().with_clock(Arc::<ManualClock>::clone(&clock));
        Self { behind, cached, clock }
    }

    fn asked(&self) -> usize {
        self.behind.asked.load(Ordering::SeqCst)
    }

    /// A key that is completed, and was replayed once.
    async fn replayed_once(&self) -> Completed {
        complete(&self.cached, 1, Completion::from(Answer::Kept("answer".into()))).await;
        replayed(&self.cached, 1).await
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

fn claim(key: u16, fingerprint: u8) -> Claim {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&key.to_be_bytes());
    let owner = Owner::random().unwrap();
    Claim {
        attempt: Attempt { key: Key::new(bytes), owner, fingerprint: Fingerprint::new([fingerprint; 32]) },
        terms: Terms::default(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    }
}

async fn complete(store: &impl Store, key: u16, completion: Completion) {
    let claimed = store.claim(&claim(key, 1), soon()).await.unwrap();
    let Claimed::Acquired { grant, .. } = claimed else { panic!("expected a grant, got {claimed:?}") };
    store.complete(&grant, &completion, soon()).await.unwrap();
}

async fn replayed(store: &impl Store, key: u16) -> Completed {
    match store.claim(&claim(key, 1), soon()).await.unwrap() {
        Claimed::Completed(completed) => completed,
        other => panic!("expected an answer, got {other:?}"),
    }
}

#[tokio::test]
async fn the_second_replay_asks_no_store_and_says_the_same() {
    let setup = Setup::new();
    let first = setup.replayed_once().await;
    let asked = setup.asked();
    for _ in 0..1_000 {
        assert_eq!(replayed(&setup.cached, 1).await, first);
    }
    assert_eq!((setup.asked() - asked, setup.cached.local_replays()), (0, 1_000));
    let again = replayed(&setup.cached, 1).await;
    assert_eq!(again.answer.as_bytes().as_ptr(), first.answer.as_bytes().as_ptr(), "it is shared, not copied");
}

#[tokio::test]
async fn another_request_is_told_a_mismatch_and_another_key_is_asked_for() {
    let setup = Setup::new();
    setup.replayed_once().await;
    let asked = setup.asked();
    assert_eq!(setup.cached.claim(&claim(1, 2), soon()).await.unwrap(), Claimed::Mismatch);
    assert_eq!(setup.asked(), asked);
    assert!(matches!(setup.cached.claim(&claim(2, 1), soon()).await.unwrap(), Claimed::Acquired { .. }));
    assert_eq!(setup.asked(), asked + 1);
}

#[tokio::test]
async fn what_is_not_completed_is_asked_for_each_time() {
    let setup = Setup::new();
    let first = claim(1, 1);
    assert!(matches!(setup.cached.claim(&first, soon()).await.unwrap(), Claimed::Acquired { .. }));
    for _ in 0..3 {
        assert!(matches!(setup.cached.claim(&claim(1, 1), soon()).await.unwrap(), Claimed::InFlight { .. }));
        assert_eq!(setup.cached.claim(&claim(1, 2), soon()).await.unwrap(), Claimed::Mismatch);
    }
    assert!(matches!(setup.cached.claim(&first, soon()).await.unwrap(), Claimed::Acquired { .. }));
    assert_eq!((setup.asked(), setup.cached.local_replays()), (8, 0));
}

#[tokio::test]
async fn after_the_ttl_the_store_is_asked_again() {
    let setup = Setup::new();
    setup.replayed_once().await;
    let asked = setup.asked();
    setup.clock.advance(TTL.checked_sub(Duration::from_micros(1)).unwrap());
    replayed(&setup.cached, 1).await;
    assert_eq!(setup.asked(), asked);
    setup.clock.advance(Duration::from_micros(1));
    replayed(&setup.cached, 1).await;
    assert_eq!(setup.asked(), asked + 1, "a replay from memory does not make it last longer");
}

#[tokio::test]
async fn an_answer_is_not_replayed_past_its_retention() {
    let setup = Setup::new();
    let retention = Retention::new(Duration::from_secs(60)).unwrap();
    let answer = Answer::Kept("short".into());
    complete(&setup.cached, 1, Completion { answer, retention: Some(retention) }).await;
    setup.clock.advance(Duration::from_secs(55));
    replayed(&setup.cached, 1).await;
    setup.clock.advance(Duration::from_secs(5));
    assert!(matches!(setup.cached.claim(&claim(1, 1), soon()).await.unwrap(), Claimed::Acquired { .. }));
}

#[tokio::test]
async fn an_erasure_elsewhere_is_outlived_by_the_ttl_and_no_longer() {
    let setup = Setup::new();
    let first = setup.replayed_once().await;
    let seen = Seen { fence: first.fence, since: None };
    let key = claim(1, 1).attempt.key;
    assert_eq!(setup.behind.erase(key, seen, soon()).await.unwrap(), Erased::Erased);
    assert_eq!(replayed(&setup.cached, 1).await, first, "the caveat");
    setup.clock.advance(TTL);
    assert!(matches!(setup.cached.claim(&claim(1, 1), soon()).await.unwrap(), Claimed::Acquired { .. }));
}

#[tokio::test]
async fn an_erasure_through_a_clone_counts_at_once() {
    let setup = Setup::new();
    let first = setup.replayed_once().await;
    let seen = Seen { fence: first.fence, since: None };
    let clone = setup.cached.clone();
    assert_eq!(clone.erase(claim(1, 1).attempt.key, seen, soon()).await.unwrap(), Erased::Erased);
    assert!(matches!(setup.cached.claim(&claim(1, 1), soon()).await.unwrap(), Claimed::Acquired { .. }));
}

#[tokio::test]
async fn what_is_kept_has_a_bound_in_bytes() {
    let setup = Setup::new();
    let capacity = NonZeroUsize::new(256 * 1024).unwrap();
    let cached = setup.cached.clone().capacity(capacity);
    let answer = Completion::from(Answer::Kept(vec![7; 4096].into()));
    for key in 0..1_000 {
        complete(&cached, key, answer.clone()).await;
        replayed(&cached, key).await;
    }
    for key in 0..1_000 {
        replayed(&cached, key).await;
    }
    assert!((1..=64).contains(&cached.local_replays()), "{} of 64 that fit", cached.local_replays());
    // One that is larger than the cache is replayed all the same.
    complete(&cached, 1_001, Completion::from(Answer::Kept(vec![7; 512 * 1024].into()))).await;
    let before = cached.local_replays();
    replayed(&cached, 1_001).await;
    replayed(&cached, 1_001).await;
    assert_eq!(cached.local_replays(), before);
}

#[tokio::test]
async fn a_claim_past_its_deadline_is_told_nothing() {
    let setup = Setup::new();
    setup.replayed_once().await;
    let error = setup.cached.claim(&claim(1, 1), Deadline::after(Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotApplied);
}

#[tokio::test]
async fn behind_the_encryption_what_is_kept_is_sealed() {
    let setup = Setup::new();
    let ring = KeyRing::new([EncryptionKey::random(1).unwrap()]).unwrap();
    let store = EncryptedStore::new(setup.cached.clone(), ring);
    complete(&store, 1, Completion::from(Answer::Kept("answer".into()))).await;
    assert_eq!(replayed(&store, 1).await.answer, Answer::Kept("answer".into()));
    let asked = setup.asked();
    assert_eq!(replayed(&store, 1).await.answer, Answer::Kept("answer".into()));
    let kept = replayed(&setup.cached, 1).await.answer;
    assert_eq!(setup.asked(), asked);
    assert!(!kept.as_bytes().windows(6).any(|window| window == b"answer"), "it is in the clear");
}

#[test]
fn a_ttl_is_a_millisecond_to_a_minute() {
    for refused in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(61), Duration::MAX] {
        assert_eq!(CachedStore::new(MemoryStore::new(), refused).err(), Some(ReplayTtlError(refused)));
    }
    for fine in [Duration::from_millis(1), Duration::from_secs(60)] {
        assert!(CachedStore::new(MemoryStore::new(), fine).is_ok());
    }
}

#[tokio::test]
async fn debug_shows_no_answer() {
    let setup = Setup::new();
    setup.replayed_once().await;
    assert!(!format!("{:?}", setup.cached).contains("answer"));
}
