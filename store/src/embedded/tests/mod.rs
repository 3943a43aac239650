//! What only a disk that obeys can show: durability, group commit, failures, deadlines.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod disk;

use std::error::Error;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};

use self::disk::{Disk, Mode};
use super::handle::{Handle, QUEUE};
use super::open::Origin;
use super::{Closed, EmbeddedStore};
use crate::record::{self, Record};
use crate::{
    Attempt, Claim, Claimed, Deadline, DeadlinePassed, ErrorKind, Fence, Fingerprint, Key, ManualClock, OnAbandoned,
    Owner, Store, StoreError, Terms, Transact,
};

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn claim(key: u16, owner: u8) -> Claim {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&key.to_be_bytes());
    Claim {
        attempt: Attempt {
            key: Key::new(digest),
            owner: Owner::new([owner; 16]),
            fingerprint: Fingerprint::new([1; 32]),
        },
        terms: Terms::new(Duration::from_secs(30), Duration::from_secs(3600)).unwrap(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    }
}

async fn store_on(disk: &Disk) -> EmbeddedStore {
    let clock = Arc::new(ManualClock::new());
    EmbeddedStore(Arc::new(Handle::start(disk.clone(), |_| clock).await.unwrap()))
}

async fn fence_of(store: &EmbeddedStore, claim: &Claim) -> Fence {
    match store.claim(claim, soon()).await.unwrap() {
        Claimed::Acquired { grant, .. } => grant.fence,
        other => panic!("expected a grant, got {other:?}"),
    }
}

async fn is_in_flight(store: &EmbeddedStore, claim: &Claim) -> bool {
    matches!(store.claim(claim, soon()).await.unwrap(), Claimed::InFlight { .. })
}

type Claiming = JoinHandle<Result<Claimed, StoreError>>;

fn spawn_claim(store: &EmbeddedStore, claim: Claim) -> Claiming {
    let store = store.clone();
    tokio::spawn(async move { store.claim(&claim, soon()).await })
}

/// Lets the tasks run until this many verbs wait in the queue.
async fn wait_until_queued(store: &EmbeddedStore, verbs: usize) {
    while store.0.queued() < verbs {
        yield_now().await;
    }
}

/// A store whose thread is stuck in the commit of a claim, and that claim.
async fn stalled() -> (Disk, EmbeddedStore, Claiming) {
    let disk = Disk::new();
    let store = store_on(&disk).await;
    let first = stall(&disk, &store).await;
    (disk, store, first)
}

async fn stall(disk: &Disk, store: &EmbeddedStore) -> Claiming {
    disk.set(Mode::Stalls);
    let first = spawn_claim(store, claim(0, 1));
    yield_now().await;
    disk.wait_until_stalled();
    first
}

#[tokio::test]
async fn a_claim_is_answered_only_when_it_is_on_the_disk() {
    let (disk, _store, first) = stalled().await;
    // Many turns of the runtime: the answer does not come before the sync, however long one waits.
    for _ in 0..1000 {
        yield_now().await;
    }
    assert!(!first.is_finished());
    assert!(store_on(&disk.after_power_loss()).await.count(soon()).await.unwrap() == 0);
    disk.set(Mode::Works);
    assert!(matches!(first.await.unwrap().unwrap(), Claimed::Acquired { .. }));
}

#[tokio::test]
async fn verbs_that_wait_share_one_commit() {
    let (disk, store, first) = stalled().await;
    let before = store.stats();
    let waiting: Vec<_> = (1..=64).map(|key| spawn_claim(&store, claim(key, 1))).collect();
    wait_until_queued(&store, 64).await;
    disk.set(Mode::Works);
    for claimed in std::iter::once(first).chain(waiting) {
        assert!(matches!(claimed.await.unwrap().unwrap(), Claimed::Acquired { .. }));
    }
    let after = store.stats();
    // The claim that was under way, and one commit for all that waited behind it.
    assert_eq!(after.commits - before.commits, 2);
    assert_eq!(after.writes - before.writes, 65);
}

#[tokio::test]
async fn a_verb_that_comes_while_others_run_shares_their_commit() {
    let store = store_on(&Disk::new()).await;
    let before = store.stats();
    let (runs, is_running) = oneshot::channel();
    let (go_on, wait) = mpsc::channel();
    let slow = tokio::spawn({
        let (store, attempt) = (store.clone(), claim(0, 1));
        let transition = move |current: Option<&Record>, now| {
            runs.send(()).unwrap();
            wait.recv().unwrap();
            record::claim(current, now, &attempt)
        };
        async move { store.transact(attempt.attempt.key, soon(), transition).await }
    });
    is_running.await.unwrap();
    let late: Vec<_> = (1..=3).map(|key| spawn_claim(&store, claim(key, 1))).collect();
    wait_until_queued(&store, 3).await;
    go_on.send(()).unwrap();
    for claimed in std::iter::once(slow).chain(late) {
        assert!(matches!(claimed.await.unwrap().unwrap(), Claimed::Acquired { .. }));
    }
    let after = store.stats();
    assert_eq!((after.commits - before.commits, after.writes - before.writes), (1, 4));
}

