//! The verbs: what is sealed on its way in and opened on its way out.

use super::{EncryptedStore, seal};
use crate::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, Fence, Grant,
    Key, OnAbandoned, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Store, StoreError,
};

impl<S: Store> EncryptedStore<S> {
    /// A reply to `claim`, opened.
    pub(super) async fn open_claimed(
        &self,
        claim: &Claim,
        claimed: Claimed,
        deadline: Deadline,
    ) -> Result<Claimed, StoreError> {
        let Attempt { key, fingerprint, .. } = claim.attempt;
        match claimed {
            Claimed::Acquired { grant, checkpoint } => match self.open_checkpoint(&key, fingerprint, checkpoint) {
                Ok(checkpoint) => Ok(Claimed::Acquired { grant, checkpoint }),
                Err(error) => {
                    self.give_back(&grant, deadline).await;
                    Err(error)
                }
            },
            Claimed::Completed(completed) => self.open_completed(&key, completed).map(Claimed::Completed),
            Claimed::Indeterminate(known) => {
                self.open_indeterminate(&key, fingerprint, known).map(Claimed::Indeterminate)
            }
            Claimed::InFlight { .. } | Claimed::Mismatch | Claimed::Stale => Ok(claimed),
        }
    }

    /// Ends a take-over whose checkpoint cannot be read: the key is indeterminate again, with that checkpoint.
    ///
    /// A first attempt is not given back: it would count as not executed, and an owner that has left a checkpoint may have
    /// been at work. If the store does not answer, the lease lapses and says the same.
    async fn give_back(&self, grant: &Grant, deadline: Deadline) {
        if grant.is_takeover() {
            let _lapses_otherwise = self.store.release(&grant.attempt, Some(grant.fence), deadline).await;
        }
    }
}

// A verb that the contract gains later must not slip past the encryption by a default.
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for EncryptedStore<S> {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        // Taking over writes, so what would be taken over is looked at first.
        let refusing = Claim { on_abandoned: OnAbandoned::Refuse, ..*claim };
        let claimed = self.store.claim(&refusing, deadline).await?;
        let claimed = self.open_claimed(&refusing, claimed, deadline).await?;
        if claim.on_abandoned == OnAbandoned::Refuse || !matches!(claimed, Claimed::Indeterminate(_)) {
            return Ok(claimed);
        }
        let claimed = self.store.claim(claim, deadline).await?;
        self.open_claimed(claim, claimed, deadline).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        Ok(match self.store.renew(grant, deadline).await? {
            Renewed::Lost(loss) => Renewed::Lost(self.open_loss(&grant.attempt.key, loss)?),
            kept @ (Renewed::Held | Renewed::Recreated) => kept,
        })
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        let sealed = self.seal_checkpoint(grant, checkpoint)?;
        Ok(match self.store.checkpoint(grant, &sealed, deadline).await? {
            Checkpointed::Lost(loss) => Checkpointed::Lost(self.open_loss(&grant.attempt.key, loss)?),
            Checkpointed::Held => Checkpointed::Held,
        })
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        let answer = self.seal_answer(&grant.attempt.key, grant.fence, &completion.answer)?;
        let sealed = Completion { answer, retention: completion.retention };
        Ok(match self.store.complete(grant, &sealed, deadline).await? {
            Recorded::Lost(loss) => Recorded::Lost(self.open_loss(&grant.attempt.key, loss)?),
            done @ (Recorded::Recorded | Recorded::Recreated) => done,
        })
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        Ok(match self.store.release(attempt, fence, deadline).await? {
            Released::Lost(loss) => Released::Lost(self.open_loss(&attempt.key, loss)?),
            given @ (Released::Released | Released::Indeterminate | Released::Absent) => given,
        })
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        Ok(match self.store.abandon(grant, reason, deadline).await? {
            Abandoned::Lost(loss) => Abandoned::Lost(self.open_loss(&grant.attempt.key, loss)?),
            Abandoned::Abandoned => Abandoned::Abandoned,
        })
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        let sealed = match resolution {
            // The store takes it only where this fence stands, and the record keeps the fence.
            Resolution::Completed(answer) => Resolution::Completed(self.seal_answer(&key, seen.fence, answer)?),
            Resolution::NotExecuted => Resolution::NotExecuted,
        };
        self.store.resolve(key, seen, &sealed, deadline).await
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        self.store.inspect(key, deadline).await?.map(|entry| self.open_entry(entry)).transpose()
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        let mut page = self.store.list(query, deadline).await?;
        for len in page.entries.iter_mut().filter_map(|listed| listed.answer_len.as_mut()) {
            *len = seal::opened_len(*len);
        }
        Ok(page)
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        self.store.erase(key, seen, deadline).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        self.store.ping(deadline).await
    }
}
