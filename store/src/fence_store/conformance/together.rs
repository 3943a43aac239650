//! Laws of what happens at once, and of what is dropped on its way.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::FenceFixture;
use super::case::{Case, NOW, RETENTION, holder, soon};
use crate::Fence;
use crate::fence_store::{Admitted, FenceStore, Holder};

const MANY: u64 = 32;

/// One fence was granted to many owners: one of them passes.
pub async fn one_of_many_equal_fences_is_admitted<F: FenceFixture>() {
    let case = Arc::new(Case::<F>::open().await);
    let said = at_once(&case, (0..MANY).map(|_| holder(NOW))).await;
    let passed = said.iter().filter(|(_, admitted)| *admitted == Admitted::Admitted).count();
    assert_eq!(passed, 1, "{passed} owners of one fence have passed");
}

/// In whatever order they come, the greatest is the one that stands in the end.
pub async fn the_highest_of_many_stands<F: FenceFixture>() {
    let case = Arc::new(Case::<F>::open().await);
    let holders: Vec<_> = (0..MANY).map(|step| holder(NOW + step * 7 % MANY)).collect();
    at_once(&case, holders.iter().copied()).await;
    let highest = *holders.iter().max_by_key(|holder| holder.fence).expect("there are many");
    for other in holders.iter().filter(|other| **other != highest) {
        case.is_fenced(*other, highest, "a greater one has passed").await;
    }
    case.passes(highest, "it is the greatest").await;
}

/// A fence that nobody asked with, or a lower one, fences nobody.
pub async fn whoever_is_fenced_is_told_of_a_greater_one_that_asked<F: FenceFixture>() {
    let case = Arc::new(Case::<F>::open().await);
    let said = at_once(&case, (0..MANY).map(|step| holder(NOW + step * 11 % MANY))).await;
    let asked: BTreeSet<Fence> = said.iter().map(|(holder, _)| holder.fence).collect();
    for (holder, admitted) in said {
        if let Admitted::Fenced { highest } = admitted {
            assert!(highest > holder.fence, "{holder:?} was fenced by the lower {highest:?}");
            assert!(asked.contains(&highest), "{holder:?} was fenced by {highest:?}, which nobody has");
        }
    }
}

/// Whoever does not wait for the reply asks again as the same holder, and is told.
pub async fn a_dropped_admission_can_be_asked_again<F: FenceFixture>() {
    let case = Case::<F>::open().await;
    for step in 0..MANY {
        let holder = holder(NOW + step);
        {
            let asked = pin!(case.fixture.store().admit(&case.key, holder, RETENTION, soon()));
            // Polled once: it may have been sent, carried out, or neither.
            let _: Poll<_> = asked.poll(&mut Context::from_waker(Waker::noop()));
        }
        case.passes(holder, "it is the same holder, whatever became of the first question").await;
    }
}

async fn at_once<F: FenceFixture>(
    case: &Arc<Case<F>>,
    holders: impl Iterator<Item = Holder>,
) -> Vec<(Holder, Admitted)> {
    let asking: Vec<_> = holders
        .map(|holder| {
            let case = Arc::clone(case);
            tokio::spawn(async move { (holder, case.admit(holder).await) })
        })
        .collect();
    let mut said = Vec::new();
    for asked in asking {
        said.push(asked.await.expect("no law of these panics in its tasks"));
    }
    said
}
