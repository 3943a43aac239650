//! Laws of [`Store::resolve`](crate::Store::resolve).

use super::Fixture;
use super::case::{Case, RETENTION, SLACK, answer, forgeries, refuse};
use crate::{Claimed, Fence, Loss, Recorded, Renewed, Resolution, Resolved};

fn it_ran() -> Resolution {
    Resolution::Completed(answer("known"))
}

/// Marked indeterminate, resolve with an answer: completed, and replayed like any other.
pub async fn resolve_completes_an_abandoned_key<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    assert_eq!(case.resolve(grant.fence, &it_ran()).await, Resolved::Resolved);
    let completed = case.replayed().await;
    assert_eq!((completed.answer, completed.fence), (answer("known"), grant.fence));
    case.advance(RETENTION - SLACK).await;
    assert_eq!(case.replayed().await.answer, answer("known"), "its retention counts from the resolution");
}

/// Lapsed, resolve with an answer: the same.
pub async fn resolve_completes_a_lapsed_key<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    assert_eq!(case.resolve(grant.fence, &it_ran()).await, Resolved::Resolved);
    assert_eq!(case.replayed().await.answer, answer("known"));
}

/// Indeterminate, resolve as not executed: released; the next claim is granted, a late packet of the old owner is not.
pub async fn resolve_releases_what_did_not_run<F: Fixture>() {
    let (case, abandoned) = Case::<F>::abandoned().await;
    resolves_as_not_executed(&case, abandoned).await;
    let (case, lapsed) = Case::<F>::started().await;
    case.lapse().await;
    resolves_as_not_executed(&case, lapsed).await;
}

async fn resolves_as_not_executed<F: Fixture>(case: &Case<F>, old: crate::Grant) {
    assert_eq!(case.resolve(old.fence, &Resolution::NotExecuted).await, Resolved::Resolved);
    assert_eq!(case.complete(&old, "late").await, Recorded::Lost(Loss::Released), "what was resolved is settled");
    assert_eq!(case.claim(&refuse(old.attempt)).await, Claimed::Stale);
    let next = case.acquire(&case.attempt()).await;
    assert!(next.fence > old.fence, "fences grow over a resolution: {:?} after {:?}", next.fence, old.fence);
}

/// Indeterminate, resolve with another fence: conflict. Somebody else has been there since it was looked at.
pub async fn resolve_needs_the_fence_that_was_seen<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    for (what, forged) in forgeries(&grant).into_iter().skip(1) {
        assert_eq!(case.resolve(forged.fence, &it_ran()).await, Resolved::Conflict, "{what}");
    }
    case.assert_indeterminate(&grant, "after conflicts").await;
}

/// In flight, resolve: conflict. Its owner may know better.
pub async fn resolve_of_a_key_in_flight_conflicts<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    for resolution in [it_ran(), Resolution::NotExecuted] {
        assert_eq!(case.resolve(grant.fence, &resolution).await, Resolved::Conflict);
    }
    case.assert_holds(&grant, "after conflicts").await;
}

/// Taken over, resolve with the old fence: conflict.
pub async fn resolve_after_a_takeover_conflicts<F: Fixture>() {
    let (case, old, new) = Case::<F>::taken_over().await;
    case.lapse().await;
    assert_eq!(case.resolve(old.fence, &it_ran()).await, Resolved::Conflict);
    assert_eq!(case.renew(&new).await, Renewed::Held);
}

/// Completed, released or absent, resolve: conflict.
pub async fn resolve_needs_an_indeterminate_key<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    for resolution in [it_ran(), Resolution::NotExecuted] {
        assert_eq!(case.resolve(grant.fence, &resolution).await, Resolved::Conflict);
    }
    assert_eq!(case.replayed().await.answer, answer("answer"), "an answer that was recorded must never change");
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(case.resolve(grant.fence, &it_ran()).await, Resolved::Conflict);
    let case = Case::<F>::open().await;
    assert_eq!(case.resolve(Fence::new(1), &it_ran()).await, Resolved::Conflict);
    case.acquire(&case.attempt()).await;
}

/// Resolved with an answer, then completed by the owner that came back: lost, with the answer that stands. Told that its own
/// was recorded, its client would get one answer and every retry the other.
pub async fn a_late_completion_learns_that_another_answer_stands<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    assert_eq!(case.resolve(grant.fence, &it_ran()).await, Resolved::Resolved);
    for _ in 0..2 {
        match case.complete(&grant, "late").await {
            Recorded::Lost(Loss::Completed(standing)) => assert_eq!(standing.answer, answer("known")),
            other => panic!("the owner of a resolved key must be told the answer that stands, not {other:?}"),
        }
    }
    assert_eq!(
        case.replayed().await.answer,
        answer("known"),
        "an answer that may have been replayed must never change"
    );
}

/// Seen lapsed, then renewed by an owner that came back and gave up again: what was found out before counts no more, and the
/// fence does not tell.
pub async fn resolve_of_a_key_that_its_owner_touched_conflicts<F: Fixture>() {
    for resolution in [it_ran(), Resolution::NotExecuted] {
        let (case, grant) = Case::<F>::started().await;
        case.lapse().await;
        let seen = case.unknown().await.seen();
        assert_eq!(case.renew(&grant).await, Renewed::Held);
        case.abandon(&grant).await;
        assert_eq!(case.unknown().await.fence, seen.fence, "it looks the same");
        assert_eq!(case.resolve(seen, &resolution).await, Resolved::Conflict);
        let seen = case.unknown().await.seen();
        assert_eq!(case.resolve(seen, &resolution).await, Resolved::Resolved, "seen as it is now");
    }
}
