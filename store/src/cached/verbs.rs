//! The verbs: claims of completed keys are answered from memory, everything else by the store.

use super::{CachedStore, NAME};
use crate::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, DeadlinePassed, Entry, Erased,
    Fence, Grant, Key, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Store, StoreError,
};

// A verb that the contract gains later must be looked at: it may change what is completed.
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for CachedStore<S> {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        if deadline.is_past() {
            return Err(StoreError::not_applied(NAME, DeadlinePassed));
        }
        let arrival = self.replays.arrival();
        if let Some(known) = self.replays.find(&claim.attempt, arrival) {
            return Ok(known);
        }
        let claimed = self.store.claim(claim, deadline).await?;
        // Not what this process has completed itself: of two completions by one owner the first one stands, and which that was
        // only the store can tell.
        if let Claimed::Completed(completed) = &claimed {
            self.replays.keep(&claim.attempt, completed, arrival);
        }
        Ok(claimed)
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        self.store.renew(grant, deadline).await
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        self.store.checkpoint(grant, checkpoint, deadline).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        self.store.complete(grant, completion, deadline).await
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        self.store.release(attempt, fence, deadline).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        self.store.abandon(grant, reason, deadline).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        self.store.resolve(key, seen, resolution, deadline).await
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        self.store.inspect(key, deadline).await
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        self.store.list(query, deadline).await
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        // After the store has answered, or nobody listens any more: a claim that was on its way meanwhile may have seen the
        // record as it was. Everything, because an erasure is rare and what was kept comes back by itself.
        let _forgets = self.replays.forgets();
        self.store.erase(key, seen, deadline).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        self.store.ping(deadline).await
    }
}
