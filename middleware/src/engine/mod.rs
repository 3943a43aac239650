//! Leases over a store: claiming, holding, completing and giving up, for any work whose outcome is bytes.
//!
//! Nothing here knows HTTP. The rule that shapes it: an error is never taken for "not executed". A verb whose effect is
//! unknown is asked again as the same owner until its reply tells, in the background where nobody can wait.

mod backoff;
mod by_owner;
mod claim;
mod hold;
mod keeper;
mod notes;
mod resolve;
mod rooms;
mod settle;
mod tenure;
mod tracker;
mod wait;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use idempotency_store::{Fence, Reason, Store, Terms};
use tokio::sync::Semaphore;

use crate::config::{ConfigError, Timing};
use crate::counts::Counters;
use keeper::Keeper;
use resolve::Resolvers;
use rooms::Rooms;
use tracker::Tracker;

pub(crate) use backoff::Backoff;
pub(crate) use claim::{Chain, Unclaimed};
pub(crate) use hold::Hold;
pub(crate) use resolve::Resolving;
pub(crate) use rooms::{News, NoSeat};
pub(crate) use settle::Completion;
pub(crate) use tenure::{NotHeld, Tenure};
pub use tracker::Drained;

/// How many outcomes may be told to the store in the background at once. Each keeps its answer in memory until then.
const IN_BACKGROUND: usize = 1024;

/// Everything that all requests of one layer share.
pub(crate) struct Engine<S> {
    store: Arc<S>,
    timing: Timing,
    terms: Terms,
    /// The greatest fence seen, so that fences keep growing over a store whose clock went back.
    high_water: Arc<AtomicU64>,
    tracker: Arc<Tracker>,
    keeper: Arc<Keeper<S>>,
    background: Arc<Semaphore>,
    pub(crate) counts: Arc<Counters>,
    resolvers: Arc<Resolvers>,
    rooms: Arc<Rooms>,
}

impl<S: Store> Engine<S> {
    /// An engine with the default timing, of which a test says that its terms are the default ones.
    pub(crate) fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            timing: Timing::default(),
            terms: Terms::default(),
            high_water: Arc::default(),
            tracker: Arc::default(),
            keeper: Arc::default(),
            background: Arc::new(Semaphore::new(IN_BACKGROUND)),
            counts: Arc::default(),
            resolvers: Arc::default(),
            rooms: Arc::default(),
        }
    }

    /// The same store and the same work in progress under other terms.
    pub(crate) fn with_timing(&self, timing: Timing) -> Result<Self, ConfigError> {
        Ok(Self {
            store: Arc::clone(&self.store),
            timing,
            terms: timing.terms()?,
            high_water: Arc::clone(&self.high_water),
            tracker: Arc::clone(&self.tracker),
            keeper: Arc::clone(&self.keeper),
            background: Arc::clone(&self.background),
            counts: Arc::clone(&self.counts),
            resolvers: Arc::clone(&self.resolvers),
            rooms: Arc::clone(&self.rooms),
        })
    }

    pub(crate) const fn max_execution(&self) -> Duration {
        self.timing.max_execution
    }

    fn high_water(&self) -> Option<Fence> {
        Some(self.high_water.load(Ordering::Relaxed)).filter(|fence| *fence > 0).map(Fence::new)
    }

    fn saw(&self, fence: Fence) {
        self.high_water.fetch_max(fence.get(), Ordering::Relaxed);
    }

    /// Stops claiming, sends off who waits for another attempt, waits for what runs, and marks indeterminate what still runs after `patience`.
    pub(crate) async fn drain(self: &Arc<Self>, patience: Duration) -> Drained {
        self.tracker.close();
        self.rooms.close();
        self.keeper.close();
        if tokio::time::timeout(patience, self.tracker.idle()).await.is_ok() {
            return Drained { abandoned: 0 };
        }
        let running = self.tracker.running();
        let mut marks = tokio::task::JoinSet::new();
        for grant in &running {
            let (engine, grant) = (Arc::clone(self), *grant);
            marks.spawn(async move { engine.abandon_grant(&grant, Reason::Shutdown).await });
        }
        while marks.join_next().await.is_some() {}
        Drained { abandoned: running.len() }
    }
}

impl<S> std::fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("timing", &self.timing).finish_non_exhaustive()
    }
}
