//! A store in front of a store, which an owner's death and pauses keep from being asked.
//!
//! A process that is killed sends nothing any more; one that stands still sends what it meant to when it goes on. Both are
//! done here to one attempt, so that thousands of owners die at chosen points. Servers die as a whole besides.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use idempotency_store::Owner;
use idempotency_store::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, Fence, Grant,
    Key, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Store, StoreError,
};

use super::{CrashPoint, Tally};
use crate::{Gate, Verb};

/// Who is to die, is dead, or stands still. Clones are the same.
#[derive(Clone, Default, Debug)]
pub(super) struct Deaths(Arc<Mutex<HashMap<Owner, Mark>>>);

#[derive(Clone, Debug)]
enum Mark {
    DiesAt(CrashPoint),
    Dead,
    Paused(Gate),
}

impl Deaths {
    /// The owner dies when it comes there.
    pub(super) fn at(&self, owner: Owner, point: CrashPoint) {
        self.marks().insert(owner, Mark::DiesAt(point));
    }

    /// The owner is dead, and so is whoever calls this for it.
    pub(super) async fn now(&self, owner: Owner) -> ! {
        self.marks().insert(owner, Mark::Dead);
        pending().await
    }

    /// The owner stands still until the gate opens.
    pub(super) fn pause(&self, owner: Owner, gate: &Gate) {
        self.marks().insert(owner, Mark::Paused(gate.clone()));
    }

    async fn before(&self, owner: Owner, verb: Verb) {
        let mark = self.marks().get(&owner).cloned();
        match (mark, verb) {
            (Some(Mark::Dead), _)
            | (Some(Mark::DiesAt(CrashPoint::InRenew)), Verb::Renew)
            | (Some(Mark::DiesAt(CrashPoint::BeforeComplete)), Verb::Complete) => self.now(owner).await,
            (Some(Mark::Paused(gate)), _) => gate.pass().await,
            _ => {}
        }
    }

    async fn after(&self, owner: Owner, verb: Verb) {
        let mark = self.marks().get(&owner).cloned();
        match (mark, verb) {
            (Some(Mark::DiesAt(CrashPoint::AfterRenew)), Verb::Renew)
            | (Some(Mark::DiesAt(CrashPoint::AfterComplete)), Verb::Complete) => self.now(owner).await,
            _ => {}
        }
    }

    fn marks(&self) -> MutexGuard<'_, HashMap<Owner, Mark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store of one server.
#[derive(Clone, Debug)]
pub(super) struct Mortal<S> {
    store: S,
    deaths: Deaths,
    tally: Tally,
}

impl<S: Store> Mortal<S> {
    pub(super) const fn new(store: S, deaths: Deaths, tally: Tally) -> Self {
        Self { store, deaths, tally }
    }

    async fn call<T>(
        &self,
        owner: Owner,
        verb: Verb,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.deaths.before(owner, verb).await;
        let reply = call.await;
        self.deaths.after(owner, verb).await;
        reply
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Mortal<S> {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        let claimed = self.store.claim(claim, deadline).await;
        if let Ok(Claimed::Acquired { grant, .. }) = &claimed {
            self.tally.saw(if grant.is_takeover() { "take-overs" } else { "claims granted" });
        }
        claimed
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        let renewed = self.call(grant.attempt.owner, Verb::Renew, self.store.renew(grant, deadline)).await;
        match &renewed {
            Ok(Renewed::Lost(_)) => self.tally.saw("renewals that found the lease lost"),
            Ok(Renewed::Recreated) => self.tally.saw("records that the store had lost, re-created"),
            _ => {}
        }
        renewed
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        let call = self.store.checkpoint(grant, checkpoint, deadline);
        self.call(grant.attempt.owner, Verb::Checkpoint, call).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        let call = self.store.complete(grant, completion, deadline);
        let recorded = self.call(grant.attempt.owner, Verb::Complete, call).await;
        match &recorded {
            Ok(Recorded::Lost(_)) => self.tally.saw("completions that found the lease lost"),
            Ok(Recorded::Recreated) => self.tally.saw("records that the store had lost, re-created"),
            _ => {}
        }
        recorded
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        self.call(attempt.owner, Verb::Release, self.store.release(attempt, fence, deadline)).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        self.call(grant.attempt.owner, Verb::Abandon, self.store.abandon(grant, reason, deadline)).await
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
        self.store.erase(key, seen, deadline).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        self.store.ping(deadline).await
    }
}