#[tokio::test]
async fn what_only_reads_is_not_committed() {
    let disk = Disk::new();
    let store = store_on(&disk).await;
    fence_of(&store, &claim(1, 1)).await;
    let before = store.stats();
    assert!(is_in_flight(&store, &claim(1, 2)).await);
    Store::ping(&store, soon()).await.unwrap();
    store.count(soon()).await.unwrap();
    let after = store.stats();
    assert_eq!((after.commits, after.writes, after.verbs), (before.commits, before.writes, before.verbs + 3));
}

#[tokio::test]
async fn every_grant_survives_the_loss_of_power() {
    let disk = Disk::new();
    let store = store_on(&disk).await;
    for key in 0..40 {
        let fence = fence_of(&store, &claim(key, 1)).await;
        let left = store_on(&disk.after_power_loss()).await;
        assert_eq!(fence_of(&left, &claim(key, 1)).await, fence);
        assert!(is_in_flight(&left, &claim(key, 2)).await);
    }
}

/// A grant is whole, or it is not there, wherever in a commit the power fails; those that were answered are there.
#[tokio::test]
async fn a_commit_that_is_torn_by_the_loss_of_power_is_there_or_not() {
    for disk in [Disk::new(), Disk::large()] {
        let store = store_on(&disk).await;
        for key in 0..30 {
            fence_of(&store, &claim(100 + key, 1)).await;
        }
        // The pages that the commits before have freed are written over.
        let first = stall(&disk, &store).await;
        let (mut there, mut not) = (0, 0);
        for seed in 0..256 {
            let left = store_on(&disk.torn(seed)).await;
            for key in 0..30 {
                assert!(is_in_flight(&left, &claim(100 + key, 2)).await, "seed {seed}: a grant was lost");
            }
            if is_in_flight(&left, &claim(0, 2)).await {
                there += 1;
            } else {
                not += 1;
            }
            assert!(is_in_flight(&left, &claim(0, 3)).await, "seed {seed}");
        }
        // Small: one sync decides, so by chance it is all there. Large: before the second one it is not there yet.
        assert!(not > 0 && (there > 0 || disk.is_large()), "{there} were there, {not} were not");
        disk.set(Mode::Works);
        first.await.unwrap().unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_large_file_is_not_read_through_after_a_crash() {
    for (disk, is_large) in [(Disk::new(), false), (Disk::large(), true)] {
        let store = store_on(&disk).await;
        fence_of(&store, &claim(1, 1)).await;
        let crashed = disk.after_power_loss();
        assert!(is_in_flight(&store_on(&crashed).await, &claim(1, 2)).await);
        assert_eq!(crashed.was_read_through(), !is_large);
        // A file that was closed need not be read through, whatever its length.
        store.close().await;
        let closed = disk.after_power_loss();
        assert!(is_in_flight(&store_on(&closed).await, &claim(1, 2)).await);
        assert!(!closed.was_read_through());
    }
}

#[tokio::test]
async fn a_failed_commit_is_unknown_and_the_store_heals() {
    // A commit to a small file syncs once, one to a large file twice; here it grows, for which it syncs before.
    let failures = [
        (Disk::new(), Mode::FailsToSync(0)),
        (Disk::new(), Mode::FailsToWrite),
        (Disk::large(), Mode::FailsToSync(1)),
        (Disk::large(), Mode::FailsToSync(2)),
        (Disk::large(), Mode::FailsToWrite),
    ];
    for (disk, mode) in failures {
        let store = store_on(&disk).await;
        let known = fence_of(&store, &claim(1, 1)).await;

        disk.set(mode);
        let error = store.claim(&claim(2, 1), soon()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{} {mode:?}: {:?}", disk.is_large(), error.source());
        // As long as the disk fails nothing is granted, and nobody is told that it was.
        disk.set(Mode::FailsToWrite);
        let error = store.claim(&claim(3, 1), soon()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotApplied, "{mode:?}: {:?}", error.source());
        assert!(Store::ping(&store, soon()).await.is_err());

        disk.set(Mode::Works);
        assert_eq!(fence_of(&store, &claim(1, 1)).await, known);
        fence_of(&store, &claim(2, 1)).await;
        assert!(is_in_flight(&store, &claim(2, 2)).await);
        fence_of(&store, &claim(3, 2)).await;
        // What was granted over the healed disk is on it.
        let left = store_on(&disk.after_power_loss()).await;
        assert!(is_in_flight(&left, &claim(2, 2)).await);
    }
}

#[tokio::test]
async fn a_verb_that_fails_without_being_applied_leaves_nothing() {
    let disk = Disk::new();
    let store = store_on(&disk).await;
    for key in 0..20 {
        disk.set(Mode::FailsToSync(0));
        let error = store.claim(&claim(key, 1), soon()).await.unwrap_err();
        disk.set(Mode::Works);
        match error.kind() {
            ErrorKind::NotApplied => assert!(!is_in_flight(&store, &claim(key, 2)).await, "it was applied"),
            _ => drop(store.claim(&claim(key, 2), soon()).await.unwrap()),
        }
    }
}

#[tokio::test]
async fn what_is_read_after_a_failure_is_durable() {
    let mut outcomes = Vec::new();
    for (new, syncs) in [(Disk::new as fn() -> Disk, 0), (Disk::large, 0), (Disk::large, 1)] {
        let disk = new();
        let store = store_on(&disk).await;
        disk.set(Mode::FailsToSync(syncs));
        let error = store.claim(&claim(1, 1), soon()).await.unwrap_err();
        disk.set(Mode::Works);
        // The system may show the claim although the disk has not got it. Whoever the store says has the key, has it.
        let holder = if is_in_flight(&store, &claim(1, 2)).await { 1 } else { 2 };
        outcomes.push((error.kind(), holder));
        let left = store_on(&disk.after_power_loss()).await;
        assert!(is_in_flight(&left, &claim(1, 3)).await);
        fence_of(&left, &claim(1, holder)).await;
    }
    // Both are met on the way: a claim that did not come to be, and one that shows without being durable.
    assert!(outcomes.contains(&(ErrorKind::Unknown, 2)) && outcomes.contains(&(ErrorKind::Unknown, 1)), "{outcomes:?}");
}

#[tokio::test]
async fn a_panic_of_the_database_costs_one_answer() {
    let disk = Disk::new();
    let store = store_on(&disk).await;
    let known = fence_of(&store, &claim(1, 1)).await;
    let opened = disk.opened();
    disk.set(Mode::Panics);
    let error = store.claim(&claim(2, 1), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(fence_of(&store, &claim(1, 1)).await, known);
    assert_eq!(disk.opened(), opened + 1);
    fence_of(&store, &claim(2, 1)).await;
}

#[tokio::test]
async fn a_verb_past_its_deadline_is_refused_before_it_is_queued() {
    let store = store_on(&Disk::new()).await;
    let before = store.stats();
    let error = store.claim(&claim(1, 1), Deadline::after(Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotApplied);
    assert!(error.source().unwrap().is::<DeadlinePassed>());
    assert_eq!(store.stats(), before);
}

#[tokio::test]
async fn a_verb_whose_deadline_passes_in_the_queue_is_unknown_and_still_carried_out() {
    let (disk, store, first) = stalled().await;
    let error = store.claim(&claim(1, 1), Deadline::after(Duration::from_millis(5))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert!(error.source().unwrap().is::<DeadlinePassed>());
    disk.set(Mode::Works);
    first.await.unwrap().unwrap();
    assert!(is_in_flight(&store, &claim(1, 2)).await);
    fence_of(&store, &claim(1, 1)).await;
}

#[tokio::test]
async fn a_verb_that_finds_no_place_in_the_queue_is_not_applied() {
    let (disk, store, first) = stalled().await;
    let keys = 1..=u16::try_from(QUEUE).unwrap();
    let waiting: Vec<_> = keys.map(|key| spawn_claim(&store, claim(key, 1))).collect();
    wait_until_queued(&store, QUEUE).await;
    let error = store.claim(&claim(9999, 1), Deadline::after(Duration::from_millis(5))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotApplied);
    disk.set(Mode::Works);
    for claimed in std::iter::once(first).chain(waiting) {
        claimed.await.unwrap().unwrap();
    }
    fence_of(&store, &claim(9999, 2)).await;
}

#[tokio::test]
async fn a_dropped_verb_is_still_carried_out() {
    let (disk, store, first) = stalled().await;
    let dropped = spawn_claim(&store, claim(1, 1));
    wait_until_queued(&store, 1).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    disk.set(Mode::Works);
    first.await.unwrap().unwrap();
    assert!(is_in_flight(&store, &claim(1, 2)).await);
}

#[tokio::test]
async fn closing_carries_out_what_is_queued_and_refuses_what_comes_later() {
    let (disk, store, first) = stalled().await;
    let queued = spawn_claim(&store, claim(1, 1));
    wait_until_queued(&store, 1).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    while !store.0.is_closing() {
        yield_now().await;
    }
    let error = store.claim(&claim(2, 1), soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotApplied);
    assert!(error.source().unwrap().is::<Closed>());
    assert!(!closing.is_finished());
    disk.set(Mode::Works);
    closing.await.unwrap();
    store.close().await;
    for claimed in [first, queued] {
        assert!(matches!(claimed.await.unwrap().unwrap(), Claimed::Acquired { .. }));
    }
    assert_eq!(store_on(&disk).await.count(soon()).await.unwrap(), 2);
}
