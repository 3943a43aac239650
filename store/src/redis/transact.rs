//! Reading a record, deciding by the server's clock, and writing if nobody wrote in between: what every rare transition does.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::greeting::micros_of;
use super::line::{Sent, Via};
use super::script::{Call, Script};
use super::topology::{Hop, answer};
use super::value::{self, Found, Snapshot};
use super::{NAME, Nonsense, RedisStore};
use crate::record::{Record, Transition};
use crate::{Deadline, Key, StoreError, StoreTime};

/// How often a write is tried again because somebody else wrote in between. Each time that somebody has made progress.
const ROUNDS: usize = 16;

/// The record was rewritten by others each time that it was to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("others kept writing the record")]
struct Contended;

/// What was written is not as durable as it has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too few replicas or disks acknowledged the write in time")]
pub(super) struct NotDurable;

/// What a transition needs of its write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wants {
    /// A full server takes it, for it has happened already.
    Note,
    /// The same, and it may write again what the store had lost, which must not be lost again.
    Recreation,
    /// A full server refuses it, and it must not be lost.
    Grant,
}

impl Wants {
    /// Only what has to be waited for goes where one waits.
    fn via(self) -> Via {
        match self {
            Self::Note => Via::Line,
            Self::Recreation | Self::Grant => Via::Lane(|reply| *reply == Value::Int(1)),
        }
    }
}

impl RedisStore {
    /// Runs a script on a record.
    pub(super) async fn run(
        &self,
        script: &Script,
        name: &str,
        arguments: &[&[u8]],
        via: Via,
        deadline: Deadline,
    ) -> Result<Sent, StoreError> {
        self.0.topology.send(name, &script.call(name, arguments), via, deadline).await
    }

    /// A script that answers 1 if it did what it is for, and whether that was acknowledged as it had to be.
    pub(super) async fn try_run(
        &self,
        script: &Script,
        name: &str,
        arguments: &[&[u8]],
        via: Via,
        deadline: Deadline,
    ) -> Result<(bool, bool), StoreError> {
        let hop = self.0.topology.live(name, deadline).await?;
        self.try_call(hop, name, &script.call(name, arguments), via, deadline).await
    }

    /// The same of any call that answers like that, for who has looked up just now where to.
    pub(super) async fn try_call(
        &self,
        hop: Hop,
        name: &str,
        call: &Call<'_>,
        via: Via,
        deadline: Deadline,
    ) -> Result<(bool, bool), StoreError> {
        let sent = self.0.topology.send_on(hop, name, call, via, deadline).await?;
        let is_acknowledged = sent.is_acknowledged();
        match answer(sent)? {
            Value::Int(1) => Ok((true, is_acknowledged)),
            Value::Int(0) => Ok((false, true)),
            _ => Err(StoreError::unknown(NAME, Nonsense)),
        }
    }

    pub(super) async fn snapshot(&self, key: &Key, deadline: Deadline) -> Result<Snapshot, StoreError> {
        let name = self.name_of(key);
        let sent = self.run(&self.0.shared.scripts.snapshot, &name, &[], Via::Line, deadline).await?;
        let (value, left, seconds, micros) = redis::from_redis_value::<(Option<Bytes>, i64, u64, u64)>(answer(sent)?)
            .map_err(|_| StoreError::unknown(NAME, Nonsense))?;
        let now = micros_of(seconds, micros).ok_or_else(|| StoreError::unknown(NAME, Nonsense))?;
        Ok(Snapshot { value, left, now })
    }

    /// Reads the record, lets `transition` decide by the server's clock, and writes if nobody wrote in between. With the reply
    /// comes whether the write was acknowledged as it had to be.
    pub(super) async fn transact<R>(
        &self,
        key: &Key,
        wants: Wants,
        deadline: Deadline,
        transition: impl Fn(Option<&Record>, StoreTime) -> Transition<R> + Send + Sync,
    ) -> Result<(R, bool), StoreError> {
        for _ in 0..ROUNDS {
            let snapshot = self.snapshot(key, deadline).await?;
            let seen = snapshot.read(key).map_err(|error| StoreError::corrupt(NAME, error))?;
            if seen.expiry_lost {
                self.0.shared.counts.expiry_lost.up();
                tracing::error!(?key, "a record had lost its expiry; it is set again");
            }
            let Transition { write, reply } = transition(seen.record.as_ref(), snapshot.now);
            // A record without a proper expiry is written again as it is, only to give it one.
            let repair = seen.record.clone().filter(|_| seen.expiry_lost);
            let Some(record) = write.or(repair) else { return Ok((reply, true)) };
            let (written, is_acknowledged) = self.swap(key, &snapshot, &seen, &record, wants, deadline).await?;
            if written {
                return Ok((reply, is_acknowledged));
            }
        }
        Err(StoreError::not_applied(NAME, Contended))
    }

    /// Writes `record` over exactly what was seen.
    async fn swap(
        &self,
        key: &Key,
        snapshot: &Snapshot,
        seen: &Found,
        record: &Record,
        wants: Wants,
        deadline: Deadline,
    ) -> Result<(bool, bool), StoreError> {
        let value = value::write(key, record);
        // A note leaves the expiry alone, to the last millisecond: the lease is judged by it.
        let expires = |record: &Record| (record.since, record.expires_at());
        let keeps = !seen.expiry_lost && seen.record.as_ref().is_some_and(|old| expires(old) == expires(record));
        let life = if keeps { String::new() } else { millis(record.expires_at().since(snapshot.now)) };
        let left = snapshot.left.to_string();
        let arguments = [snapshot.value.as_deref().unwrap_or_default(), left.as_bytes(), &value, life.as_bytes()];
        let scripts = &self.0.shared.scripts;
        let script = if wants == Wants::Grant { &scripts.swap } else { &scripts.swap_allow_oom };
        self.try_run(script, &self.name_of(key), &arguments, wants.via(), deadline).await
    }
}

pub(super) fn millis(duration: Duration) -> String {
    whole_millis(duration).to_string()
}

/// The life of a key. Redis takes none of zero.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
