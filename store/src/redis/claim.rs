//! The claim: one plain command, and a closer look in the rare cases.
//!
//! Whatever grants a key - a first claim, a take-over, a claim over a tombstone, an owner's claim whose reply was lost - is a
//! write on the lane, and counts when it is as durable as it has to be.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::{RedisError, Value};

use super::failure::{refuses_writes, sort};
use super::line::Via;
use super::topology::Hop;
use super::transact::{NotDurable, Wants, millis};
use super::value::life;
use super::{NAME, Nonsense, OnUnreplicated, RedisStore, value};
use crate::record::{self, Record, State, Transition};
use crate::{
    Claim, Claimed, Deadline, DeadlinePassed, ErrorKind, Fence, Grant, Owner, Released, Store, StoreError, StoreTime,
};

/// How long the server's clock may take to be read, after this process was suspended.
const CLOCK_READ: Duration = Duration::from_secs(1);

impl RedisStore {
    /// Takes the key, or says what stands there.
    pub(super) async fn claim_key(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        let owner = claim.attempt.owner;
        let name = self.name_of(&claim.attempt.key);
        let (link, live) = self.0.topology.live(&name, deadline).await?;
        let now = match link.clock.read() {
            Some(now) => now,
            None if Box::pin(link.calibrate(&live, CLOCK_READ.min(deadline.remaining()))).await => link.clock.now(),
            None => return Err(StoreError::not_applied(NAME, DeadlinePassed)),
        };
        let first = self.first_record(claim, now);
        let claimed = self.take_or_look(claim, &name, &first, (link, live), deadline).await;
        match &claimed {
            Err(error) if error.kind() == ErrorKind::Unknown => self.0.unsettled.remember(owner, first.fence),
            _ => self.0.unsettled.forget(owner),
        }
        claimed
    }

    /// The record that a first claim writes. Asked again after a lost reply, it is the same one, byte for byte.
    fn first_record(&self, claim: &Claim, now: StoreTime) -> Record {
        let mut record = record::first(claim, now);
        if let Some(fence) = self.0.unsettled.fence_of(claim.attempt.owner) {
            record.fence = fence;
        }
        record
    }

    async fn take_or_look(
        &self,
        claim: &Claim,
        name: &str,
        first: &Record,
        mut hop: Hop,
        deadline: Deadline,
    ) -> Result<Claimed, StoreError> {
        // While claims are not acknowledged, what needs no write does not wait behind those that do.
        if hop.0.is_degraded() {
            if let Some(known) = Box::pin(self.look_first(claim, deadline)).await? {
                return Ok(known);
            }
            // The server may have been replaced while it was looked at, and what is sent on a line that was given up is in vain.
            hop = self.0.topology.live(name, deadline).await?;
        }
        let (record, life) = (value::head(&claim.attempt.key, first), millis(life(first)));
        let call_arguments = [&record[..], life.as_bytes()];
        let call = self.0.shared.scripts.claim(name, &call_arguments);
        let grants = Via::Lane(|reply| *reply == Value::Nil);
        let sent = self.0.topology.send_on(hop, name, &call, grants, deadline).await?;
        let is_acknowledged = sent.is_acknowledged();
        match sent.reply {
            Ok(Value::Nil) => {
                let grant = first.grant(claim.attempt);
                self.granted(Claimed::Acquired { grant, checkpoint: None }, is_acknowledged, deadline).await
            }
            Ok(Value::BulkString(stood)) => self.look(claim, Bytes::from(stood), deadline).await,
            Ok(_) => Err(StoreError::unknown(NAME, Nonsense)),
            Err(error) if refuses_writes(&error) => Box::pin(self.look_without_writing(claim, error, deadline)).await,
            Err(error) => Err(sort(error)),
        }
    }

