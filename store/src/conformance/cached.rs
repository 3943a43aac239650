//! The fixture of a store behind [`CachedStore`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Fixture;
use crate::{CachedStore, ManualClock};

/// How long answers are kept: shorter than whatever a law lets pass.
const TTL: Duration = Duration::from_secs(10);

/// The fixture of a store behind [`CachedStore`], so that what it answers by itself keeps the same laws.
///
/// It takes a clone of the fixture's store, as [`Boxed`](super::Boxed) does.
pub struct Cached<F: Fixture> {
    fixture: F,
    clock: Arc<ManualClock>,
    store: CachedStore<F::Store>,
}

impl<F: Fixture> fmt::Debug for Cached<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cached(..)")
    }
}

impl<F> Fixture for Cached<F>
where
    F: Fixture,
    F::Store: Clone,
{
    type Store = CachedStore<F::Store>;

    async fn open() -> Self {
        let fixture = F::open().await;
        let clock = Arc::new(ManualClock::new());
        let store = CachedStore::new(fixture.store().clone(), TTL).expect("some seconds are a time to keep answers");
        let store = store.with_clock(Arc::<ManualClock>::clone(&clock));
        Self { fixture, clock, store }
    }

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.fixture.advance(duration).await;
        self.clock.advance(duration);
    }
}
