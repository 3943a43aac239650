//! The memory store under several threads: one bound for all of its shards, kept exactly, and one order of keys.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use idempotency_store::record::{self, Record, Transition};
use idempotency_store::{
    Attempt, Claim, Claimed, Deadline, ErrorKind, Fingerprint, Key, ManualClock, MemoryStore, OnAbandoned, Owner,
    Query, Store, StoreTime, Terms, Transact,
};

const RETENTION: Duration = Duration::from_secs(3600);
const THREADS: u16 = 4;

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// Keys of neighbouring numbers lie far apart; those whose numbers differ by multiples of 64 lie together.
fn key(number: u16) -> Key {
    let [high, low] = number.to_be_bytes();
    let mut digest = [high; 32];
    digest[0] = low << 2;
    digest[1] = low;
    Key::new(digest)
}

fn claim(number: u16) -> Claim {
    Claim {
        attempt: Attempt { key: key(number), owner: Owner::random().unwrap(), fingerprint: Fingerprint::new([1; 32]) },
        terms: Terms::new(Duration::from_secs(30), RETENTION).unwrap(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    }
}

fn bounded(capacity: usize) -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (MemoryStore::bounded(NonZeroUsize::new(capacity).unwrap()).with_clock(Arc::<ManualClock>::clone(&clock)), clock)
}

/// The store answers at once, so any runtime will do.
fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Whether the key was granted; a refusal must be that of a full store.
fn is_granted(store: &MemoryStore, number: u16) -> bool {
    match now(store.claim(&claim(number), soon())) {
        Ok(Claimed::Acquired { .. }) => true,
        Ok(other) => panic!("expected a grant, got {other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotApplied);
            false
        }
    }
}

/// How many of these keys, each claimed once, all threads together are granted.
fn granted_at_once(store: &MemoryStore, keys: std::ops::Range<u16>) -> usize {
    let (granted, start) = (AtomicUsize::new(0), Barrier::new(usize::from(THREADS)));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (keys, granted, start) = (keys.clone(), &granted, &start);
            scope.spawn(move || {
                start.wait();
                let mine = keys.filter(|number| number % THREADS == thread);
                granted.fetch_add(mine.filter(|number| is_granted(store, *number)).count(), Ordering::Relaxed);
            });
        }
    });
    granted.into_inner()
}

#[test]
fn threads_are_granted_exactly_the_places_that_there_are() {
    let (store, _clock) = bounded(500);
    let done = AtomicBool::new(false);
    let (granted, most) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(store.len());
            }
            most
        });
        let granted = granted_at_once(&store, 0..2000);
        done.store(true, Ordering::Relaxed);
        (granted, watcher.join().unwrap())
    });
    let everything = Query { limit: NonZeroUsize::new(1000).unwrap(), ..Query::default() };
    let listed = now(store.list(&everything, soon())).unwrap().entries.len();
    assert_eq!((granted, store.len(), listed), (500, 500, 500));
    assert!(most <= 500, "at some time there were {most}");
}

#[test]
fn expired_records_make_room_for_exactly_as_many() {
    let (store, clock) = bounded(8);
    for round in 0..500 {
        // All of them in one shard, and the keys that are to take their places in others.
        let mut old = (0..8).map(|number| number * 64);
        assert!(old.all(|number| is_granted(&store, number)), "round {round}");
        clock.advance(RETENTION);
        assert_eq!(granted_at_once(&store, 1..9), 8, "round {round}: there was room for all");
        assert_eq!((granted_at_once(&store, 9..33), store.len()), (0, 8), "round {round}");
        clock.advance(RETENTION);
    }
}

#[test]
fn an_expired_record_of_any_shard_makes_room() {
    let (store, clock) = bounded(1);
    for number in 0..256 {
        // The one before lies in another shard, and nobody asks for it again.
        assert!(is_granted(&store, number), "key {number}");
        assert!(!is_granted(&store, number + 1), "key {number}: a live record was evicted");
        assert_eq!(store.len(), 1);
        clock.advance(RETENTION);
    }
}

#[test]
fn readiness_finds_what_has_expired_in_any_shard() {
    for number in 0..256 {
        let (store, clock) = bounded(1);
        assert!(is_granted(&store, number));
        assert_eq!(now(Store::ping(&store, soon())).unwrap_err().kind(), ErrorKind::NotApplied);
        clock.advance(RETENTION);
        now(Store::ping(&store, soon())).unwrap();
        assert!(store.is_empty());
    }
}

#[test]
fn what_writes_nothing_takes_no_place_and_needs_none() {
    let (store, _clock) = bounded(2);
    assert_eq!(now(store.inspect(key(1), soon())).unwrap(), None);
    assert_eq!(store.len(), 0);
    assert!(is_granted(&store, 2) && is_granted(&store, 3));
    assert_eq!(now(store.inspect(key(1), soon())).unwrap(), None);
    assert_eq!(store.len(), 2);
}

#[test]
fn a_transition_that_panics_takes_no_place() {
    let (store, _clock) = bounded(1);
    let panics = |_: Option<&Record>, _: StoreTime| -> Transition<()> { panic!("on purpose") };
    let verb = AssertUnwindSafe(|| now(store.transact(key(1), soon(), panics)));
    assert!(catch_unwind(verb).is_err());
    assert_eq!(store.len(), 0);
    let attempt = claim(1);
    now(store.transact(key(1), soon(), move |current, now| record::claim(current, now, &attempt))).unwrap();
    assert_eq!(store.len(), 1);
}

#[test]
fn a_listing_is_in_the_order_of_the_keys() {
    let (store, _clock) = bounded(1000);
    for number in (0..1000).rev() {
        assert!(is_granted(&store, number));
    }
    let mut query = Query { limit: NonZeroUsize::new(7).unwrap(), ..Query::default() };
    let mut listed = Vec::new();
    loop {
        let page = now(store.list(&query, soon())).unwrap();
        listed.extend(page.entries.iter().map(|entry| entry.key));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    let mut sorted: Vec<Key> = (0..1000).map(key).collect();
    sorted.sort_unstable();
    assert!(listed == sorted, "a key is missing, listed twice, or out of order");
}
