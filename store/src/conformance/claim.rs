//! Laws of granting and refusing a claim.

use super::Fixture;
use super::case::{Case, LEASE, RETENTION, SLACK, assert_unknown, checkpoint, reexecute, refuse};
use crate::{Checkpointed, Claimed, Grant, Recorded};

/// Absent, claim: acquired.
pub async fn an_absent_key_is_acquired<F: Fixture>() {
    let case = Case::<F>::open().await;
    let claim = refuse(case.attempt());
    let (grant, noted) = case.granted_with_checkpoint(&claim).await;
    assert_eq!(grant.number, 1, "the first attempt of a key is number 1");
    assert!(!grant.is_takeover(), "a first attempt takes nothing over");
    assert_eq!(grant.terms, claim.terms, "a first claim is granted on the terms that it asks for");
    assert_eq!(noted, None, "nobody left a checkpoint under an absent key");
}

/// In flight, claim of the same owner: acquired, the same fence. Its reply was lost.
pub async fn asking_again_gives_the_same_grant<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    for _ in 0..3 {
        assert_eq!(case.acquire(&grant.attempt).await, grant, "one owner gets one fence, however often it asks");
    }
    case.assert_holds(&grant, "asking again gives the same grant").await;
}

/// The lease that a re-asked claim answers with lasts its full term.
pub async fn asking_again_restarts_the_lease<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE - SLACK).await;
    case.acquire(&grant.attempt).await;
    case.advance(LEASE - SLACK).await;
    case.assert_in_flight("the owner acts on the last reply, so its lease starts anew").await;
}

/// A lapsed lease is still its owner's, as long as nobody took over.
pub async fn asking_again_past_the_deadline_gives_the_same_grant<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    assert_eq!(case.acquire(&grant.attempt).await, grant, "the end of a lease takes the key from nobody");
}

/// What was noted is not lost with the reply.
pub async fn asking_again_gives_the_checkpoint<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    assert_eq!(case.note(&grant, "half way").await, Checkpointed::Held);
    let (_, noted) = case.granted_with_checkpoint(&refuse(grant.attempt)).await;
    assert_eq!(noted, Some(checkpoint("half way")), "a re-asked claim gives the checkpoint too");
}

/// In flight, claim of another owner before the deadline: in flight, and the time left.
pub async fn in_flight_refuses_other_owners<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    let whole = case.assert_in_flight("before the deadline").await;
    assert!(whole <= LEASE && whole > LEASE - SLACK, "the time left of a fresh lease was {whole:?}");
    case.advance(LEASE - SLACK).await;
    let rest = case.assert_in_flight("shortly before the deadline").await;
    assert!(rest <= SLACK && !rest.is_zero(), "the time left shortly before the deadline was {rest:?}");
    case.assert_holds(&grant, "a rejected claim changes nothing").await;
}

/// The same under the policy that may take over: not before the deadline.
pub async fn reexecute_waits_for_the_deadline<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE - SLACK).await;
    let claimed = case.claim(&reexecute(case.attempt(), 9)).await;
    assert!(matches!(claimed, Claimed::InFlight { .. }), "a live lease was taken over or misjudged: {claimed:?}");
    case.assert_holds(&grant, "reexecute waits for the deadline").await;
}

/// Law 1: the end of a lease never removes the key.
pub async fn a_lapsed_key_is_indeterminate_and_not_free<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    case.assert_indeterminate(&grant, "past the deadline").await;
    case.advance(RETENTION - LEASE - SLACK).await;
    case.assert_indeterminate(&grant, "until the retention ends").await;
}

/// Indeterminate, claim under `Refuse`: the fence is not bumped, so the paused owner can still complete.
pub async fn a_refused_claim_leaves_the_fence<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    for _ in 0..3 {
        case.assert_indeterminate(&grant, "asked again and again").await;
    }
    assert_eq!(case.complete(&grant, "late").await, Recorded::Recorded, "a paused owner that comes back can complete");
}

/// Marked indeterminate, claim under `Refuse`: indeterminate, to its last owner as well.
pub async fn an_abandoned_key_is_indeterminate<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    case.assert_indeterminate(&grant, "abandoned").await;
    let again = case.claim(&refuse(grant.attempt)).await;
    assert_unknown(&again, &grant, "an owner that abandoned the key does not get it back by asking again");
}

/// Lapsed, claim under `Reexecute`: acquired with a greater fence, as the second attempt, with the checkpoint.
pub async fn reexecute_takes_over_a_lapsed_key<F: Fixture>() {
    let (case, old) = Case::<F>::started().await;
    case.note(&old, "half way").await;
    case.lapse().await;
    takes_over(&case, &old).await;
}

/// Marked indeterminate, claim under `Reexecute`: the same, without waiting for the deadline.
pub async fn reexecute_takes_over_an_abandoned_key<F: Fixture>() {
    let (case, old) = Case::<F>::started().await;
    case.note(&old, "half way").await;
    case.abandon(&old).await;
    takes_over(&case, &old).await;
}

async fn takes_over<F: Fixture>(case: &Case<F>, old: &Grant) {
    let (new, noted) = case.granted_with_checkpoint(&reexecute(case.attempt(), 2)).await;
    assert!(new.fence > old.fence, "a take-over gets a greater fence: {:?} after {:?}", new.fence, old.fence);
    assert_eq!(new.number, 2, "a take-over is the next attempt");
    assert!(new.is_takeover());
    assert_eq!(noted, Some(checkpoint("half way")), "a take-over gets what its predecessor noted");
    case.assert_in_flight("a take-over begins a lease").await;
    case.assert_holds(&new, "a take-over holds the key").await;
}

/// Indeterminate, claim, attempts spent: indeterminate.
pub async fn spent_attempts_are_refused<F: Fixture>() {
    let (case, _, second) = Case::<F>::taken_over().await;
    case.lapse().await;
    let claimed = case.claim(&reexecute(case.attempt(), 2)).await;
    assert_unknown(&claimed, &second, "two attempts of at most two have run");
    assert_eq!(case.complete(&second, "late").await, Recorded::Recorded, "a refused claim leaves the fence");
}

/// Released, claim of another owner: acquired, a greater fence, counted from one.
pub async fn released_is_granted_to_another_owner<F: Fixture>() {
    let (case, old) = Case::<F>::released().await;
    let new = case.acquire(&case.attempt()).await;
    assert!(new.fence > old.fence, "fences grow over a release: {:?} after {:?}", new.fence, old.fence);
    assert_eq!(new.number, 1, "a released attempt has not run, so it does not count");
}

/// Released, claim of the same owner: stale. It is a delayed duplicate of a claim that was given up.
pub async fn released_refuses_the_same_owner<F: Fixture>() {
    let (case, grant) = Case::<F>::released().await;
    for _ in 0..2 {
        let claimed = case.claim(&refuse(grant.attempt)).await;
        assert_eq!(claimed, Claimed::Stale, "a delayed packet of a released attempt must not hold the key");
    }
    case.acquire(&case.attempt()).await;
}

/// Released, claim with another fingerprint: acquired. What was asked for first has not run.
pub async fn released_forgets_the_fingerprint<F: Fixture>() {
    let (case, _) = Case::<F>::released().await;
    case.acquire(&case.other_request()).await;
}
