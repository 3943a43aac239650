//! Laws of what a claim is told of a key that was used before: mismatch, replay, expiry.

use super::Fixture;
use super::case::{Case, RETENTION, SLACK, answer, reexecute, refuse};
use crate::{Answer, Attempt, Claimed, Recorded};

/// In flight, claim with another fingerprint: mismatch, whoever asks.
pub async fn mismatch_in_flight<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    assert_mismatch(&case).await;
    let same_owner = Attempt { owner: grant.attempt.owner, ..case.other_request() };
    assert_eq!(case.claim(&refuse(same_owner)).await, Claimed::Mismatch, "the owner may not change its request");
    case.assert_holds(&grant, "a mismatch changes nothing").await;
}

/// Lapsed, claim with another fingerprint: mismatch, under both policies.
pub async fn mismatch_past_the_deadline<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    assert_mismatch(&case).await;
    case.assert_indeterminate(&grant, "a mismatch changes nothing").await;
}

/// Marked indeterminate, claim with another fingerprint: mismatch, under both policies.
pub async fn mismatch_when_indeterminate<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    assert_mismatch(&case).await;
    case.assert_indeterminate(&grant, "a mismatch changes nothing").await;
}

/// Completed, claim with another fingerprint: mismatch, never the other request's answer.
pub async fn mismatch_when_completed<F: Fixture>() {
    let (case, _) = Case::<F>::completed().await;
    assert_mismatch(&case).await;
    assert_eq!(case.replayed().await.answer, answer("answer"), "a mismatch changes nothing");
}

async fn assert_mismatch<F: Fixture>(case: &Case<F>) {
    for claim in [refuse(case.other_request()), reexecute(case.other_request(), 9)] {
        let claimed = case.claim(&claim).await;
        assert_eq!(claimed, Claimed::Mismatch, "another request under the same key is a mismatch in every state");
    }
}

/// Completed, claim: the stored answer, for everybody and as often as it is asked for.
pub async fn completed_is_replayed<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    let first = case.replayed().await;
    assert_eq!((&first.answer, first.fence), (&answer("answer"), grant.fence), "the answer and who recorded it");
    for claim in [refuse(grant.attempt), reexecute(case.attempt(), 9), refuse(case.attempt())] {
        assert_eq!(case.claim(&claim).await, Claimed::Completed(first.clone()), "every replay is the same");
    }
}

/// The same for a tombstone: done, and the answer not kept.
pub async fn a_tombstone_is_replayed<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    let tombstone = Answer::NotKept("201".into());
    assert_eq!(case.record(&grant, &tombstone).await, Recorded::Recorded);
    assert_eq!(case.replayed().await.answer, tombstone, "a tombstone is not an answer, and an answer no tombstone");
}

/// The retention of an answer counts from its recording.
pub async fn completed_is_replayed_for_a_whole_retention<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(RETENTION / 2).await;
    case.complete(&grant, "answer").await;
    case.advance(RETENTION - SLACK).await;
    assert_eq!(case.replayed().await.answer, answer("answer"));
}

/// Asking does not keep a record alive: retention is the owner's promise, not the caller's.
pub async fn a_replay_does_not_extend_the_retention<F: Fixture>() {
    let (case, _) = Case::<F>::completed().await;
    case.advance(RETENTION / 2).await;
    case.replayed().await;
    case.advance(RETENTION / 2).await;
    case.acquire(&case.attempt()).await;
}

/// A completed key that expired is a new key.
pub async fn an_expired_answer_is_forgotten<F: Fixture>() {
    let (case, old) = Case::<F>::completed().await;
    case.expire().await;
    let new = case.acquire(&case.other_request()).await;
    assert_eq!(new.number, 1, "an expired key is absent, so this is its first attempt");
    assert!(new.fence > old.fence, "fences grow over expiry: {:?} after {:?}", new.fence, old.fence);
}

/// The same for a key whose owner never came back.
pub async fn an_expired_lease_is_forgotten<F: Fixture>() {
    let (case, old) = Case::<F>::started().await;
    case.expire().await;
    let new = case.acquire(&case.attempt()).await;
    assert_eq!(new.number, 1, "an expired key is absent, so this is its first attempt");
    assert!(new.fence > old.fence, "fences grow over expiry: {:?} after {:?}", new.fence, old.fence);
}
