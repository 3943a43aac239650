//! Holding a lease: the renewals, the news of its loss, and the guard that speaks when nobody else does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use idempotency_store::{Deadline, Grant, Loss, Reason, Renewed, Store};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Engine;
use super::claim::Chain;
use super::tracker::Running;

/// A lease that is being renewed. Whoever has it must settle it: complete, release or abandon.
///
/// Dropped unsettled - the runtime is going down, or a bug - it marks the key indeterminate if it still can.
pub(crate) struct Tenure<S: Store> {
    grant: Grant,
    engine: Arc<Engine<S>>,
    renewals: AbortHandle,
    lost: watch::Receiver<bool>,
    settled: bool,
    _running: Running,
}

impl<S: Store> Engine<S> {
    /// Starts renewing a lease that was claimed at `claimed_at`, or `None` if this process is shutting down and must not
    /// start anything.
    pub(crate) fn hold(self: &Arc<Self>, grant: Grant, claimed_at: Instant) -> Option<Tenure<S>> {
        let running = self.tracker.enter(grant)?;
        let (losing, lost) = watch::channel(false);
        let renewals = tokio::spawn(renew(Arc::clone(self), grant, claimed_at, losing)).abort_handle();
        Some(Tenure { grant, engine: Arc::clone(self), renewals, lost, settled: false, _running: running })
    }
}

impl<S: Store> Tenure<S> {
    pub(crate) const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Becomes true when the lease can no longer be counted on.
    pub(crate) fn lost(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }

    /// The outcome is with the store, or on its way there by other hands.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl<S: Store> Drop for Tenure<S> {
    fn drop(&mut self) {
        self.renewals.abort();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.settled {
            let (engine, grant) = (Arc::clone(&self.engine), self.grant);
            runtime.spawn(async move { engine.abandon_grant(&grant, Reason::Cancelled).await });
        }
    }
}

/// Renews the lease at a third of its length, until it is lost or the maximal execution is over.
async fn renew<S: Store>(engine: Arc<Engine<S>>, grant: Grant, claimed_at: Instant, losing: watch::Sender<bool>) {
    let lease = grant.terms.lease();
    let period = lease / 3;
    // The lease began somewhere between asking and the reply; the earlier is the safe one to count from.
    let mut held_since = claimed_at;
    let mut next = claimed_at + period;
    while claimed_at.elapsed() < engine.timing.max_execution {
        tokio::time::sleep_until(next.into()).await;
        let asked_at = Instant::now();
        match engine.store.renew(&grant, Deadline::after(period)).await {
            Ok(Renewed::Held) => held_since = asked_at,
            Ok(Renewed::Recreated) => {
                held_since = asked_at;
                tracing::error!(key = ?grant.attempt.key, "the store had lost the record of a running request");
            }
            // The attempt has just been recorded by its own hand.
            Ok(Renewed::Lost(Loss::Completed(completed))) if completed.fence == grant.fence => break,
            Ok(Renewed::Lost(loss)) => {
                tracing::warn!(key = ?grant.attempt.key, ?loss, "a lease was lost while its handler runs");
                break;
            }
            Err(error) => tracing::warn!(key = ?grant.attempt.key, cause = %Chain(&error), "a renewal failed"),
        }
        if held_since.elapsed() >= lease {
            // Others may see it as lapsed. It is renewed on: as long as nobody took over, that revives it.
            losing.send_replace(true);
        }
        next = asked_at + period.max(Duration::from_millis(1));
    }
    losing.send_replace(true);
}
