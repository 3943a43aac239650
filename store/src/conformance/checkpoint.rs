//! Laws of [`Store::checkpoint`].

use bytes::Bytes;

use super::Fixture;
use super::case::{Case, LEASE, RETENTION, SLACK, checkpoint, forgeries, reexecute, soon};
use crate::{Checkpoint, Checkpointed, Loss, Recorded, Store};

/// What a store in front adds: less than it may, so that a store that adds something itself passes too.
const ADDED: usize = 128;

/// In flight, checkpoint: kept, the last one, for whoever takes over, and for whoever takes over from that one.
pub async fn the_last_checkpoint_is_handed_over<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    for text in ["first", "second"] {
        assert_eq!(case.note(&grant, text).await, Checkpointed::Held);
    }
    for _ in 0..2 {
        case.lapse().await;
        let (_, noted) = case.granted_with_checkpoint(&reexecute(case.attempt(), 9)).await;
        assert_eq!(noted, Some(checkpoint("second")), "a take-over gets the last checkpoint");
    }
}

/// A checkpoint is a note, not a renewal.
pub async fn a_checkpoint_moves_no_deadline<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE - SLACK).await;
    assert_eq!(case.note(&grant, "half way").await, Checkpointed::Held);
    let remaining = case.assert_in_flight("before the deadline").await;
    assert!(remaining <= SLACK, "a checkpoint moved the deadline: {remaining:?} left");
    case.advance(SLACK).await;
    case.assert_indeterminate(&grant, "a checkpoint is not a renewal").await;
    case.advance(RETENTION - LEASE).await;
    case.acquire(&case.attempt()).await;
}

/// Lapsed, checkpoint: as if in flight, and the key stays lapsed.
pub async fn a_checkpoint_past_the_deadline_is_kept<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    assert_eq!(case.note(&grant, "late").await, Checkpointed::Held);
    case.assert_indeterminate(&grant, "a checkpoint is not a renewal").await;
    let (_, noted) = case.granted_with_checkpoint(&reexecute(case.attempt(), 9)).await;
    assert_eq!(noted, Some(checkpoint("late")));
}

/// 4 KiB, of any bytes. More cannot be made into a checkpoint but by a store in front, whose addition is kept too.
pub async fn a_checkpoint_of_the_largest_size_is_kept<F: Fixture>() {
    assert!(Checkpoint::new(vec![0; Checkpoint::MAX_LEN + 1]).is_err());
    for added in [0, ADDED] {
        let (case, grant) = Case::<F>::started().await;
        let bytes: Bytes = (0..=u8::MAX).cycle().take(Checkpoint::MAX_LEN + added).collect();
        let largest = Checkpoint::from_stored(bytes).expect("the largest size is allowed");
        let reply = case.store().checkpoint(&grant, &largest, soon()).await;
        assert_eq!(reply.expect("a store keeps the largest checkpoint"), Checkpointed::Held);
        case.lapse().await;
        let (_, noted) = case.granted_with_checkpoint(&reexecute(case.attempt(), 9)).await;
        assert_eq!(noted, Some(largest));
    }
}

/// In flight, checkpoint of another owner or fence: lost, and the old one stays.
pub async fn a_checkpoint_needs_owner_and_fence<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.note(&grant, "mine").await;
    for (what, forged) in forgeries(&grant) {
        let reply = case.note(&forged, "forged").await;
        assert!(matches!(reply, Checkpointed::Lost(Loss::InFlight { .. })), "{what} left a checkpoint: {reply:?}");
    }
    case.lapse().await;
    let (_, noted) = case.granted_with_checkpoint(&reexecute(case.attempt(), 9)).await;
    assert_eq!(noted, Some(checkpoint("mine")));
}

/// Taken over, checkpoint of the old owner: lost.
pub async fn a_checkpoint_after_a_takeover_is_lost<F: Fixture>() {
    let (case, old, new) = Case::<F>::taken_over().await;
    let reply = case.note(&old, "old").await;
    assert!(matches!(reply, Checkpointed::Lost(Loss::InFlight { .. })), "a superseded owner left a note: {reply:?}");
    case.lapse().await;
    let (third, noted) = case.granted_with_checkpoint(&reexecute(case.attempt(), 9)).await;
    assert_eq!(noted, None);
    assert!(third.fence > new.fence);
}

/// Completed, marked indeterminate, released or absent, checkpoint: lost. It re-creates nothing.
pub async fn a_checkpoint_needs_an_attempt_in_flight<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    let reply = case.note(&grant, "late").await;
    assert!(matches!(reply, Checkpointed::Lost(Loss::Completed(_))), "completed: {reply:?}");
    let (case, grant) = Case::<F>::abandoned().await;
    assert_eq!(case.note(&grant, "late").await, Checkpointed::Lost(Loss::Indeterminate));
    assert_eq!(case.complete(&grant, "answer").await, Recorded::Recorded, "a lost checkpoint changes nothing");
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(case.note(&grant, "late").await, Checkpointed::Lost(Loss::Released));
    let case = Case::<F>::open().await;
    assert_eq!(case.note(&case.forgotten().await, "late").await, Checkpointed::Lost(Loss::Absent));
    case.acquire(&case.attempt()).await;
}
