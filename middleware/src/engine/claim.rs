//! Asking for a key until the reply is known or the budget is spent.

use std::sync::Arc;

use idempotency_store::{Attempt, Claim, Claimed, Deadline, ErrorKind, OnAbandoned, Store, StoreError};

use super::Engine;
use super::backoff::Backoff;

/// The key was not granted, and whatever the store may still do with the claim is being undone. The work must not run.
#[derive(Debug)]
pub(crate) enum Unclaimed {
    /// The store did not answer.
    Unavailable,
    /// The record cannot be used.
    Corrupt,
    /// This process is shutting down.
    Draining,
}

impl<S: Store> Engine<S> {
    /// Asks for the key of `attempt`, again as the same owner while the outcome is unknown and budget is left.
    ///
    /// Not cancel safe: the caller runs it in a task of its own.
    pub(crate) async fn claim(self: &Arc<Self>, attempt: Attempt) -> Result<Claimed, Unclaimed> {
        if self.tracker.is_closed() {
            return Err(Unclaimed::Draining);
        }
        let deadline = Deadline::after(self.timing.claim_budget);
        let mut backoff = Backoff::new();
        let mut may_be_applied = false;
        loop {
            let error = match self.ask(attempt, deadline).await {
                Ok(claimed) => return Ok(claimed),
                Err(error) => error,
            };
            may_be_applied |= error.kind() == ErrorKind::Unknown;
            let delay = backoff.delay();
            if error.kind() == ErrorKind::Unknown && delay < deadline.remaining() {
                tokio::time::sleep(delay).await;
                continue;
            }
            if may_be_applied {
                self.release_in_background(attempt);
            }
            return Err(unclaimed(&error, attempt));
        }
    }

    async fn ask(&self, attempt: Attempt, deadline: Deadline) -> Result<Claimed, StoreError> {
        let claim =
            Claim { attempt, terms: self.terms, high_water: self.high_water(), on_abandoned: OnAbandoned::Refuse };
        let claimed = self.store.claim(&claim, deadline).await?;
        if let Claimed::Acquired { grant, .. } = &claimed {
            self.saw(grant.fence);
        }
        Ok(claimed)
    }

    /// Gives back a claim that may have been granted without anybody seeing it, until the store has said so or the lease
    /// would have lapsed anyway.
    fn release_in_background(self: &Arc<Self>, attempt: Attempt) {
        let engine = Arc::clone(self);
        let busy = self.tracker.background();
        let give_up = Deadline::after(self.terms.lease());
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            while !give_up.is_past() {
                if engine.store.release(&attempt, None, engine.verb_deadline()).await.is_ok() {
                    break;
                }
                tokio::time::sleep(backoff.delay().min(give_up.remaining())).await;
            }
            drop(busy);
        });
    }

    /// How long one verb in the background may take before it is asked again.
    pub(super) fn verb_deadline(&self) -> Deadline {
        Deadline::after(self.timing.claim_budget)
    }
}

fn unclaimed(error: &StoreError, attempt: Attempt) -> Unclaimed {
    if error.kind() == ErrorKind::Corrupt {
        tracing::error!(key = ?attempt.key, cause = %Chain(error), "the record of a key cannot be used");
        return Unclaimed::Corrupt;
    }
    tracing::warn!(key = ?attempt.key, cause = %Chain(error), "no claim: the store did not answer");
    Unclaimed::Unavailable
}

/// An error with its sources, on one line. A store's errors contain no input of a client.
pub(super) struct Chain<'a>(pub(super) &'a StoreError);

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
