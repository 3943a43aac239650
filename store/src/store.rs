//! The contract of a store, and the short way to fulfil it.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::listing::{page_of, scan_of};
use crate::record::{self, Record, Transition};
use crate::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, Fence, Grant,
    Key, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Scanned, Seen, StoreError, StoreTime,
};

/// Where idempotency keys are kept.
///
/// Every verb is **atomic**, **durable before it answers** as far as the store is durable at all, and **idempotent per
/// owner**: asked again by the same owner it gives the same reply. The table and the laws stand in the
/// [crate's documentation](crate#the-life-of-a-key).
///
/// **Cancel safety.** Dropping the future of a verb does not undo it and does not stop it: the verb may have been carried
/// out, or may be carried out later. Treat a dropped verb like [`ErrorKind::Unknown`](crate::ErrorKind::Unknown).
///
/// **Deadlines.** A verb answers or fails by its deadline, give or take the scheduling of the runtime.
///
/// **Errors.** [`StoreError::kind`] tells whether anything was written. No verb answers an error after it has overwritten
/// a record that it could not read.
///
/// A store whose engine can read and write one record atomically implements [`Transact`] instead and gets all verbs from
/// [`record`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an idempotency store",
    label = "expected a store: `MemoryStore`, `EmbeddedStore`, `RedisStore`, a `BoxStore`, or an `Arc` of one",
    note = "open a store first, e.g. `MemoryStore::new()` or `RedisStore::connect(url).await?`",
    note = "to write your own, implement `idempotency_store::Transact` or `idempotency_store::Store`"
)]
pub trait Store: Send + Sync + 'static {
    /// Asks for a key: the only way to the right to run.
    fn claim(&self, claim: &Claim, deadline: Deadline) -> impl Future<Output = Result<Claimed, StoreError>> + Send;

    /// Makes a lease last its full term from now.
    fn renew(&self, grant: &Grant, deadline: Deadline) -> impl Future<Output = Result<Renewed, StoreError>> + Send;

    /// Keeps a note for the attempt that may have to take over.
    fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Checkpointed, StoreError>> + Send;

    /// Records the answer that every later attempt gets, for the retention that it was claimed with or for its own.
    fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Recorded, StoreError>> + Send;

    /// Gives a key back whose work is known not to have run. `fence` is `None` where the claim's reply was never seen.
    fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Released, StoreError>> + Send;

    /// Marks a key indeterminate at once, without waiting for the lease to lapse.
    fn abandon(
        &self,
        grant: &Grant,
        reason: Reason,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Abandoned, StoreError>> + Send;

    /// Settles an indeterminate key that was seen with this fence.
    ///
    /// For whoever has found out, elsewhere, whether the last attempt ran: by asking the downstream for what that attempt
    /// did there. The answer that is given is replayed from then on for the record's retention. *Not executed* lets the next
    /// request run; say so only when nothing of the last attempt can arrive any more, judged by
    /// [`Indeterminate::quiet_for`](crate::Indeterminate::quiet_for). Without knowing, do not resolve: a wrong word is a
    /// second run, or none.
    ///
    /// The last owner, should it come back, is told of its loss, with the answer that stands. After *not executed* a
    /// tombstone does so for a minute; an owner that comes back later still and finds no record writes its answer.
    ///
    /// Compare-and-set on what was [`Seen`], and not idempotent: whoever asks again after a reply that was lost is told of a
    /// conflict. [`Store::inspect`] shows how the key stands.
    fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Resolved, StoreError>> + Send;

    /// What stands at the key: its record, with the answer or the checkpoint, and the store's time. `None` where there is
    /// none, or one that has expired.
    ///
    /// Writes nothing, not even what other verbs would repair on their way, and costs one round trip.
    fn inspect(&self, key: Key, deadline: Deadline) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// The store's keys, a page at a time: see [`Query`] and [`Page`]. Writes nothing.
    ///
    /// A page is built in bounded memory, whatever the answers weigh. It is not a snapshot of the store: each page shows
    /// what stood when it was made. A key that is there from the first page to the last is listed; one that comes or goes
    /// meanwhile may be or not. In Redis a key may be listed twice, as its [`SCAN`](https://redis.io/docs/latest/commands/scan/)
    /// does, and one that was written while its page was made is left out of it.
    ///
    /// # Errors
    ///
    /// [`ForeignCursor`](crate::ForeignCursor) as the source of a [`NotApplied`](crate::ErrorKind::NotApplied) error if the
    /// cursor is not one of this store. A record that cannot be read is no error: it is counted in [`Page::unreadable`].
    fn list(&self, query: &Query, deadline: Deadline) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// Forgets a key that was seen with this fence: its answer, its checkpoint and what the request was. **The next
    /// request with this key runs**, even if the one before did.
    ///
    /// For completed, indeterminate and released keys; one that is in flight is left alone. What stays for a minute is a
    /// tombstone with the fence and nothing else, so that fences go on growing, and what the last owner sent before the
    /// erasure settles nothing after it. An owner that comes back later than that and finds no record writes its answer.
    ///
    /// Compare-and-set on what was [`Seen`]. Asked again, it gives the same reply as long as the tombstone lasts and nobody has
    /// claimed the key.
    fn erase(
        &self,
        key: Key,
        seen: Seen,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Erased, StoreError>> + Send;

    /// Whether the store would take a claim now; for readiness probes. Writes nothing.
    fn ping(&self, deadline: Deadline) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A store whose engine reads and writes one record atomically. It gets [`Store`] for free.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an idempotency store",
    label = "expected a store: `MemoryStore`, `EmbeddedStore`, `RedisStore`, a `BoxStore`, or an `Arc` of one",
    note = "open a store first, e.g. `MemoryStore::new()` or `RedisStore::connect(url).await?`",
    note = "to write your own, implement `idempotency_store::Transact` or `idempotency_store::Store`"
)]
pub trait Transact: Send + Sync + 'static {
    /// Reads the record of `key`, hands it with the store's time to `transition`, writes what that returns, and gives
    /// its reply once the write is as durable as this store makes anything.
    ///
    /// Nothing else may read or write the record of `key` in between. A record that has expired may be handed over or
    /// left out, as is convenient: the transitions judge expiry themselves.
    ///
    /// # Errors
    ///
    /// [`NotApplied`](crate::ErrorKind::NotApplied) if the write certainly did not happen,
    /// [`Unknown`](crate::ErrorKind::Unknown) if it may have, [`Corrupt`](crate::ErrorKind::Corrupt) if the record could
    /// not be read; then it is left as it is.
    fn transact<R, F>(
        &self,
        key: Key,
        deadline: Deadline,
        transition: F,
    ) -> impl Future<Output = Result<R, StoreError>> + Send
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static;

    /// The records behind `after` (from the first one on if it is `None`), in the order of their keys and at most `limit`:
    /// what [`Store::list`] makes its pages of. Fewer mean that there are no more. Expired ones count, and are handed over
    /// like others.
    ///
    /// It writes nothing and should hold up nobody for longer than `limit` records take; a record that cannot be read is
    /// [`Scanned::Unreadable`] and no error.
    fn scan(
        &self,
        after: Option<Key>,
        limit: NonZeroUsize,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Vec<Scanned>, StoreError>> + Send;

    /// The store's time now. Verbs are stamped with it when they are issued.
    fn now(&self) -> StoreTime;

    /// See [`Store::ping`].
    fn ping(&self, deadline: Deadline) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl<T: Transact> Store for T {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        let claim = *claim;
        self.transact(claim.attempt.key, deadline, move |current, now| record::claim(current, now, &claim)).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        let (grant, issued_at) = (*grant, self.now());
        let renew = move |current: Option<&Record>, now| record::renew(current, now, issued_at, &grant);
        self.transact(grant.attempt.key, deadline, renew).await
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        let (grant, note) = (*grant, checkpoint.clone());
        let checkpoint = move |current: Option<&Record>, now| record::checkpoint(current, now, &grant, &note);
        self.transact(grant.attempt.key, deadline, checkpoint).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        let (grant, done, issued_at) = (*grant, completion.clone(), self.now());
        let complete = move |current: Option<&Record>, now| record::complete(current, now, issued_at, &grant, &done);
        self.transact(grant.attempt.key, deadline, complete).await
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        let attempt = *attempt;
        self.transact(attempt.key, deadline, move |current, now| record::release(current, now, &attempt, fence)).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        let grant = *grant;
        let abandon = move |current: Option<&Record>, now| record::abandon(current, now, &grant, reason);
        self.transact(grant.attempt.key, deadline, abandon).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        let resolution = resolution.clone();
        self.transact(key, deadline, move |current, now| record::resolve(current, now, seen, &resolution)).await
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        self.transact(key, deadline, move |current, now| record::inspect(current, now, key)).await
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        let (after, limit) = scan_of(query).map_err(|error| StoreError::not_applied("sorted", error))?;
        Ok(page_of(query, limit, self.scan(after, limit, deadline).await?))
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        self.transact(key, deadline, move |current, now| record::erase(current, now, seen)).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        Transact::ping(self, deadline).await
    }
}

impl<S: Store> Store for Arc<S> {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        S::claim(self, claim, deadline).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        S::renew(self, grant, deadline).await
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        S::checkpoint(self, grant, checkpoint, deadline).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        S::complete(self, grant, completion, deadline).await
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        S::release(self, attempt, fence, deadline).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        S::abandon(self, grant, reason, deadline).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        S::resolve(self, key, seen, resolution, deadline).await
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        S::inspect(self, key, deadline).await
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        S::list(self, query, deadline).await
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        S::erase(self, key, seen, deadline).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        S::ping(self, deadline).await
    }
}
