//! The claim: one plain command, and a closer look in the rare cases.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value, cmd};

use super::failure::{refuses_writes, sort};
use super::link::Live;
use super::script::ask;
use super::value::life;
use super::{NAME, Nonsense, RedisStore, millis, value};
use crate::record::{self, Record, State};
use crate::{Claim, Claimed, Deadline, DeadlinePassed, ErrorKind, Fence, Owner, StoreError, StoreTime};

/// How long the server's clock may take to be read, after this process was suspended.
const CLOCK_READ: Duration = Duration::from_secs(1);

impl RedisStore {
    /// Takes the key, or says what stands there.
    pub(super) async fn claim_key(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        let owner = claim.attempt.owner;
        let live = self.0.link.live(deadline).await?;
        if self.0.link.clock.has_gap() && !self.0.link.calibrate(&live, CLOCK_READ.min(deadline.remaining())).await {
            return Err(StoreError::not_applied(NAME, DeadlinePassed));
        }
        let first = self.first_record(claim, self.0.link.clock.now());
        let claimed = self.take_or_look(claim, &first, &live, deadline).await;
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
            record.since = StoreTime::from_micros(fence.get());
        }
        record
    }

    async fn take_or_look(
        &self,
        claim: &Claim,
        first: &Record,
        live: &Live,
        deadline: Deadline,
    ) -> Result<Claimed, StoreError> {
        let key = &claim.attempt.key;
        let mut set = cmd("SET");
        set.arg(self.name_of(key))
            .arg(value::write(key, first))
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(millis(life(first)));
        let call = |mut connection: MultiplexedConnection| async move { ask(&mut connection, &set).await };
        match self.send_on(live, deadline, call).await? {
            Ok(Value::Nil) => Ok(Claimed::Acquired { grant: first.grant(claim.attempt), checkpoint: None }),
            Ok(Value::BulkString(stood)) => self.look(claim, &Bytes::from(stood), deadline).await,
            Ok(_) => Err(StoreError::unknown(NAME, Nonsense)),
            Err(error) if refuses_writes(&error) => self.look_without_writing(claim, error, deadline).await,
            Err(error) => Err(sort(error)),
        }
    }

    /// What stands at the key decides at once where its age does not matter; otherwise the server's clock is asked.
    async fn look(&self, claim: &Claim, stood: &Bytes, deadline: Deadline) -> Result<Claimed, StoreError> {
        let key = &claim.attempt.key;
        let record = value::read(key, stood).map_err(|error| StoreError::corrupt(NAME, error))?;
        // Its age does not matter, so any time will do: the one at which it was written.
        match record.state {
            State::Completed(_) => Ok(record::claim(Some(&record), record.since, claim).reply),
            _ => self.transact(key, false, deadline, |current, now| record::claim(current, now, claim)).await,
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
        let key = &claim.attempt.key;
        let snapshot = self.snapshot(key, deadline).await?;
        let seen = snapshot.read(key).map_err(|error| StoreError::corrupt(NAME, error))?;
        let transition = record::claim(seen.record.as_ref(), snapshot.now, claim);
        match transition.write {
            None => Ok(transition.reply),
            Some(_) => Err(sort(refusal)),
        }
    }
}

/// The fences that were proposed by claims whose outcome is unknown, so that the claim is re-sent as it was.
///
/// Bounded: an attempt that gives up never comes back to be forgotten. What falls out is re-sent with a new fence, which
/// is safe too, because the record that stands is adopted as it is.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Mutex<HashMap<Owner, Fence>>);

const UNSETTLED: usize = 4096;

impl Unsettled {
    fn fence_of(&self, owner: Owner) -> Option<Fence> {
        self.lock().get(&owner).copied()
    }

    fn remember(&self, owner: Owner, fence: Fence) {
        let mut fences = self.lock();
        if fences.len() >= UNSETTLED {
            fences.clear();
        }
        fences.insert(owner, fence);
    }

    fn forget(&self, owner: Owner) {
        self.lock().remove(&owner);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, Fence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
