//! Random histories of several owners, checked step by step against the pure model.
//!
//! A history is a list of [`Step`]s over a few keys and owners: claims under both policies, claims asked again, renewals and
//! completions of owners that were superseded long ago, releases with and without a fence, resolutions, erasures, looks, and time that
//! passes.
//! Every step is taken by the store and by the pure transitions of [`record`](crate::record), and the two replies must say
//! the same. Fences and times are compared by their order, so the store's clock may be any.
//!
//! Beside the model, six things are watched that need none, so that a mistake in the model is noticed too:
//!
//! 1. Every new grant of a key has a greater fence than all grants of it before, and no two owners have one fence.
//! 2. A key whose attempt may have run is not granted within its retention, unless it was released, resolved as not
//!    executed, erased, or taken over by a claim that allows it.
//! 3. An answer, once recorded, does not change while it lives; one that was erased is not seen again.
//! 4. A completed key is neither granted nor resolved while its answer lives.
//! 5. Nobody is told that its answer is recorded while another one stands.
//! 6. A claim of another request is told so, as long as an attempt may have run.
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! use idempotency_store::conformance::{history, run, Fixture};
//! # use idempotency_store::{ManualClock, MemoryStore};
//! # struct Memory(MemoryStore, std::sync::Arc<ManualClock>);
//! # impl Fixture for Memory {
//! #     type Store = MemoryStore;
//! #     async fn open() -> Self {
//! #         let clock = std::sync::Arc::new(ManualClock::new());
//! #         Self(MemoryStore::new().with_clock(std::sync::Arc::<ManualClock>::clone(&clock)), clock)
//! #     }
//! #     fn store(&self) -> &MemoryStore {
//! #         &self.0
//! #     }
//! #     async fn advance(&self, duration: std::time::Duration) {
//! #         self.1.advance(duration);
//! #     }
//! # }
//!
//! run(async {
//!     let fixture = Memory::open().await;
//!     let report = history::check(&fixture, history::steps(42).take(1000)).await.unwrap();
//!     assert_eq!(report.steps, 1000);
//! });
//! # }
//! ```

mod said;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::fmt;

use self::world::World;
use super::Fixture;

/// One thing that happens. Made from any 64 bits, so that a random generator and a shrinking one can both be its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Which of the keys.
    pub(super) key: usize,
    /// Which of the key's owners.
    pub(super) actor: usize,
    pub(super) action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// A new attempt takes the place of the actor's; what the old one was granted is forgotten.
    Arrive,
    Claim {
        /// Under how many attempts to take over; 0 refuses.
        max_attempts: u32,
        other_request: bool,
        long_terms: bool,
        high_water: bool,
    },
    Renew,
    Checkpoint(u8),
    Complete {
        answer: u8,
        kept: bool,
        /// 0 keeps it for less than its key, 1 for longer, others as long.
        retention: u8,
    },
    Release {
        with_fence: bool,
    },
    Abandon(u8),
    Resolve {
        ran: bool,
        as_seen: bool,
    },
    Inspect,
    Erase {
        as_seen: bool,
    },
    /// How many tens of seconds pass.
    Advance(u64),
}

pub(super) const KEYS: usize = 3;
pub(super) const ACTORS: usize = 4;

impl From<u64> for Step {
    fn from(bits: u64) -> Self {
        // Each field has bits of its own, so that shrinking one leaves the others.
        let field = |shift: u32, choices: u8| u8::try_from((bits >> shift) & 0xFF).unwrap_or_default() % choices;
        let flag = |shift: u32| (bits >> shift) & 1 == 1;
        let number = field(24, 8);
        let action = match field(16, 36) {
            0..=3 => Action::Advance([1, 1, 2, 2, 4, 7, 25, 31].get(usize::from(number)).copied().unwrap_or(1)),
            4..=6 => Action::Arrive,
            7..=15 => Action::Claim {
                max_attempts: u32::from(field(24, 4)),
                other_request: field(32, 8) == 7,
                long_terms: flag(40),
                high_water: flag(41),
            },
            16..=18 => Action::Renew,
            19..=20 => Action::Checkpoint(number),
            21..=24 => Action::Complete { answer: number, kept: flag(40), retention: field(48, 6) },
            25..=27 => Action::Release { with_fence: flag(40) },
            28..=29 => Action::Abandon(field(24, 4)),
            30..=31 => Action::Inspect,
            32 => Action::Erase { as_seen: flag(41) },
            _ => Action::Resolve { ran: flag(40), as_seen: flag(41) },
        };
        Self { key: usize::from(field(0, 3)), actor: usize::from(field(8, 4)), action }
    }
}

/// The endless history of this seed.
pub fn steps(seed: u64) -> impl Iterator<Item = Step> {
    // SplitMix64: small, and as good as a test needs.
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Step::from(mixed ^ (mixed >> 31))
    })
}

/// A history that the store went through as the model did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many steps were taken.
    pub steps: usize,
    /// How often each verb got each reply, so that a test can tell that its histories met everything.
    pub replies: BTreeMap<String, usize>,
}

/// The store answered what the model did not, or what no store may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// The number of the step, from 0.
    pub at: usize,
    /// The step.
    pub step: Step,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}, {:?}: {}", self.at, self.step, self.what)
    }
}

impl std::error::Error for Divergence {}

/// Takes the steps on the store and on the model, on fresh keys. One fixture serves any number of histories.
///
/// # Errors
///
/// [`Divergence`] at the first step at which the two differ, or at which the store breaks one of the watched laws.
pub async fn check<F: Fixture>(fixture: &F, steps: impl IntoIterator<Item = Step>) -> Result<Report, Divergence> {
    let mut world = World::new(fixture);
    let mut report = Report::default();
    for step in steps {
        let reply = world.take(step).await.map_err(|what| Divergence { at: report.steps, step, what })?;
        report.steps += 1;
        if let Some(reply) = reply {
            *report.replies.entry(reply).or_default() += 1;
        }
    }
    Ok(report)
}
