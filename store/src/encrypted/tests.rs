//! What an encrypted store does with records that it cannot read, on a memory store whose records the test can reach.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::record::State;
use crate::{
    Answer, Attempt, Checkpoint, Claim, Claimed, Deadline, EncryptedStore, EncryptionKey, Entry, ErrorKind,
    Fingerprint, Grant, Key, KeyRing, Loss, ManualClock, MemoryStore, OnAbandoned, Owner, Query, Reason, Recorded,
    Renewed, Resolution, Resolved, SealError, Store, StoreError, Terms,
};

const KEY: Key = Key::new([1; 32]);
const LEASE: Duration = Duration::from_secs(30);

/// One store, and the same behind several rings.
struct Place {
    plain: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        Self { plain: MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock)), clock }
    }

    fn behind(&self, ids: &[u8]) -> EncryptedStore<MemoryStore> {
        let keys = ids.iter().map(|id| EncryptionKey::new(*id, [*id; 32]).unwrap());
        EncryptedStore::new(self.plain.clone(), KeyRing::new(keys).unwrap())
    }

    /// What stands at a key, as it is stored.
    async fn record(&self, key: Key) -> Entry {
        self.plain.inspect(key, soon()).await.unwrap().unwrap()
    }

    /// Leaves a key whose owner is gone, with a checkpoint that `store` has sealed.
    async fn abandoned_by(&self, store: &EncryptedStore<MemoryStore>) -> Grant {
        let grant = acquire(store, KEY).await;
        store.checkpoint(&grant, &Checkpoint::new("half way").unwrap(), soon()).await.unwrap();
        self.clock.advance(LEASE);
        grant
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn claim(key: Key) -> Claim {
    let attempt = Attempt { key, owner: Owner::random().unwrap(), fingerprint: Fingerprint::new([7; 32]) };
    let terms = Terms::new(LEASE, Duration::from_secs(3600)).unwrap();
    Claim { attempt, terms, high_water: None, on_abandoned: OnAbandoned::Refuse }
}

fn taking_over() -> Claim {
    Claim { on_abandoned: OnAbandoned::Reexecute { max_attempts: NonZeroU32::MAX }, ..claim(KEY) }
}

async fn acquire(store: &impl Store, key: Key) -> Grant {
    let Claimed::Acquired { grant, .. } = store.claim(&claim(key), soon()).await.unwrap() else {
        panic!("not acquired")
    };
    grant
}

async fn complete(store: &impl Store, grant: &Grant, answer: &Answer) {
    assert_eq!(store.complete(grant, &answer.clone().into(), soon()).await.unwrap(), Recorded::Recorded);
}

fn answer() -> Answer {
    Answer::Kept("an answer".into())
}

/// The answer that a new arrival gets.
async fn replayed(store: &impl Store, key: Key) -> Result<Answer, StoreError> {
    match store.claim(&claim(key), soon()).await? {
        Claimed::Completed(completed) => Ok(completed.answer),
        other => panic!("not completed: {other:?}"),
    }
}

/// Fails unless the reply is that the record cannot be used, for this reason.
#[track_caller]
fn assert_corrupt<T: std::fmt::Debug>(reply: Result<T, StoreError>, why: SealError) {
    let error = reply.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.source().and_then(|source| source.downcast_ref::<SealError>()), Some(&why));
}

