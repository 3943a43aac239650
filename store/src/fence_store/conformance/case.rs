//! What the laws are written with.

use std::time::Duration;

use super::FenceFixture;
use crate::fence_store::{Admitted, FenceKey, FenceStore, Holder};
use crate::{Deadline, Fence, Owner};

pub(super) const RETENTION: Duration = Duration::from_secs(60 * 60);

/// Stores whose time flows on its own are checked this far before and after an expiry.
pub(super) const SLACK: Duration = Duration::from_secs(10);

/// A present fence: a time in microseconds.
pub(super) const NOW: u64 = 1_795_521_600_000_000;

pub(super) struct Case<F> {
    pub(super) fixture: F,
    pub(super) key: FenceKey,
}

impl<F: FenceFixture> Case<F> {
    /// An empty store, and a key that nobody has used.
    pub(super) async fn open() -> Self {
        Self { fixture: F::open().await, key: fresh_key() }
    }

    /// The same, and a holder that was admitted.
    pub(super) async fn admitted(fence: u64) -> (Self, Holder) {
        let (case, holder) = (Self::open().await, holder(fence));
        case.passes(holder, "the first fence of its key").await;
        (case, holder)
    }

    pub(super) async fn admit(&self, holder: Holder) -> Admitted {
        self.admit_for(holder, RETENTION).await
    }

    pub(super) async fn admit_for(&self, holder: Holder, retention: Duration) -> Admitted {
        let admitted = self.fixture.store().admit(&self.key, holder, retention, soon()).await;
        admitted.unwrap_or_else(|error| panic!("the store must judge {holder:?}, but failed: {error:?}"))
    }

    pub(super) async fn passes(&self, holder: Holder, why: &str) {
        assert_eq!(self.admit(holder).await, Admitted::Admitted, "{holder:?} must pass: {why}");
    }

    pub(super) async fn is_fenced(&self, holder: Holder, by: Holder, why: &str) {
        let fenced = Admitted::Fenced { highest: by.fence };
        assert_eq!(self.admit(holder).await, fenced, "{holder:?} must not pass: {why}");
    }
}

/// An attempt of its own with this fence.
pub(super) fn holder(fence: u64) -> Holder {
    Holder { fence: Fence::new(fence), owner: Owner::random().expect("random bytes") }
}

fn fresh_key() -> FenceKey {
    let mut digest = [0; 32];
    getrandom::fill(&mut digest).expect("random bytes");
    FenceKey::new(digest)
}

pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}