    /// What stands at the key decides at once where its age does not matter; otherwise the server's clock is asked.
    async fn look(&self, claim: &Claim, stood: Bytes, deadline: Deadline) -> Result<Claimed, StoreError> {
        let key = &claim.attempt.key;
        let record = value::read(key, &stood).map_err(|error| StoreError::corrupt(NAME, error))?;
        // Its age does not matter, so any time will do: the one at which it was written.
        if let State::Completed(_) = record.state {
            return Ok(record::claim(Some(&record), record.since, claim).reply);
        }
        let transition = |current: Option<&Record>, now| record::claim(current, now, claim);
        let (claimed, is_acknowledged) = Box::pin(self.transact(key, Wants::Grant, deadline, transition)).await?;
        self.granted(claimed, is_acknowledged, deadline).await
    }

    /// A grant that is not as durable as it has to be is given back: nothing has run under it.
    async fn granted(
        &self,
        claimed: Claimed,
        is_acknowledged: bool,
        deadline: Deadline,
    ) -> Result<Claimed, StoreError> {
        let Claimed::Acquired { grant, .. } = &claimed else { return Ok(claimed) };
        if is_acknowledged {
            return Ok(claimed);
        }
        if self.0.shared.config.on_unreplicated == OnUnreplicated::Proceed {
            self.0.shared.counts.proceeded.up();
            return Ok(claimed);
        }
        Err(Box::pin(self.give_back(grant, deadline)).await)
    }

    /// Whether the key is free again is not known until the store has said so.
    async fn give_back(&self, grant: &Grant, deadline: Deadline) -> StoreError {
        match self.release(&grant.attempt, Some(grant.fence), deadline).await {
            Ok(Released::Released | Released::Absent | Released::Indeterminate | Released::Lost(_)) => {
                StoreError::not_applied(NAME, NotDurable)
            }
            Err(_) => StoreError::unknown(NAME, NotDurable),
        }
    }

    /// What a claim gets that needs no write of its own; `None` if it needs one. An expiry that was lost is set again.
    async fn look_first(&self, claim: &Claim, deadline: Deadline) -> Result<Option<Claimed>, StoreError> {
        let look = |current: Option<&Record>, now| Transition { write: None, reply: known(current, now, claim) };
        match self.note(&claim.attempt.key, deadline, look).await {
            // The server does not take the expiry, so it is asked as servers are that refuse to write.
            Err(error) if error.kind() == ErrorKind::NotApplied => Ok(None),
            looked => looked,
        }
    }

    /// A server that refuses to write can still be read: what is completed is replayed, and everything that would need a
    /// write is refused with the server's own reason.
    async fn look_without_writing(
        &self,
        claim: &Claim,
        refusal: RedisError,
        deadline: Deadline,
    ) -> Result<Claimed, StoreError> {
        let snapshot = self.snapshot(&claim.attempt.key, deadline).await?;
        let seen = snapshot.read(&claim.attempt.key).map_err(|error| StoreError::corrupt(NAME, error))?;
        known(seen.record.as_ref(), snapshot.now, claim).ok_or_else(|| sort(refusal))
    }
}

/// What a claim gets, if that needs no write.
fn known(current: Option<&Record>, now: StoreTime, claim: &Claim) -> Option<Claimed> {
    let transition = record::claim(current, now, claim);
    transition.write.is_none().then_some(transition.reply)
}

/// The fences that were proposed by claims whose outcome is unknown, so that the claim is re-sent as it was.
///
/// Bounded: an attempt that gives up never comes back to be forgotten. What falls out is re-sent with a new fence, which
/// is safe too, because the record that stands is adopted as it is.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Mutex<HashMap<Owner, Fence>>);

const UNSETTLED: usize = 4096;

impl Unsettled {
    pub(super) fn fence_of(&self, owner: Owner) -> Option<Fence> {
        self.lock().get(&owner).copied()
    }

    pub(super) fn remember(&self, owner: Owner, fence: Fence) {
        let mut fences = self.lock();
        if fences.len() >= UNSETTLED {
            fences.clear();
        }
        fences.insert(owner, fence);
    }

    pub(super) fn forget(&self, owner: Owner) {
        let mut fences = self.lock();
        // Mostly there are none, and then nothing needs to be hashed.
        if !fences.is_empty() {
            fences.remove(&owner);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, Fence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
