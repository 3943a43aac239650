//! Laws of how long a fence is remembered.

use std::time::Duration;

use super::FenceFixture;
use super::case::{Case, NOW, RETENTION, SLACK, holder};
use crate::fence_store::{Admitted, FenceStore};
use crate::{Deadline, ErrorKind};

/// Nothing is forgotten before its time.
pub async fn a_fence_lasts_its_retention<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    case.fixture.advance(RETENTION - SLACK).await;
    case.is_fenced(holder(NOW - 1), first, "the retention is not over").await;
}

/// A store that never forgot would fill up.
pub async fn a_fence_is_forgotten_after_its_retention<F: FenceFixture>() {
    let (case, _) = Case::<F>::admitted(NOW).await;
    case.fixture.advance(RETENTION + SLACK).await;
    let low = holder(1);
    case.passes(low, "the retention is over").await;
    case.is_fenced(holder(0), low, "from now on this is the highest").await;
}

/// As long as attempts come, the highest of them is remembered.
pub async fn each_admission_starts_the_retention_anew<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    for _ in 0..3 {
        case.fixture.advance(RETENTION / 2).await;
        case.passes(first, "the same holder").await;
    }
    let second = holder(NOW + 1);
    case.passes(second, "a successor").await;
    case.fixture.advance(RETENTION - SLACK).await;
    case.is_fenced(first, second, "the successor's retention counts").await;
}

/// What was promised is kept, whatever a later caller is configured with.
pub async fn a_short_retention_shortens_no_longer_one<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    let second = holder(NOW + 1);
    assert_eq!(case.admit_for(second, Duration::ZERO).await, Admitted::Admitted);
    case.fixture.advance(RETENTION - SLACK).await;
    case.is_fenced(first, second, "the key was promised an hour").await;
}

/// Whoever is refused keeps nothing alive.
pub async fn a_refusal_extends_nothing<F: FenceFixture>() {
    let (case, first) = Case::<F>::admitted(NOW).await;
    case.fixture.advance(RETENTION / 2).await;
    case.is_fenced(holder(1), first, "it is lower").await;
    case.fixture.advance(RETENTION / 2 + SLACK).await;
    case.passes(holder(1), "the retention is over").await;
}

/// A deadline that is past means that nothing is done.
pub async fn an_admission_past_its_deadline_does_nothing<F: FenceFixture>() {
    let case = Case::<F>::open().await;
    let past = Deadline::after(Duration::ZERO);
    let error = case.fixture.store().admit(&case.key, holder(NOW), RETENTION, past).await;
    assert_eq!(error.expect_err("the deadline is past").kind(), ErrorKind::NotApplied);
    case.passes(holder(1), "nothing was written").await;
}
