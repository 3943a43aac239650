//! The laws that every store must keep, as tests: one per law and per row of the
//! [transition table](crate#the-transition-table).
//!
//! Give the suite a [`Fixture`], and one line makes a `#[test]` of each law:
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # mod memory {
//! use idempotency_store::conformance::Fixture;
//! use idempotency_store::{ManualClock, MemoryStore};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! struct Memory {
//!     store: MemoryStore,
//!     clock: Arc<ManualClock>,
//! }
//!
//! impl Fixture for Memory {
//!     type Store = MemoryStore;
//!
//!     async fn open() -> Self {
//!         let clock = Arc::new(ManualClock::new());
//!         Self { store: MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock)), clock }
//!     }
//!
//!     fn store(&self) -> &MemoryStore {
//!         &self.store
//!     }
//!
//!     async fn advance(&self, duration: Duration) {
//!         self.clock.advance(duration);
//!     }
//! }
//!
//! idempotency_store::conformance!(Memory);
//!
//! mod boxed {
//!     idempotency_store::conformance!(idempotency_store::conformance::Boxed<super::Memory>);
//! }
//! # // One of the tests that the macro has made, run by hand: a doctest has no harness.
//! # pub fn run() {
//! #     use idempotency_store::conformance::{complete, run};
//! #     run(complete::complete_past_the_deadline_is_recorded::<Memory>());
//! # }
//! # }
//! # fn main() {
//! #     #[cfg(feature = "memory")]
//! #     memory::run();
//! # }
//! ```
//!
//! A test that fails bears the name of the law, and its message says what the store did instead. The suite brings its own
//! runtime, so the crate under test needs none.
//!
//! [`history`] adds random histories, compared step by step with the pure model.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unchecked_time_subtraction,
    reason = "this is a test suite: a law that is broken panics"
)]

pub mod abandon;
#[cfg(feature = "cache")]
mod cached;
mod case;
pub mod checkpoint;
pub mod claim;
pub mod complete;
#[cfg(feature = "encrypt")]
mod encrypted;
pub mod erase;
pub mod fence;
pub mod history;
pub mod inspect;
pub mod large;
pub mod list;
pub mod release;
pub mod renew;
pub mod replay;
pub mod resolve;
pub mod together;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::{BoxStore, Store};

#[cfg(feature = "cache")]
pub use cached::Cached;
#[cfg(feature = "encrypt")]
pub use encrypted::Encrypted;

/// A store to be tested, and its time.
///
/// The fixture is also the guard of what the store needs: a temporary directory, a server's process, a key prefix. The
/// laws open one each and drop it at their end.
pub trait Fixture: Sized + Send + Sync + 'static {
    /// The store under test. If it is not `Clone` and is to be tested boxed too, name an [`Arc`](std::sync::Arc) of it
    /// here: that is a store as well.
    type Store: Store;

    /// A store that holds none of the keys that the laws draw at random.
    fn open() -> impl Future<Output = Self> + Send;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Makes every record that was written so far older by `duration`.
    ///
    /// A store on a [`ManualClock`](crate::ManualClock) moves it; one on a server's clock shortens what is left of each
    /// record. No law looks at the store's absolute time, and none minds if some seconds pass by themselves.
    fn advance(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The fixture of a store behind [`BoxStore`], so that the boxed twin keeps the same laws.
///
/// It takes a clone of the fixture's store, so [`Fixture::Store`] must be `Clone`: an [`Arc`](std::sync::Arc) of a store is.
pub struct Boxed<F> {
    fixture: F,
    store: BoxStore,
}

impl<F> fmt::Debug for Boxed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed(..)")
    }
}

impl<F> Fixture for Boxed<F>
where
    F: Fixture,
    F::Store: Clone,
{
    type Store = BoxStore;

    async fn open() -> Self {
        let fixture = F::open().await;
        let store = BoxStore::new(fixture.store().clone());
        Self { fixture, store }
    }

    fn store(&self) -> &BoxStore {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.fixture.advance(duration).await;
    }
}

