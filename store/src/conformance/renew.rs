//! Laws of [`Store::renew`](crate::Store::renew).

use super::Fixture;
use super::case::{Case, LEASE, RETENTION, SLACK, answer, forgeries};
use crate::{Attempt, Checkpointed, Grant, Loss, Recorded, Renewed};

/// In flight, renew: the deadline moves.
pub async fn renew_moves_the_deadline<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    for _ in 0..3 {
        case.advance(LEASE - SLACK).await;
        case.assert_holds(&grant, "renewed in time").await;
    }
    let remaining = case.assert_in_flight("renewed three times").await;
    assert!(remaining > LEASE - SLACK, "a renewed lease lasts its full term, {remaining:?} was left");
}

/// Lapsed, renew: as if in flight, as long as nobody took over.
pub async fn renew_past_the_deadline_holds<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    case.assert_holds(&grant, "nobody took over").await;
    case.assert_in_flight("a renewed lease is in flight again").await;
}

/// A key that is renewed does not expire.
pub async fn renew_extends_the_retention<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(RETENTION - SLACK).await;
    case.assert_holds(&grant, "within the retention").await;
    case.advance(RETENTION - SLACK).await;
    case.assert_indeterminate(&grant, "the retention counts from the renewal").await;
}

/// A renewal touches the deadline only.
pub async fn renew_keeps_the_checkpoint<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    assert_eq!(case.note(&grant, "half way").await, Checkpointed::Held);
    case.assert_holds(&grant, "after a checkpoint").await;
    let again = case.granted_with_checkpoint(&super::case::refuse(grant.attempt)).await;
    assert_eq!(again, (grant, Some(super::case::checkpoint("half way"))), "a renewal touches the deadline only");
}

/// In flight, renew of another owner or fence: lost, and nothing moves.
pub async fn renew_needs_owner_and_fence<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE - SLACK).await;
    for (what, forged) in forgeries(&grant) {
        let renewed = case.renew(&forged).await;
        assert!(matches!(renewed, Renewed::Lost(Loss::InFlight { .. })), "{what} renewed the lease: {renewed:?}");
    }
    let remaining = case.assert_in_flight("a lost renewal changes nothing").await;
    assert!(remaining <= SLACK, "a lost renewal moved the deadline: {remaining:?} left");
}

/// Taken over, renew of the old owner: lost.
pub async fn renew_after_a_takeover_is_lost<F: Fixture>() {
    let (case, old, new) = Case::<F>::taken_over().await;
    let renewed = case.renew(&old).await;
    assert!(matches!(renewed, Renewed::Lost(Loss::InFlight { .. })), "the old owner renewed: {renewed:?}");
    case.assert_holds(&new, "after the old owner tried to renew").await;
}

/// Completed, renew: lost, with the answer; the answer's retention is not touched.
pub async fn renew_of_a_completed_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    case.advance(RETENTION / 2).await;
    match case.renew(&grant).await {
        Renewed::Lost(Loss::Completed(completed)) => assert_eq!(completed.answer, answer("answer")),
        other => panic!("a late renewal acts on what is in flight only, but the store answered {other:?}"),
    }
    case.advance(RETENTION / 2 - SLACK).await;
    assert_eq!(case.replayed().await.answer, answer("answer"), "a late renewal must not shorten the retention");
    case.advance(SLACK).await;
    case.acquire(&case.attempt()).await;
}

/// Marked indeterminate, renew: lost.
pub async fn renew_of_an_abandoned_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    assert_eq!(case.renew(&grant).await, Renewed::Lost(Loss::Indeterminate));
    case.assert_indeterminate(&grant, "a lost renewal changes nothing").await;
}

/// Released, renew: lost.
pub async fn renew_of_a_released_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(case.renew(&grant).await, Renewed::Lost(Loss::Released));
    case.acquire(&case.attempt()).await;
}

/// Another request's key, renew: lost, and the reply says so.
pub async fn renew_of_another_requests_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    let theirs = Grant { attempt: case.other_request(), ..grant };
    assert_eq!(case.renew(&theirs).await, Renewed::Lost(Loss::Mismatch));
}

/// Absent, renew of a young grant: written again, and said so. The store lost the record.
pub async fn renew_recreates_a_lost_record<F: Fixture>() {
    let case = Case::<F>::open().await;
    let grant = case.forgotten().await;
    assert_eq!(case.renew(&grant).await, Renewed::Recreated, "the owner still runs, so its key must not be free");
    case.assert_in_flight("a re-created key").await;
    assert_eq!(case.acquire(&grant.attempt).await, grant, "a re-created record is what was granted");
    assert_eq!(case.complete(&grant, "answer").await, Recorded::Recorded);
}

/// Absent, renew of a grant older than its retention: lost. The key has expired, and may belong to another request.
pub async fn renew_does_not_recreate_an_expired_record<F: Fixture>() {
    let case = Case::<F>::open().await;
    let grant = case.forgotten_long_ago().await;
    assert_eq!(case.renew(&grant).await, Renewed::Lost(Loss::Absent));
    case.acquire(&Attempt { ..case.attempt() }).await;
}