#[tokio::test]
async fn a_rotation_loses_nothing() {
    let place = Place::new();
    let answer_of = |text: &'static str| Answer::Kept(text.into());
    let (old, both) = (place.behind(&[1]), place.behind(&[1, 2]));
    let (rotated, new) = (place.behind(&[2, 1]), place.behind(&[2]));
    for (number, store) in (1..).zip([&old, &both, &rotated, &new]) {
        let grant = acquire(store, Key::new([number; 32])).await;
        complete(store, &grant, &answer_of(["0", "1", "2", "3", "4"][usize::from(number)])).await;
    }
    for store in [&both, &rotated] {
        for (number, text) in [(1, "1"), (2, "2"), (3, "3"), (4, "4")] {
            assert_eq!(replayed(store, Key::new([number; 32])).await.unwrap(), answer_of(text));
        }
    }
    for number in [1, 2] {
        assert_corrupt(replayed(&new, Key::new([number; 32])).await, SealError::UnknownKey(1));
        assert_corrupt(replayed(&old, Key::new([number + 2; 32])).await, SealError::UnknownKey(2));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_open_is_told_to_every_verb_and_stays() {
    let place = Place::new();
    let (old, new) = (place.behind(&[1]), place.behind(&[2]));
    let grant = acquire(&old, KEY).await;
    complete(&old, &grant, &answer()).await;
    let before = place.record(KEY).await;
    let late = Grant { attempt: claim(KEY).attempt, ..grant };
    let why = SealError::UnknownKey(1);
    for on_abandoned in [claim(KEY), taking_over()] {
        assert_corrupt(new.claim(&on_abandoned, soon()).await, why);
    }
    assert_corrupt(new.inspect(KEY, soon()).await, why);
    assert_corrupt(new.renew(&late, soon()).await, why);
    assert_corrupt(new.complete(&late, &answer().into(), soon()).await, why);
    assert_corrupt(new.checkpoint(&late, &Checkpoint::new("late").unwrap(), soon()).await, why);
    assert_corrupt(new.release(&late.attempt, Some(late.fence), soon()).await, why);
    assert_corrupt(new.abandon(&late, Reason::Panic, soon()).await, why);
    assert_eq!(place.record(KEY).await, before);
    // What needs no answer is done.
    assert_eq!(new.list(&Query::default(), soon()).await.unwrap().entries[0].answer_len, Some("an answer".len()));
    assert_eq!(replayed(&old, KEY).await.unwrap(), answer());
}

#[tokio::test]
async fn a_superseded_owner_gets_the_winners_answer_opened() {
    let place = Place::new();
    let store = place.behind(&[1]);
    let loser = acquire(&store, KEY).await;
    place.clock.advance(LEASE);
    let Claimed::Acquired { grant: winner, .. } = store.claim(&taking_over(), soon()).await.unwrap() else { panic!() };
    complete(&store, &winner, &answer()).await;
    let Recorded::Lost(Loss::Completed(stands)) =
        store.complete(&loser, &Answer::Kept("late".into()).into(), soon()).await.unwrap()
    else {
        panic!("a superseded owner may not complete")
    };
    assert_eq!((stands.answer, stands.fence), (answer(), winner.fence));
    assert!(matches!(store.renew(&loser, soon()).await.unwrap(), Renewed::Lost(Loss::Completed(_))));
}

#[tokio::test]
async fn what_is_resolved_is_sealed_for_the_fence_that_was_seen() {
    let place = Place::new();
    let store = place.behind(&[1]);
    let grant = place.abandoned_by(&store).await;
    let Claimed::Indeterminate(known) = store.claim(&claim(KEY), soon()).await.unwrap() else { panic!() };
    assert_eq!(known.checkpoint, Some(Checkpoint::new("half way").unwrap()));
    let resolution = Resolution::Completed(answer());
    assert_eq!(store.resolve(KEY, known.seen(), &resolution, soon()).await.unwrap(), Resolved::Resolved);
    assert_eq!(replayed(&store, KEY).await.unwrap(), answer());
    assert_eq!(place.record(KEY).await.fence(), grant.fence);
}

/// Of every verb that may read it: a take-over, which would write, included.
#[tokio::test]
async fn a_checkpoint_that_does_not_open_is_not_taken_over() {
    let place = Place::new();
    let (old, new) = (place.behind(&[1]), place.behind(&[2]));
    place.abandoned_by(&old).await;
    let before = place.record(KEY).await;
    for claim in [claim(KEY), taking_over()] {
        assert_corrupt(new.claim(&claim, soon()).await, SealError::UnknownKey(1));
    }
    assert_corrupt(new.inspect(KEY, soon()).await, SealError::UnknownKey(1));
    assert_eq!(place.record(KEY).await.record, before.record, "fence, attempts and checkpoint are as they were");
    let both = place.behind(&[2, 1]);
    let Claimed::Acquired { grant, checkpoint } = both.claim(&taking_over(), soon()).await.unwrap() else { panic!() };
    assert_eq!((checkpoint, grant.number), (Some(Checkpoint::new("half way").unwrap()), 2));
}

/// Somebody else took over and left another checkpoint, between the look and the claim.
#[tokio::test]
async fn a_take_over_that_turns_out_unreadable_is_given_back() {
    let place = Place::new();
    let (old, new) = (place.behind(&[1]), place.behind(&[2]));
    place.abandoned_by(&old).await;
    let claim = taking_over();
    let granted = place.plain.claim(&claim, soon()).await.unwrap();
    assert!(matches!(granted, Claimed::Acquired { .. }));
    assert_corrupt(new.open_claimed(&claim, granted, soon()).await, SealError::UnknownKey(1));
    let record = place.record(KEY).await.record;
    assert!(
        matches!(record.state, State::Indeterminate { reason: Reason::TakeoverReleased, checkpoint: Some(_) }),
        "{record:?}"
    );
}

/// Its own note, that it cannot read any more: it may have been at work, so the key is not free.
#[tokio::test]
async fn a_first_attempt_is_not_given_back() {
    let place = Place::new();
    let (old, new) = (place.behind(&[1]), place.behind(&[2]));
    let grant = acquire(&old, KEY).await;
    old.checkpoint(&grant, &Checkpoint::new("half way").unwrap(), soon()).await.unwrap();
    let again = Claim { attempt: grant.attempt, ..claim(KEY) };
    assert_corrupt(new.claim(&again, soon()).await, SealError::UnknownKey(1));
    assert!(matches!(place.record(KEY).await.record.state, State::InFlight { checkpoint: Some(_) }));
}

/// Puts the stored answer of one key into the record of another, as whoever can write to the store might.
#[tokio::test]
async fn s56_an_answer_that_was_moved_to_another_key_is_refused() {
    let place = Place::new();
    let store = place.behind(&[1]);
    let (theirs, ours) = (acquire(&store, KEY).await, acquire(&store, Key::new([2; 32])).await);
    complete(&store, &theirs, &answer()).await;
    let State::Completed(sealed) = place.record(KEY).await.record.state else { panic!("not completed") };
    complete(&place.plain, &ours, &sealed).await;
    let before = place.record(ours.attempt.key).await;
    assert_corrupt(replayed(&store, ours.attempt.key).await, SealError::NotAuthentic);
    assert_eq!(place.record(ours.attempt.key).await.record, before.record);
    assert_eq!(replayed(&store, KEY).await.unwrap(), answer());
}

/// Not into another run's record of the same key, and not as something else.
#[tokio::test]
async fn an_answer_of_another_run_is_refused() {
    let place = Place::new();
    let store = place.behind(&[1]);
    let first = place.abandoned_by(&store).await;
    let State::InFlight { checkpoint: Some(note) } = place.record(KEY).await.record.state else { panic!("no note") };
    let sealed = store.seal_answer(&KEY, first.fence, &answer()).unwrap();
    let second = store.claim(&taking_over(), soon()).await.unwrap();
    let Claimed::Acquired { grant, .. } = second else { panic!("not taken over") };
    complete(&place.plain, &grant, &sealed).await;
    assert_corrupt(replayed(&store, KEY).await, SealError::NotAuthentic);

    let other = acquire(&store, Key::new([2; 32])).await;
    complete(&place.plain, &other, &Answer::Kept(note.as_bytes().clone())).await;
    assert_corrupt(replayed(&store, other.attempt.key).await, SealError::NotAuthentic);
}

#[tokio::test]
async fn plain_values_are_refused_unless_they_are_accepted() {
    let place = Place::new();
    let grant = acquire(&place.plain, KEY).await;
    complete(&place.plain, &grant, &answer()).await;
    let strict = place.behind(&[1]);
    assert_corrupt(replayed(&strict, KEY).await, SealError::NotSealed);
    let lenient = place.behind(&[1]).accept_plaintext(true);
    assert_eq!(replayed(&lenient, KEY).await.unwrap(), answer());

    // What is sealed and does not open is not plain either.
    let sealed = acquire(&lenient, Key::new([2; 32])).await;
    complete(&lenient, &sealed, &answer()).await;
    assert_eq!(replayed(&strict, sealed.attempt.key).await.unwrap(), answer());
    let other = place.behind(&[2]).accept_plaintext(true);
    assert_corrupt(replayed(&other, sealed.attempt.key).await, SealError::UnknownKey(1));
}

#[test]
fn debug_shows_neither_keys_nor_values() {
    let store = Place::new().behind(&[1, 2]);
    let shown = format!("{store:?}");
    assert_eq!(shown, "EncryptedStore { ring: KeyRing { primary: 1, others: [2] }, accepts_plaintext: false, .. }");
}
