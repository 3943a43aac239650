//! Laws of [`Store::release`](crate::Store::release): the only way to a second run.

use super::Fixture;
use super::case::{Case, SLACK, answer, fresh_owner, reexecute, refuse};
use crate::record::RELEASED_TOMBSTONE;
use crate::{Attempt, Claimed, Fence, Loss, Released};

/// In flight, release: released, and the next owner is granted the key.
pub async fn release_frees_the_key<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    assert_eq!(case.release(&grant).await, Released::Released);
    let next = case.acquire(&case.attempt()).await;
    assert!(next.fence > grant.fence, "fences grow over a release: {:?} after {:?}", next.fence, grant.fence);
}

/// The same without the fence: the claim's reply was never seen.
pub async fn release_without_a_fence_needs_the_owner_only<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    assert_eq!(case.give_back(&grant.attempt, None).await, Released::Released);
    case.acquire(&case.attempt()).await;
}

/// Lapsed, release: as if in flight.
pub async fn release_past_the_deadline_is_released<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    assert_eq!(case.release(&grant).await, Released::Released);
    case.acquire(&case.attempt()).await;
}

/// Released, release of the same owner: released.
pub async fn releasing_again_is_released<F: Fixture>() {
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(case.release(&grant).await, Released::Released, "releasing is idempotent per owner");
    assert_eq!(case.give_back(&grant.attempt, None).await, Released::Released);
    case.acquire(&case.attempt()).await;
}

/// Released, release of another owner: lost.
pub async fn release_of_another_owners_tombstone_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::released().await;
    let other = case.attempt();
    assert_eq!(case.give_back(&other, None).await, Released::Lost(Loss::Released));
    assert_eq!(case.claim(&refuse(grant.attempt)).await, Claimed::Stale, "the tombstone is still the first owner's");
    case.acquire(&other).await;
}

/// In flight, release of another owner, or of the owner with another fence: lost, and nothing changes.
pub async fn release_needs_the_owner_and_its_fence<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    let stranger = Attempt { owner: fresh_owner(), ..grant.attempt };
    let wrong = Fence::new(grant.fence.get() + 1);
    for (attempt, fence) in [(stranger, Some(grant.fence)), (stranger, None), (grant.attempt, Some(wrong))] {
        let reply = case.give_back(&attempt, fence).await;
        assert!(matches!(reply, Released::Lost(Loss::InFlight { .. })), "a key was given away: {reply:?}");
    }
    case.assert_holds(&grant, "after lost releases").await;
}

/// Taken over, release of the old owner: lost, with and without its fence.
pub async fn release_after_a_takeover_is_lost<F: Fixture>() {
    let (case, old, new) = Case::<F>::taken_over().await;
    for fence in [Some(old.fence), None] {
        let reply = case.give_back(&old.attempt, fence).await;
        assert!(matches!(reply, Released::Lost(Loss::InFlight { .. })), "the old owner gave the key away: {reply:?}");
    }
    case.assert_holds(&new, "after the old owner tried to release").await;
}

/// Taken over, release of the new owner: indeterminate again. That it did not run says nothing about the one before.
pub async fn release_of_a_takeover_is_no_release<F: Fixture>() {
    let (case, _, new) = Case::<F>::taken_over().await;
    for fence in [Some(new.fence), None] {
        assert_eq!(case.give_back(&new.attempt, fence).await, Released::Indeterminate);
    }
    case.assert_indeterminate(&new, "after the attempt that took over was released").await;
    let late = case.claim(&reexecute(new.attempt, 9)).await;
    assert!(matches!(late, Claimed::Indeterminate(_)), "a late duplicate of its claim was granted: {late:?}");
    let third = case.granted(&reexecute(case.attempt(), 9)).await;
    assert_eq!(third.number, new.number + 1, "the attempts before are counted");
}

/// Completed, release: lost, with the answer. What was answered is never run again.
pub async fn release_of_a_completed_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    for fence in [Some(grant.fence), None] {
        match case.give_back(&grant.attempt, fence).await {
            Released::Lost(Loss::Completed(completed)) => assert_eq!(completed.answer, answer("answer")),
            other => panic!("a completed key was given back: {other:?}"),
        }
    }
    assert_eq!(case.replayed().await.answer, answer("answer"));
}

/// Marked indeterminate, release: lost. Its owner has said that it does not know.
pub async fn release_of_an_abandoned_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    for fence in [Some(grant.fence), None] {
        assert_eq!(case.give_back(&grant.attempt, fence).await, Released::Lost(Loss::Indeterminate));
    }
    case.assert_indeterminate(&grant, "after lost releases").await;
}

/// Absent, release: absent, and the tombstone is written. The claim that is given up may still be on its way.
pub async fn release_of_an_absent_key_refuses_its_late_claim<F: Fixture>() {
    let case = Case::<F>::open().await;
    let given_up = case.attempt();
    assert_eq!(case.give_back(&given_up, None).await, Released::Absent);
    assert_eq!(case.claim(&refuse(given_up)).await, Claimed::Stale, "a late claim must not leave an ownerless record");
    assert_eq!(case.give_back(&given_up, None).await, Released::Released, "asked again, it is released");
    case.acquire(&case.attempt()).await;
}

/// The same with a fence: the store lost the record, and the next fence is greater all the same.
pub async fn release_of_a_lost_record_keeps_its_fence<F: Fixture>() {
    let case = Case::<F>::open().await;
    let lost = case.forgotten().await;
    let ahead = Fence::new(lost.fence.get() + 60_000_000);
    assert_eq!(case.give_back(&lost.attempt, Some(ahead)).await, Released::Absent);
    let next = case.acquire(&case.attempt()).await;
    assert!(next.fence > ahead, "fences grow over a release of a lost record: {:?} after {ahead:?}", next.fence);
}

/// A tombstone lasts a minute, however long the retention is.
pub async fn a_tombstone_lasts_a_minute<F: Fixture>() {
    let (case, grant) = Case::<F>::released().await;
    case.advance(RELEASED_TOMBSTONE - SLACK).await;
    assert_eq!(case.claim(&refuse(grant.attempt)).await, Claimed::Stale, "within the minute");
    case.advance(SLACK).await;
    let again = case.acquire(&grant.attempt).await;
    assert!(again.fence > grant.fence, "fences grow over the end of a tombstone");
}
