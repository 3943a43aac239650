//! The laws that every [`FenceStore`] must keep, as tests: one per law.
//!
//! Give the suite a [`FenceFixture`], and one line makes a `#[test]` of each law:
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # mod memory {
//! use idempotency_store::fence_store::conformance::FenceFixture;
//! use idempotency_store::{ManualClock, MemoryFenceStore};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! struct Memory {
//!     store: MemoryFenceStore,
//!     clock: Arc<ManualClock>,
//! }
//!
//! impl FenceFixture for Memory {
//!     type Store = MemoryFenceStore;
//!
//!     async fn open() -> Self {
//!         let clock = Arc::new(ManualClock::new());
//!         Self { store: MemoryFenceStore::new().with_clock(Arc::<ManualClock>::clone(&clock)), clock }
//!     }
//!
//!     fn store(&self) -> &MemoryFenceStore {
//!         &self.store
//!     }
//!
//!     async fn advance(&self, duration: Duration) {
//!         self.clock.advance(duration);
//!     }
//! }
//!
//! idempotency_store::fence_conformance!(Memory);
//! # // One of the tests that the macro has made, run by hand: a doctest has no harness.
//! # pub fn run() {
//! #     use idempotency_store::fence_store::conformance::order;
//! #     idempotency_store::conformance::run(order::a_lower_fence_is_fenced::<Memory>());
//! # }
//! # }
//! # fn main() {
//! #     #[cfg(feature = "memory")]
//! #     memory::run();
//! # }
//! ```
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unchecked_time_subtraction,
    reason = "this is a test suite: a law that is broken panics"
)]

mod case;
pub mod order;
pub mod time;
pub mod together;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::{BoxFenceStore, FenceStore};

/// A fence store to be tested, and its time. It is also the guard of what the store needs, as a store's
/// [`Fixture`](crate::conformance::Fixture) is.
pub trait FenceFixture: Sized + Send + Sync + 'static {
    /// The store under test.
    type Store: FenceStore;

    /// A store that holds none of the keys that the laws draw at random.
    fn open() -> impl Future<Output = Self> + Send;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Makes every mark that was written so far older by `duration`.
    fn advance(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The fixture of a store behind [`BoxFenceStore`], so that the boxed twin keeps the same laws.
pub struct Boxed<F> {
    fixture: F,
    store: BoxFenceStore,
}

impl<F> fmt::Debug for Boxed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed(..)")
    }
}

impl<F> FenceFixture for Boxed<F>
where
    F: FenceFixture,
    F::Store: Clone,
{
    type Store = BoxFenceStore;

    async fn open() -> Self {
        let fixture = F::open().await;
        let store = BoxFenceStore::new(fixture.store().clone());
        Self { fixture, store }
    }

    fn store(&self) -> &BoxFenceStore {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.fixture.advance(duration).await;
    }
}

/// Makes a `#[test]` of every law of [`fence_store::conformance`](mod@crate::fence_store::conformance), for the
/// [`FenceFixture`](crate::fence_store::conformance::FenceFixture) that is named. Put it into a module of its own to test
/// several fixtures in one file.
#[macro_export]
macro_rules! fence_conformance {
    ($fixture:ty) => {
        $crate::__fence_conformance_tests! { $fixture;
            order {
                the_first_fence_is_admitted,
                a_greater_fence_is_admitted,
                the_same_holder_is_admitted_again,
                a_lower_fence_is_fenced,
                a_lower_fence_of_the_same_owner_is_fenced,
                an_equal_fence_of_another_owner_is_fenced,
                a_refused_fence_changes_nothing,
                fences_are_compared_to_the_last_bit,
                keys_are_independent,
            }
            time {
                a_fence_lasts_its_retention,
                a_fence_is_forgotten_after_its_retention,
                each_admission_starts_the_retention_anew,
                a_short_retention_shortens_no_longer_one,
                a_refusal_extends_nothing,
                an_admission_past_its_deadline_does_nothing,
            }
            together {
                one_of_many_equal_fences_is_admitted,
                the_highest_of_many_stands,
                whoever_is_fenced_is_told_of_a_greater_one_that_asked,
                a_dropped_admission_can_be_asked_again,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fence_conformance_tests {
    ($fixture:ty; $($group:ident { $($law:ident,)* })*) => {
        // The fixture is named once, because a type cannot be repeated with the laws of each group.
        #[allow(dead_code, reason = "without a test harness there is nobody to use it")]
        type FenceFixtureUnderTest = $fixture;
        $($(
            #[test]
            fn $law() {
                $crate::conformance::run($crate::fence_store::conformance::$group::$law::<FenceFixtureUnderTest>());
            }
        )*)*
    };
}
