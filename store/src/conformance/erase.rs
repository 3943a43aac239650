//! Laws of [`Store::erase`](crate::Store::erase): an operator's way to let a key run again.

use super::Fixture;
use super::case::{Case, LEASE, SLACK, answer, forgeries, refuse};
use crate::record::{RELEASED_TOMBSTONE, State};
use crate::{Erased, Fence, Fingerprint, Grant, Loss, Owner, Recorded, Released, Renewed, Standing};

/// Completed, erase: the answer is gone, what its owner sends late writes nothing, and the next request runs.
pub async fn erase_forgets_the_answer_and_blocks_a_late_complete<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    assert_eq!(case.erase(grant.fence).await, Erased::Erased);
    is_forgotten(&case, &grant).await;
}

/// Lapsed, erase: the same.
pub async fn erase_forgets_a_lapsed_key<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.note(&grant, "half way").await;
    case.lapse().await;
    assert_eq!(case.erase(grant.fence).await, Erased::Erased);
    is_forgotten(&case, &grant).await;
}

/// Marked indeterminate, erase: the same.
pub async fn erase_forgets_an_abandoned_key<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.note(&grant, "half way").await;
    case.abandon(&grant).await;
    assert_eq!(case.erase(grant.fence).await, Erased::Erased);
    is_forgotten(&case, &grant).await;
}

/// Released, erase: the same. Not even who it was stays.
pub async fn erase_forgets_a_released_key<F: Fixture>() {
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(case.erase(grant.fence).await, Erased::Erased);
    is_forgotten(&case, &grant).await;
}

async fn is_forgotten<F: Fixture>(case: &Case<F>, old: &Grant) {
    let entry = case.inspect().await.expect("a tombstone stays for a minute");
    assert_eq!((entry.standing(), entry.fence()), (Standing::Released, old.fence), "the fence stays, for the next one");
    let record = entry.record;
    assert_eq!((record.state, record.owner), (State::Released, Owner::NOBODY), "the answer and its owner go");
    assert_eq!(record.fingerprint, Fingerprint::new([0; 32]), "what was asked goes");
    assert_eq!(case.complete(old, "late").await, Recorded::Lost(Loss::Released), "a late answer must not come back");
    assert_eq!(case.renew(old).await, Renewed::Lost(Loss::Released));
    assert_eq!(case.release(old).await, Released::Lost(Loss::Released));
    let (next, noted) = case.granted_with_checkpoint(&refuse(case.other_request())).await;
    assert!(next.fence > old.fence, "fences grow over an erasure: {:?} after {:?}", next.fence, old.fence);
    assert_eq!((next.number, noted), (1, None), "an erased key begins anew, for whatever request");
    let late = case.complete(old, "later").await;
    assert_eq!(late, Recorded::Lost(Loss::Mismatch), "the key is another request's by now");
    case.assert_holds(&next, "after what the erased attempt sent late").await;
}

/// In flight, erase: left alone, and the time left is told.
pub async fn erase_leaves_a_key_in_flight_alone<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    match case.erase(grant.fence).await {
        Erased::InFlight { remaining } => {
            assert!(remaining <= LEASE && remaining > LEASE - SLACK, "of a fresh lease {remaining:?} were left");
        }
        other => panic!("a key in flight must not be erased, but the store answered {other:?}"),
    }
    case.assert_holds(&grant, "somebody tried to erase it").await;
    assert_eq!(case.complete(&grant, "answer").await, Recorded::Recorded);
    assert_eq!(case.replayed().await.answer, answer("answer"));
}

/// Another fence than the one that stands: conflict, in every state. Somebody has been there since it was looked at.
pub async fn erase_needs_the_fence_that_was_seen<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    conflicts(&case, &grant).await;
    assert_eq!(case.replayed().await.answer, answer("answer"));
    let (case, grant) = Case::<F>::abandoned().await;
    conflicts(&case, &grant).await;
    case.assert_indeterminate(&grant, "after conflicts").await;
    let (case, grant) = Case::<F>::started().await;
    conflicts(&case, &grant).await;
    case.assert_holds(&grant, "after conflicts").await;
    let (case, old, new) = Case::<F>::taken_over().await;
    case.lapse().await;
    assert_eq!(case.erase(old.fence).await, Erased::Conflict, "the key was taken over since");
    assert_eq!(case.complete(&new, "new").await, Recorded::Recorded);
}

async fn conflicts<F: Fixture>(case: &Case<F>, grant: &Grant) {
    for (what, forged) in forgeries(grant).into_iter().skip(1) {
        assert_eq!(case.erase(forged.fence).await, Erased::Conflict, "{what}");
    }
}

/// Erased, erase: erased, and the minute does not begin again. Then, and for a key that nobody used: absent.
pub async fn erasing_again_is_erased<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    assert_eq!(case.erase(grant.fence).await, Erased::Erased);
    case.advance(RELEASED_TOMBSTONE - SLACK).await;
    assert_eq!(case.erase(grant.fence).await, Erased::Erased, "erasing is idempotent");
    case.advance(SLACK).await;
    assert_eq!(case.erase(grant.fence).await, Erased::Absent, "a tombstone lasts a minute");
    assert_eq!(case.inspect().await, None);
    let next = case.acquire(&case.attempt()).await;
    assert!(next.fence > grant.fence, "fences grow over an erasure");
    let case = Case::<F>::open().await;
    assert_eq!(case.erase(Fence::new(1)).await, Erased::Absent);
    case.acquire(&case.attempt()).await;
}

/// An erasure that was sent for one answer does not take the next one.
pub async fn a_late_erasure_takes_no_other_answer<F: Fixture>() {
    let (case, old) = Case::<F>::completed().await;
    assert_eq!(case.erase(old.fence).await, Erased::Erased);
    let next = case.acquire(&case.attempt()).await;
    assert_eq!(case.complete(&next, "next").await, Recorded::Recorded);
    assert_eq!(case.erase(old.fence).await, Erased::Conflict);
    assert_eq!(case.replayed().await.answer, answer("next"));
}

/// Seen lapsed, then completed by the owner: the answer came after the look, and is not erased by what was decided then.
pub async fn erase_of_a_key_that_was_completed_since_conflicts<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    let seen = case.unknown().await.seen();
    assert_eq!(case.complete(&grant, "late").await, Recorded::Recorded);
    assert_eq!(case.erase(seen).await, Erased::Conflict);
    assert_eq!(case.replayed().await.answer, answer("late"));
}
