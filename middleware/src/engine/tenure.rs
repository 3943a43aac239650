//! Holding a lease: the renewals, and the guard that speaks when nobody else does.

use std::sync::Arc;
use std::time::Duration;

use idempotency_store::{Deadline, Grant, Loss, Reason, Renewed, Store};
use tokio::runtime::Id;
use tokio::time::Instant;

use super::Engine;
use super::claim::Chain;
use super::hold::Hold;
use super::tracker::Running;

/// A lease that is being renewed. Whoever has it must settle it: complete, release or abandon.
///
/// Dropped unsettled - the runtime is going down, or a bug - it marks the key indeterminate if it still can.
pub(crate) struct Tenure<S: Store> {
    grant: Grant,
    engine: Arc<Engine<S>>,
    /// Where its renewals run.
    runtime: Id,
    hold: Arc<Hold>,
    settled: bool,
    _running: Running,
}

/// Nothing may be started under this grant.
#[derive(Debug)]
pub(crate) enum NotHeld {
    /// This process is shutting down. The key is given back.
    Draining,
    /// The lease had lapsed before anything was started, and the store could not be asked again. The key is given back.
    Unavailable,
    /// The lease had lapsed before anything was started, and the key was settled by others.
    Lost(Loss),
}

impl<S: Store> Engine<S> {
    /// Starts renewing a lease that was asked for at `asked_at`.
    ///
    /// A lease that may have lapsed since - the reply was late, or the process was stopped - is renewed first: others
    /// may have been told that its outcome is unknown, and have settled it.
    pub(crate) async fn hold(self: &Arc<Self>, grant: Grant, mut asked_at: Instant) -> Result<Tenure<S>, NotHeld> {
        let Some(running) = self.tracker.enter(grant) else {
            Box::pin(self.release_unstarted(&grant)).await;
            return Err(NotHeld::Draining);
        };
        while asked_at.elapsed() >= grant.terms.lease() {
            asked_at = Instant::now();
            match Box::pin(self.store.renew(&grant, self.verb_deadline())).await {
                Ok(Renewed::Held) => {}
                Ok(Renewed::Recreated) => self.note_recreated(&grant),
                Ok(Renewed::Lost(loss)) => return Err(NotHeld::Lost(loss)),
                Err(error) => {
                    tracing::warn!(key = ?grant.attempt.key, cause = %Chain(&error), "a lease lapsed before its work began");
                    Box::pin(self.release_unstarted(&grant)).await;
                    return Err(NotHeld::Unavailable);
                }
            }
        }
        let hold = Arc::new(Hold::new(asked_at + grant.terms.lease()));
        let renewal = Renewal { engine: Arc::clone(self), grant, asked_at, hold: Arc::clone(&hold) };
        let runtime = self.keeper.keep(grant.attempt.owner, renewal);
        Ok(Tenure { runtime, grant, engine: Arc::clone(self), hold, settled: false, _running: running })
    }
}

impl<S: Store> Tenure<S> {
    pub(crate) const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// How the lease stands, now and later.
    pub(crate) fn hold(&self) -> Arc<Hold> {
        Arc::clone(&self.hold)
    }

    /// The outcome is with the store, or on its way there by other hands.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl<S: Store> Drop for Tenure<S> {
    fn drop(&mut self) {
        self.engine.keeper.leave(self.runtime, &self.grant.attempt.owner);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.settled {
            let (engine, grant) = (Arc::clone(&self.engine), self.grant);
            runtime.spawn(async move { engine.abandon_grant(&grant, Reason::Cancelled).await });
        }
    }
}

/// What is needed to renew a lease.
pub(super) struct Renewal<S> {
    engine: Arc<Engine<S>>,
    grant: Grant,
    asked_at: Instant,
    hold: Arc<Hold>,
}

impl<S: Store> Renewal<S> {
    fn period(&self) -> Duration {
        (self.grant.terms.lease() / 3).max(Duration::from_millis(1))
    }

    /// When the first renewal is due.
    pub(super) fn due(&self) -> Instant {
        self.asked_at + self.period()
    }

    /// From when on [`run`](Self::run) may be called: with some time in hand, so that those that are due one after the other are
    /// begun together.
    pub(super) fn begins(&self) -> Instant {
        self.asked_at + self.period() / 8 * 7
    }

    /// Renews the lease at a third of its length, until it is lost or the maximal execution is over.
    ///
    /// While the store does not answer, it is asked on, also past the lease: as long as nobody took over, that revives it.
    pub(super) async fn run(self) {
        let (lease, period, mut next) = (self.grant.terms.lease(), self.period(), self.due());
        let Self { engine, grant, asked_at, hold } = self;
        while asked_at.elapsed() < engine.timing.max_execution {
            tokio::time::sleep_until(next).await;
            let renewed_at = Instant::now();
            match engine.store.renew(&grant, Deadline::after(period)).await {
                Ok(Renewed::Held) => hold.prolong(renewed_at + lease),
                Ok(Renewed::Recreated) => {
                    hold.prolong(renewed_at + lease);
                    engine.note_recreated(&grant);
                }
                // The attempt has just been recorded by its own hand.
                Ok(Renewed::Lost(Loss::Completed(completed))) if completed.fence == grant.fence => break,
                Ok(Renewed::Lost(loss)) => {
                    tracing::warn!(key = ?grant.attempt.key, ?loss, "a lease was lost while its handler runs");
                    break;
                }
                Err(error) => tracing::warn!(key = ?grant.attempt.key, cause = %Chain(&error), "a renewal failed"),
            }
            next = renewed_at + period;
        }
        hold.lose();
    }
}
