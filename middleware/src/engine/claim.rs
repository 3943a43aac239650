//! Asking for a key until the reply is known or the budget is spent.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use idempotency_store::{Attempt, Claim, Claimed, Deadline, ErrorKind, Fence, OnAbandoned, Store, StoreError};

use super::Engine;
use super::backoff::Backoff;
use super::tracker::Running;

/// The store could not be asked about a key. Unless the work runs all the same, nothing was granted, and whatever the store may
/// still do with a claim is being undone.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Unclaimed {
    /// The store did not answer.
    Unavailable,
    /// The store did not answer, and the work runs all the same: nothing is undone.
    Unprotected,
    /// The record cannot be used.
    Corrupt,
}

impl<S: Store> Engine<S> {
    /// Announces work that a shutdown waits for, or `None` if nothing new may begin.
    pub(crate) fn begin(&self) -> Option<Running> {
        self.tracker.begin()
    }

    /// Asks for the key of `attempt`, again as the same owner while the outcome is unknown and budget is left:
    /// the claim budget, or `at_most` if that is less.
    ///
    /// If the store does not answer, `fails_open` is asked whether the work runs all the same. A claim that may have been
    /// applied is not given back then: it must say that nobody knows, not that the key is free.
    ///
    /// Not cancel safe: the caller runs it in a task of its own.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        attempt: Attempt,
        on_abandoned: OnAbandoned,
        at_most: Duration,
        fails_open: impl Fn() -> bool + Send,
    ) -> Result<Claimed, Unclaimed> {
        let deadline = Deadline::after(self.timing.claim_budget.min(at_most));
        let mut backoff = Backoff::new();
        let mut may_be_applied = false;
        loop {
            let error = match self.ask(attempt, on_abandoned, deadline).await {
                Ok(claimed) => return Ok(claimed),
                Err(error) => error,
            };
            may_be_applied |= error.kind() == ErrorKind::Unknown;
            let delay = backoff.delay();
            if error.kind() == ErrorKind::Unknown && delay < deadline.remaining() {
                tokio::time::sleep(delay).await;
                continue;
            }
            let unclaimed = self.unclaimed(&error, attempt, !self.tracker.is_closed() && fails_open());
            if may_be_applied && unclaimed != Unclaimed::Unprotected {
                self.release_in_background(attempt, None);
            }
            return Err(unclaimed);
        }
    }

    async fn ask(
        &self,
        attempt: Attempt,
        on_abandoned: OnAbandoned,
        deadline: Deadline,
    ) -> Result<Claimed, StoreError> {
        let claim = Claim { attempt, terms: self.terms, high_water: self.high_water(), on_abandoned };
        let claimed = self.store.claim(&claim, deadline).await?;
        if let Claimed::Acquired { grant, .. } = &claimed {
            self.saw(grant.fence);
        }
        Ok(claimed)
    }

    /// Gives back a key whose work has not begun, until the store has said that it took it.
    ///
    /// Not only until the lease lapses: a lapsed key is not free, its outcome counts as unknown.
    pub(super) fn release_in_background(self: &Arc<Self>, attempt: Attempt, fence: Option<Fence>) {
        let Ok(permit) = Arc::clone(&self.background).try_acquire_owned() else {
            tracing::error!(key = ?attempt.key, "too many outcomes wait for the store; this key is not given back");
            self.counts.lost.up();
            return;
        };
        let engine = Arc::clone(self);
        let busy = self.tracker.background();
        tokio::spawn(async move {
            let give_up = Deadline::after(engine.timing.max_execution);
            let mut backoff = Backoff::new();
            while let Err(error) = engine.store.release(&attempt, fence, engine.verb_deadline()).await {
                if give_up.is_past() {
                    tracing::error!(key = ?attempt.key, cause = %Chain(&error), "a key was not given back");
                    engine.counts.lost.up();
                    break;
                }
                tokio::time::sleep(backoff.delay()).await;
            }
            engine.stir(&attempt);
            drop((permit, busy));
        });
    }

    fn unclaimed(&self, error: &StoreError, attempt: Attempt, fails_open: bool) -> Unclaimed {
        if fails_open && error.kind() != ErrorKind::Corrupt {
            tracing::error!(key = ?attempt.key, cause = %Chain(error), "a request runs unprotected: no store answered");
            self.counts.unprotected.up();
            return Unclaimed::Unprotected;
        }
        unclaimed(error, attempt)
    }

    /// Asks until the store has answered, as long as asking again may help and there is time.
    pub(super) async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        deadline: Deadline,
        ask: impl Fn(Deadline) -> F,
    ) -> Result<T, StoreError> {
        let mut backoff = Backoff::new();
        loop {
            let error = match ask(deadline.earlier(self.verb_deadline())).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let delay = backoff.delay();
            if error.kind() == ErrorKind::Corrupt || delay >= deadline.remaining() {
                return Err(error);
            }
            tokio::time::sleep(delay).await;
        }
    }

    /// How long one verb may take before it is asked again.
    pub(super) fn verb_deadline(&self) -> Deadline {
        Deadline::after(self.timing.claim_budget)
    }
}

pub(super) fn unclaimed(error: &StoreError, attempt: Attempt) -> Unclaimed {
    if error.kind() == ErrorKind::Corrupt {
        tracing::error!(key = ?attempt.key, cause = %Chain(error), "the record of a key cannot be used");
        return Unclaimed::Corrupt;
    }
    tracing::warn!(key = ?attempt.key, cause = %Chain(error), "the store did not answer");
    Unclaimed::Unavailable
}

/// An error with its sources, on one line. A store's errors contain no input of a client.
pub(crate) struct Chain<'a>(pub(crate) &'a StoreError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
