//! Laws of what passes and what does not.

use super::FenceFixture;
use super::case::{Case, NOW, holder};
use crate::fence_store::Holder;
use crate::{Fence, Owner};

/// A key that nobody has used lets any fence pass, also the smallest.
pub async fn the_first_fence_is_admitted<F: FenceFixture>() {
    for fence in [0, 1, NOW, u64::MAX] {
        Case::<F>::admitted(fence).await;
    }
}

/// A successor passes.
pub async fn a_greater_fence_is_admitted<F: FenceFixture>() {
    let (case, _) = Case::<F>::admitted(NOW).await;
    for step in 1..=3 {
        case.passes(holder(NOW + step), "it is the greatest so far").await;
    }
}

/// An attempt that calls twice, or whose reply was lost, is no successor of itself.
pub async fn the_same_holder_is_admitted_again<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    for _ in 0..3 {
        case.passes(first, "it is the highest holder").await;
    }
}

/// A superseded attempt is told so, and by whom.
pub async fn a_lower_fence_is_fenced<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    let second = holder(NOW + 1);
    case.passes(second, "a successor").await;
    case.is_fenced(first, second, "it was superseded").await;
    case.is_fenced(holder(0), second, "no fence is lower").await;
    case.passes(second, "what was refused is not the successor's business").await;
}

/// The owner is no excuse for a lower fence.
pub async fn a_lower_fence_of_the_same_owner_is_fenced<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    case.is_fenced(Holder { fence: Fence::new(NOW - 1), ..first }, first, "it is lower").await;
}

/// Two stores that did not know of each other granted one fence twice: one of the two passes.
pub async fn an_equal_fence_of_another_owner_is_fenced<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    let twin = holder(NOW);
    for _ in 0..2 {
        case.is_fenced(twin, first, "another owner was first").await;
        case.passes(first, "it was first").await;
    }
    for owner in [Owner::new([0; 16]), Owner::new([u8::MAX; 16])] {
        case.is_fenced(Holder { owner, ..first }, first, "owners have no order").await;
    }
}

/// What is refused leaves the highest holder as it is: fence and owner.
pub async fn a_refused_fence_changes_nothing<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    let (lower, twin) = (holder(NOW - 5), holder(NOW));
    case.is_fenced(lower, first, "it is lower").await;
    case.is_fenced(twin, first, "another owner was first").await;
    case.is_fenced(holder(NOW - 1), first, "the highest has not moved").await;
    case.passes(first, "it is still the highest holder").await;
}

/// Neither as text nor as a double nor as signed bytes.
pub async fn fences_are_compared_to_the_last_bit<F: FenceFixture>() {
    let pairs = [
        (9, 10),
        (0x7f, 0x80),
        (0xff, 0x100),
        (0x00ff_0000, 0x0100_0000),
        (999_999_999_999_999, 1_000_000_000_000_000),
        (NOW, NOW + 1),
        ((1 << 53) - 1, 1 << 53),
        (1 << 53, (1 << 53) + 1),
        (i64::MAX as u64, i64::MAX as u64 + 1),
        (u64::MAX - 1, u64::MAX),
    ];
    for (low, high) in pairs {
        let (case, first) = Case::<F>::admitted(low).await;
        let second = holder(high);
        case.is_fenced(Holder { owner: second.owner, ..first }, first, "it is equal").await;
        case.passes(second, "it is greater").await;
        case.is_fenced(first, second, "it is lower").await;
    }
}

/// What happens to one key does not touch another.
pub async fn keys_are_independent<F: FenceFixture>() {
    let (case, _) = Case::<F>::admitted(NOW).await;
    let other = Case { key: Case::<F>::open().await.key, ..case };
    other.passes(holder(1), "the greater fence is another key's").await;
}
