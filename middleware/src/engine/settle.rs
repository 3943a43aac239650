//! The end of a tenure: recorded, released or abandoned, now or in the background.

use std::sync::Arc;

use idempotency_store::{Abandoned, Deadline, ErrorKind, Grant, Loss, Reason, Recorded, Released, Store, StoreError};

use super::claim::Chain;
use super::{Engine, Tenure};

/// What became of an outcome.
#[derive(Debug)]
pub(crate) enum Completion {
    /// The store has it.
    Settled,
    /// The store did not take it in time; it is tried on in the background where that can help.
    Unrecorded,
    /// Another attempt holds or has settled the key. Its word counts.
    Superseded(Loss),
}

/// What to tell the store.
#[derive(Clone)]
enum Outcome {
    Answer(idempotency_store::Completion),
    NotExecuted,
}

impl<S: Store> Engine<S> {
    /// Records the answer; gives up waiting after the completion wait and goes on in the background.
    ///
    /// Not cancel safe: the caller runs it in a task of its own.
    pub(crate) async fn complete(
        self: &Arc<Self>,
        tenure: Tenure<S>,
        completion: idempotency_store::Completion,
    ) -> Completion {
        self.settle(tenure, Outcome::Answer(completion)).await
    }

    /// Gives the key back, because the work is known not to have run.
    ///
    /// Not cancel safe: the caller runs it in a task of its own.
    pub(crate) async fn release(self: &Arc<Self>, tenure: Tenure<S>) -> Completion {
        self.settle(tenure, Outcome::NotExecuted).await
    }

    /// Gives back a key whose work has not begun and will not.
    pub(crate) async fn release_unstarted(self: &Arc<Self>, grant: &Grant) {
        let released = self.store.release(&grant.attempt, Some(grant.fence), self.verb_deadline()).await;
        if let Err(error) = released {
            tracing::warn!(key = ?grant.attempt.key, cause = %Chain(&error), "a key is not given back yet");
            self.release_in_background(grant.attempt, Some(grant.fence));
        }
        self.stir(&grant.attempt);
    }

    /// Marks the key indeterminate at once.
    ///
    /// If the store does not answer, the lease lapses and says the same.
    pub(crate) async fn abandon(&self, tenure: Tenure<S>, reason: Reason) -> Completion {
        let lost = self.abandon_grant(tenure.grant(), reason).await;
        tenure.settle();
        lost.map_or(Completion::Settled, Completion::Superseded)
    }

    /// Ends a tenure whose outcome the store was told by other means.
    pub(crate) fn leave(&self, tenure: Tenure<S>) -> Completion {
        self.stir(&tenure.grant().attempt);
        tenure.settle();
        Completion::Settled
    }

    /// How the key stands, if it is not this grant's any more.
    pub(super) async fn abandon_grant(&self, grant: &Grant, reason: Reason) -> Option<Loss> {
        tracing::warn!(key = ?grant.attempt.key, ?reason, "nobody knows whether this request was executed");
        let lost = match self.store.abandon(grant, reason, self.verb_deadline()).await {
            Ok(Abandoned::Abandoned) => None,
            Ok(Abandoned::Lost(loss)) => Some(loss),
            Err(error) => {
                tracing::warn!(key = ?grant.attempt.key, cause = %Chain(&error), "the mark was not stored");
                None
            }
        };
        self.stir(&grant.attempt);
        lost
    }

    async fn settle(self: &Arc<Self>, tenure: Tenure<S>, outcome: Outcome) -> Completion {
        let deadline = Deadline::after(self.timing.completion_wait);
        let error = match self.tell_until(&tenure, &outcome, deadline).await {
            Ok(completion) => {
                self.stir(&tenure.grant().attempt);
                tenure.settle();
                return completion;
            }
            Err(error) => error,
        };
        tracing::warn!(key = ?tenure.grant().attempt.key, cause = %Chain(&error), "an outcome is not recorded yet");
        self.counts.unrecorded.up();
        match error.kind() {
            ErrorKind::Corrupt => {
                self.counts.lost.up();
                tenure.settle();
            }
            _ => self.settle_in_background(tenure, outcome),
        }
        Completion::Unrecorded
    }

    async fn tell_until(
        &self,
        tenure: &Tenure<S>,
        outcome: &Outcome,
        deadline: Deadline,
    ) -> Result<Completion, StoreError> {
        self.insist(deadline, |until| self.tell(tenure.grant(), outcome, until)).await
    }

    async fn tell(&self, grant: &Grant, outcome: &Outcome, deadline: Deadline) -> Result<Completion, StoreError> {
        Ok(match outcome {
            Outcome::Answer(completion) => match self.store.complete(grant, completion, deadline).await? {
                Recorded::Recorded => Completion::Settled,
                Recorded::Recreated => {
                    self.note_recreated(grant);
                    Completion::Settled
                }
                Recorded::Lost(loss) => Completion::Superseded(loss),
            },
            Outcome::NotExecuted => match self.store.release(&grant.attempt, Some(grant.fence), deadline).await? {
                Released::Released | Released::Absent | Released::Indeterminate => Completion::Settled,
                Released::Lost(loss) => Completion::Superseded(loss),
            },
        })
    }

    /// Raises the alarm that the store had lost what it had acknowledged.
    pub(super) fn note_recreated(&self, grant: &Grant) {
        self.counts.recreated.up();
        tracing::error!(key = ?grant.attempt.key, "the store had lost the record of a running request");
    }

    /// Goes on telling the store while the lease is renewed, at most for the maximal execution.
    fn settle_in_background(self: &Arc<Self>, tenure: Tenure<S>, outcome: Outcome) {
        let Ok(permit) = Arc::clone(&self.background).try_acquire_owned() else {
            tracing::error!(key = ?tenure.grant().attempt.key, "too many outcomes wait for the store; this one is lost");
            self.counts.lost.up();
            return tenure.settle();
        };
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let give_up = Deadline::after(engine.timing.max_execution);
            match engine.tell_until(&tenure, &outcome, give_up).await {
                Ok(_) => tracing::info!(key = ?tenure.grant().attempt.key, "the outcome is recorded after all"),
                Err(error) => {
                    engine.counts.lost.up();
                    tracing::error!(key = ?tenure.grant().attempt.key, cause = %Chain(&error), "an outcome is lost");
                }
            }
            engine.stir(&tenure.grant().attempt);
            tenure.settle();
            drop(permit);
        });
    }
}