/// Runs a law to its end on a runtime of its own.
pub fn run(law: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built")
        .block_on(law);
}

/// Makes a `#[test]` of every law of [`conformance`](mod@crate::conformance), for the [`Fixture`](crate::conformance::Fixture)
/// that is named. Put it into a module of its own to test several fixtures in one file.
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::__conformance_tests! { $fixture;
            claim {
                an_absent_key_is_acquired,
                asking_again_gives_the_same_grant,
                asking_again_restarts_the_lease,
                asking_again_past_the_deadline_gives_the_same_grant,
                asking_again_gives_the_checkpoint,
                in_flight_refuses_other_owners,
                reexecute_waits_for_the_deadline,
                a_lapsed_key_is_indeterminate_and_not_free,
                a_refused_claim_leaves_the_fence,
                an_abandoned_key_is_indeterminate,
                reexecute_takes_over_a_lapsed_key,
                reexecute_takes_over_an_abandoned_key,
                spent_attempts_are_refused,
                attempts_are_spent_one_by_one,
                an_indeterminate_reply_tells_of_a_lapsed_key,
                an_indeterminate_reply_tells_of_an_abandoned_key,
                released_is_granted_to_another_owner,
                released_refuses_the_same_owner,
                released_forgets_the_fingerprint,
            }
            replay {
                mismatch_in_flight,
                mismatch_past_the_deadline,
                mismatch_when_indeterminate,
                mismatch_when_completed,
                completed_is_replayed,
                a_tombstone_is_replayed,
                completed_is_replayed_for_a_whole_retention,
                a_replay_does_not_extend_the_retention,
                an_expired_answer_is_forgotten,
                an_expired_lease_is_forgotten,
            }
            fence {
                fences_grow_with_every_grant,
                a_high_water_lifts_the_fence,
                a_high_water_far_ahead_is_not_spread,
                the_record_keeps_its_terms,
                a_rejected_claim_moves_no_deadline,
                keys_are_independent,
            }
            renew {
                renew_moves_the_deadline,
                renew_past_the_deadline_holds,
                renew_extends_the_retention,
                renew_keeps_the_checkpoint,
                renew_needs_owner_and_fence,
                renew_after_a_takeover_is_lost,
                renew_of_a_completed_key_is_lost,
                renew_of_an_abandoned_key_is_lost,
                renew_of_a_released_key_is_lost,
                renew_of_another_requests_key_is_lost,
                renew_recreates_a_lost_record,
                renew_does_not_recreate_an_expired_record,
            }
            complete {
                complete_records_the_answer,
                complete_past_the_deadline_is_recorded,
                complete_of_an_abandoned_key_is_recorded,
                completing_again_keeps_the_first_answer,
                complete_needs_owner_and_fence,
                complete_of_another_owners_abandoned_key_is_lost,
                a_superseded_owner_gets_the_winners_answer,
                complete_of_another_owners_completed_key_is_lost,
                complete_of_a_released_key_is_lost,
                complete_of_another_requests_key_is_lost,
                complete_recreates_a_lost_record,
                complete_does_not_recreate_an_expired_record,
                complete_ends_the_lease,
                answers_are_kept_byte_for_byte,
                an_answer_may_be_kept_for_less,
                an_answer_may_be_kept_for_longer,
                a_late_answer_may_be_kept_for_less,
                completing_again_keeps_the_first_retention,
                a_short_answer_may_be_completed_again,
            }
            large {
                a_large_answer_is_recorded,
                a_late_large_answer_is_recorded,
                a_large_answer_follows_a_checkpoint,
                completing_again_keeps_the_first_large_answer,
                a_large_answer_needs_owner_and_fence,
                a_large_answer_of_a_superseded_owner_is_lost,
                a_large_answer_of_a_released_key_is_lost,
                a_large_answer_recreates_a_lost_record,
                a_large_answer_is_kept_for_its_retention,
                an_answer_keeps_the_terms_of_the_record,
            }
            checkpoint {
                the_last_checkpoint_is_handed_over,
                a_checkpoint_moves_no_deadline,
                a_checkpoint_past_the_deadline_is_kept,
                a_checkpoint_of_the_largest_size_is_kept,
                a_checkpoint_needs_owner_and_fence,
                a_checkpoint_after_a_takeover_is_lost,
                a_checkpoint_needs_an_attempt_in_flight,
            }
            release {
                release_frees_the_key,
                release_without_a_fence_needs_the_owner_only,
                release_past_the_deadline_is_released,
                releasing_again_is_released,
                release_of_another_owners_tombstone_is_lost,
                release_needs_the_owner_and_its_fence,
                release_after_a_takeover_is_lost,
                release_of_a_takeover_is_no_release,
                release_of_a_completed_key_is_lost,
                release_of_an_abandoned_key_is_lost,
                release_of_an_absent_key_refuses_its_late_claim,
                release_of_a_lost_record_keeps_its_fence,
                a_tombstone_lasts_a_minute,
            }
            abandon {
                abandon_marks_the_key_at_once,
                abandoning_again_is_abandoned,
                abandon_past_the_deadline_is_abandoned,
                abandon_needs_owner_and_fence,
                abandon_after_a_takeover_is_lost,
                abandon_needs_an_attempt_in_flight,
                an_abandoned_key_lasts_its_retention,
            }
            resolve {
                resolve_completes_an_abandoned_key,
                resolve_completes_a_lapsed_key,
                resolve_releases_what_did_not_run,
                resolve_needs_the_fence_that_was_seen,
                resolve_of_a_key_in_flight_conflicts,
                resolve_of_a_key_that_its_owner_touched_conflicts,
                resolve_after_a_takeover_conflicts,
                resolve_needs_an_indeterminate_key,
                a_late_completion_learns_that_another_answer_stands,
            }
            inspect {
                inspect_shows_a_key_in_flight,
                inspect_shows_a_lapsed_key,
                inspect_shows_an_abandoned_key,
                inspect_shows_a_completed_key,
                inspect_shows_nothing_of_an_absent_key,
                inspect_writes_nothing,
            }
            list {
                list_pages_cover_every_key_once,
                list_by_standing,
                list_shows_what_stands,
                list_writes_nothing,
                list_refuses_a_foreign_cursor,
            }
            erase {
                erase_forgets_the_answer_and_blocks_a_late_complete,
                erase_forgets_a_lapsed_key,
                erase_forgets_an_abandoned_key,
                erase_forgets_a_released_key,
                erase_leaves_a_key_in_flight_alone,
                erase_needs_the_fence_that_was_seen,
                erase_of_a_key_that_was_completed_since_conflicts,
                erasing_again_is_erased,
                a_late_erasure_takes_no_other_answer,
            }
            together {
                one_of_many_claims_is_granted,
                one_of_many_takeovers_is_granted,
                one_of_many_claims_after_a_release_is_granted,
                one_owner_holds_one_fence,
                different_keys_are_granted_side_by_side,
                a_completion_and_a_takeover_agree,
                a_completion_and_an_erasure_agree,
                a_verb_past_its_deadline_does_nothing,
                a_ping_answers,
                a_dropped_verb_can_be_asked_again,
                a_dropped_claim_can_be_released,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($fixture:ty; $($group:ident { $($law:ident,)* })*) => {
        // The fixture is named once, because a type cannot be repeated with the laws of each group.
        #[allow(dead_code, reason = "without a test harness there is nobody to use it")]
        type FixtureUnderTest = $fixture;
        $($(
            #[test]
            fn $law() {
                $crate::conformance::run($crate::conformance::$group::$law::<FixtureUnderTest>());
            }
        )*)*
    };
}
