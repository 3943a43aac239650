//! The verbs of the contract.

use std::time::Instant;

use redis::{Value, cmd};

use super::completing::Completing;
use super::line::Via;
use super::script::Call;
use super::topology::{Hop, answer};
use super::transact::{NotDurable, Wants};
use super::{NAME, OnUnreplicated, RedisStore, Scripting, value};
use crate::record::{self, Record};
use crate::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, Fence, Grant,
    Key, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Store, StoreError, StoreTime,
};

impl Store for RedisStore {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        self.claim_key(claim, deadline).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        let key = &grant.attempt.key;
        let owner = grant.attempt.owner;
        let name = &self.name_of(key);
        let (issued_at, _) = self.issued_at(name, deadline).await?;
        let arguments = [&value::holder(grant)[..]];
        // What was written again and not acknowledged is written once more, which waits.
        let is_settled = self.0.recreated.fence_of(owner).is_none();
        if is_settled && self.try_run(&self.0.shared.scripts.renew, name, &arguments, Via::Line, deadline).await?.0 {
            return Ok(Renewed::Held);
        }
        let renew = |current: Option<&Record>, now| record::renew(current, now, issued_at, grant);
        let (renewed, is_acknowledged) = Box::pin(self.transact(key, Wants::Recreation, deadline, renew)).await?;
        if renewed == Renewed::Recreated {
            self.0.shared.counts.recreated.up();
        }
        // A lease that the next fail-over forgets is not one to go on with; it is asked for again.
        if !is_acknowledged && self.0.shared.config.on_unreplicated == OnUnreplicated::Refuse {
            self.0.recreated.remember(owner, grant.fence);
            return Err(StoreError::unknown(NAME, NotDurable));
        }
        self.0.recreated.forget(owner);
        Ok(renewed)
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        let note = |current: Option<&Record>, now| record::checkpoint(current, now, grant, checkpoint);
        self.note(&grant.attempt.key, deadline, note).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        let key = &grant.attempt.key;
        let (name, scripts) = (&self.name_of(key), &self.0.shared.scripts);
        let (issued_at, hop) = self.issued_at(name, deadline).await?;
        let completing = Completing { scripts, name, grant, completion, at: issued_at };
        if self.try_call(hop, name, &Call::Completion(completing), Via::Line, deadline).await?.0 {
            return Ok(Recorded::Recorded);
        }
        let complete = |current: Option<&Record>, now| record::complete(current, now, issued_at, grant, completion);
        // The effect has happened: what was written counts, however few have it.
        let (recorded, _) = Box::pin(self.transact(key, Wants::Recreation, deadline, complete)).await?;
        if recorded == Recorded::Recreated {
            self.0.shared.counts.recreated.up();
        }
        Ok(recorded)
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        self.note(&attempt.key, deadline, |current, now| record::release(current, now, attempt, fence)).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        self.note(&grant.attempt.key, deadline, |current, now| record::abandon(current, now, grant, reason)).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        self.note(&key, deadline, |current, now| record::resolve(current, now, seen, resolution)).await
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        let snapshot = self.snapshot(&key, deadline).await?;
        let seen = snapshot.read(&key).map_err(|error| StoreError::corrupt(NAME, error))?;
        Ok(record::inspect(seen.record.as_ref(), snapshot.now, key).reply)
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        self.list_keys(query, deadline).await
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        self.note(&key, deadline, |current, now| record::erase(current, now, seen)).await
    }

    /// In a Cluster one node answers for all.
    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        let ping = match self.0.shared.scripts.scripting {
            Scripting::Eval => cmd("PING"),
            Scripting::Functions => self.0.shared.scripts.time(),
        };
        let sent = self.0.topology.send("", &Call::Plain(ping), Via::Line, deadline).await?;
        answer(sent).map(|_: Value| ())
    }
}

impl RedisStore {
    /// When a verb was asked, by the clock of the server that the key lives on, which has been greeted by then.
    async fn issued_at(&self, name: &str, deadline: Deadline) -> Result<(StoreTime, Hop), StoreError> {
        let asked_at = Instant::now();
        let (link, live) = self.0.topology.live(name, deadline).await?;
        Ok((link.clock.before(asked_at.elapsed()), (link, live)))
    }

    /// A transition of something that has happened, and waits for nobody but the master.
    pub(super) async fn note<R>(
        &self,
        key: &Key,
        deadline: Deadline,
        transition: impl Fn(Option<&Record>, StoreTime) -> record::Transition<R> + Send + Sync,
    ) -> Result<R, StoreError> {
        Box::pin(self.transact(key, Wants::Note, deadline, transition)).await.map(|(reply, _)| reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How large a future is that nobody has made.
    fn size_of_future<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    type Asked<'a, T> = (&'a RedisStore, &'a T, Deadline);

    /// Each is moved several times by whoever spawns it, so what is rare is boxed.
    #[test]
    fn the_verbs_of_every_request_are_small_futures() {
        let sizes = [
            ("claim", size_of_future(|(store, claim, deadline): Asked<Claim>| store.claim(claim, deadline))),
            (
                "complete",
                size_of_future(|(store, (grant, completion), deadline): Asked<(Grant, Completion)>| {
                    store.complete(grant, completion, deadline)
                }),
            ),
            ("renew", size_of_future(|(store, grant, deadline): Asked<Grant>| store.renew(grant, deadline))),
        ];
        for (verb, size) in sizes {
            assert!(size <= 3072, "{verb}: {size} bytes");
        }
    }
}
