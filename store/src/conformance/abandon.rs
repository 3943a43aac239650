//! Laws of [`Store::abandon`].

use super::Fixture;
use super::case::{Case, RETENTION, SLACK, answer, forgeries, reexecute, soon};
use crate::{Abandoned, Loss, Reason, Released, Store};

/// In flight, abandon: indeterminate at once, for every reason.
pub async fn abandon_marks_the_key_at_once<F: Fixture>() {
    for reason in [Reason::Panic, Reason::Failure, Reason::Shutdown, Reason::Cancelled] {
        let (case, grant) = Case::<F>::started().await;
        let reply = case.store().abandon(&grant, reason, soon()).await;
        assert_eq!(reply.expect("abandon answers"), Abandoned::Abandoned, "{reason:?}");
        case.assert_indeterminate(&grant, "abandoned").await;
    }
}

/// Marked indeterminate, abandon of the same grant: abandoned.
pub async fn abandoning_again_is_abandoned<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    assert_eq!(case.abandon(&grant).await, Abandoned::Abandoned, "abandoning is idempotent per owner");
    case.assert_indeterminate(&grant, "abandoned twice").await;
}

/// Lapsed, abandon: as if in flight.
pub async fn abandon_past_the_deadline_is_abandoned<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    assert_eq!(case.abandon(&grant).await, Abandoned::Abandoned);
    case.assert_indeterminate(&grant, "abandoned past the deadline").await;
}

/// In flight or marked, abandon of another owner or fence: lost, and nothing changes.
pub async fn abandon_needs_owner_and_fence<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    for (what, forged) in forgeries(&grant) {
        let reply = case.abandon(&forged).await;
        assert!(matches!(reply, Abandoned::Lost(Loss::InFlight { .. })), "{what} abandoned the key: {reply:?}");
    }
    case.assert_holds(&grant, "after lost abandonments").await;
    case.abandon(&grant).await;
    for (what, forged) in forgeries(&grant) {
        assert_eq!(case.abandon(&forged).await, Abandoned::Lost(Loss::Indeterminate), "{what}");
    }
}

/// Taken over, abandon of the old owner: lost. The new owner runs on.
pub async fn abandon_after_a_takeover_is_lost<F: Fixture>() {
    let (case, old, new) = Case::<F>::taken_over().await;
    let reply = case.abandon(&old).await;
    assert!(matches!(reply, Abandoned::Lost(Loss::InFlight { .. })), "the old owner abandoned: {reply:?}");
    case.assert_holds(&new, "after the old owner tried to abandon").await;
}

/// Completed, released or absent, abandon: lost. It creates nothing.
pub async fn abandon_needs_an_attempt_in_flight<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    let reply = case.abandon(&grant).await;
    assert!(matches!(reply, Abandoned::Lost(Loss::Completed(_))), "completed: {reply:?}");
    assert_eq!(case.replayed().await.answer, answer("answer"));
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(case.abandon(&grant).await, Abandoned::Lost(Loss::Released));
    assert_eq!(case.release(&grant).await, Released::Released);
    let case = Case::<F>::open().await;
    assert_eq!(case.abandon(&case.forgotten().await).await, Abandoned::Lost(Loss::Absent));
    case.acquire(&case.attempt()).await;
}

/// An abandoned key is remembered for a retention, and its checkpoint with it.
pub async fn an_abandoned_key_lasts_its_retention<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.note(&grant, "half way").await;
    case.abandon(&grant).await;
    case.advance(RETENTION - SLACK).await;
    case.assert_indeterminate(&grant, "within the retention").await;
    let (_, noted) = case.granted_with_checkpoint(&reexecute(case.attempt(), 9)).await;
    assert_eq!(noted, Some(super::case::checkpoint("half way")));
}
