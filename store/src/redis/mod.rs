//! A store in Redis, for several servers.
//!
//! # How it works
//!
//! One key, one string, one write per transition. A claim is `SET key record NX GET PX retention`: one command takes the
//! key or brings what is there, so a replay costs one round trip and no script, and a first request two in all. Renewal and
//! completion are a small script each, which compares owner and fence. Everything else is rare and runs the very
//! [transitions](crate::record) that the other stores run: a script reads the record with the server's clock, the
//! transition decides, and another script writes if the record is still exactly the one that was seen.
//!
//! The server's clock decides alone. A record does not say when its lease lapses: that follows from how much of the key's
//! expiry is left, which only the server counts.
//!
//! # What it needs
//!
//! Redis 7.0 or Valkey 7.2 and later, one master. Three settings decide whether its word can be trusted; the defaults of many
//! installations are wrong for this:
//!
//! - `maxmemory-policy noeviction`. Any other policy may drop records under pressure, and what is dropped runs again. A full
//!   server then refuses new keys (503), and still replays and completes.
//! - `appendonly yes`. Without it a restart forgets every key. With `appendfsync everysec`, the default, a crash of the
//!   process loses nothing and a power cut at most about a second of claims; `always` closes that gap at a price.
//! - No fail-over to an asynchronous replica: a claim that was not yet replicated is forgotten by it.
//!
//! The [`doctor`] looks whether a server is set up so, and says what to do where it is not.
//!
//! # Errors
//!
//! A command that was refused was *not applied*. After a time-out, a broken connection or a reply that makes no sense the
//! effect is *unknown*: ask again as the same owner. A record that cannot be read, or something else that stands at our
//! key, is *corrupt* and is left as it is.

mod claim;
mod clock;
mod config;
pub mod doctor;
mod failure;
mod greeting;
mod link;
mod list;
mod patience;
mod script;
mod value;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value, cmd};

use crate::codec;
use crate::record::{self, Record, Transition};
use crate::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, Fence, Grant,
    Key, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Store, StoreError, StoreTime,
};
use claim::Unsettled;
use failure::{sort, spoils_connection};
use greeting::micros_of;
use link::{Link, Live};
use script::{Script, Scripts, ask};
use value::{Found, Snapshot};

pub use config::{RedisConfig, RedisConfigError};
pub use greeting::RedisConnectError;

pub(crate) const NAME: &str = "redis";

/// How often a write is tried again because somebody else wrote in between. Each time that somebody has made progress.
const ROUNDS: usize = 16;

/// A store in Redis. Cloning shares the connection.
///
/// Connected inside a tokio runtime, on which it keeps one connection and one small task. A connection that breaks is
/// replaced by the next verb, after a pause that grows and is drawn at random.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    scripts: Scripts,
    prefix: Box<str>,
    unsettled: Unsettled,
    ward: doctor::Ward,
}

/// A reply that no Redis server gives. What was sent may have been carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server's reply makes no sense here")]
pub(crate) struct Nonsense;

/// The record was rewritten by others each time that it was to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("others kept writing the record")]
struct Contended;

impl RedisStore {
    /// Connects to the server of a URL, with the default prefix: see [`RedisConfig::new`].
    ///
    /// # Errors
    ///
    /// As [`RedisStore::connect_with`]; a URL that is none comes back as [`RedisConnectError::Url`].
    pub async fn connect(url: &str) -> Result<Self, RedisConnectError> {
        Self::connect_with(RedisConfig::new(url)?).await
    }

    /// Connects, and checks that the server is one that keeps the store's promises.
    ///
    /// # Errors
    ///
    /// [`RedisConnectError`], with the cause and what to do. Nothing is retried here.
    pub async fn connect_with(config: RedisConfig) -> Result<Self, RedisConnectError> {
        let (prefix, ward) = (config.prefix.clone(), doctor::Ward::new(&config));
        let link = Link::open(config).await?;
        let inner = Arc::new(Inner { link, scripts: Scripts::new(), prefix, unsettled: Unsettled::default(), ward });
        doctor::Ward::patrol(Arc::downgrade(&inner));
        Ok(Self(inner))
    }

    fn ward(&self) -> &doctor::Ward {
        &self.0.ward
    }

    /// The name of a key's record in Redis, for operators who look at one: the prefix, and the digest in base64url
    /// between braces.
    pub fn name_of(&self, key: &Key) -> String {
        self.named("", key.as_bytes())
    }

    /// The name of something of this kind that has this digest.
    pub(crate) fn named(&self, kind: &str, digest: &[u8; 32]) -> String {
        format!("{}:{kind}{{{}}}", self.0.prefix, URL_SAFE_NO_PAD.encode(digest))
    }

    /// Sends what `call` sends, waits until the deadline, and gives up the connection if it is of no use any more.
    async fn send<F>(
        &self,
        deadline: Deadline,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<RedisResult<Value>, StoreError>
    where
        F: Future<Output = RedisResult<Value>>,
    {
        let live = self.0.link.live(deadline).await?;
        self.send_on(&live, deadline, call).await
    }

    async fn send_on<F>(
        &self,
        live: &Live,
        deadline: Deadline,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<RedisResult<Value>, StoreError>
    where
        F: Future<Output = RedisResult<Value>>,
    {
        // Somebody else may find out first that the connection is dead.
        let is_given_up = || !self.0.link.is_current(live);
        let reply = self.0.link.patience.wait(deadline, is_given_up, call(live.connection.clone())).await;
        // A connection that does not answer may hang for ever; a new one shows whether the server does.
        if reply.as_ref().map_or(true, |reply| reply.as_ref().is_err_and(spoils_connection)) {
            self.0.link.give_up(live);
        }
        reply.map_err(|impatience| StoreError::unknown(NAME, impatience))
    }

    async fn run(
        &self,
        script: &Script,
        key: &Key,
        arguments: &[&[u8]],
        deadline: Deadline,
    ) -> Result<Value, StoreError> {
        self.run_on(script, &self.name_of(key), arguments, deadline).await
    }

    async fn run_on(
        &self,
        script: &Script,
        name: &str,
        arguments: &[&[u8]],
        deadline: Deadline,
    ) -> Result<Value, StoreError> {
        self.send(deadline, |mut connection| async move { script.call(&mut connection, name, arguments).await })
            .await?
            .map_err(sort)
    }

    /// Lets the fence in `mark` pass at `name` if none stands in its way, and brings what stands there then.
    pub(crate) async fn admit(
        &self,
        name: &str,
        mark: &[u8],
        life: &str,
        deadline: Deadline,
    ) -> Result<Vec<u8>, StoreError> {
        match self.run_on(&self.0.scripts.admit, name, &[mark, life.as_bytes()], deadline).await? {
            Value::BulkString(stands) => Ok(stands),
            _ => Err(StoreError::unknown(NAME, Nonsense)),
        }
    }

    /// A script that answers 1 if it did what it is for.
    async fn try_run(
        &self,
        script: &Script,
        key: &Key,
        arguments: &[&[u8]],
        deadline: Deadline,
    ) -> Result<bool, StoreError> {
        match self.run(script, key, arguments, deadline).await? {
            Value::Int(1) => Ok(true),
            Value::Int(0) => Ok(false),
            _ => Err(StoreError::unknown(NAME, Nonsense)),
        }
    }

    async fn snapshot(&self, key: &Key, deadline: Deadline) -> Result<Snapshot, StoreError> {
        let reply = self.run(&self.0.scripts.snapshot, key, &[], deadline).await?;
        let (value, left, seconds, micros) = redis::from_redis_value::<(Option<Bytes>, i64, u64, u64)>(reply)
            .map_err(|_| StoreError::unknown(NAME, Nonsense))?;
        let now = micros_of(seconds, micros).ok_or_else(|| StoreError::unknown(NAME, Nonsense))?;
        self.0.link.clock.calibrate(now);
        Ok(Snapshot { value, left, now })
    }

    /// Reads the record, lets `transition` decide by the server's clock, and writes if nobody wrote in between.
    async fn transact<R>(
        &self,
        key: &Key,
        may_fill: bool,
        deadline: Deadline,
        transition: impl Fn(Option<&Record>, StoreTime) -> Transition<R> + Send + Sync,
    ) -> Result<R, StoreError> {
        for _ in 0..ROUNDS {
            let snapshot = self.snapshot(key, deadline).await?;
            let seen = snapshot.read(key).map_err(|error| StoreError::corrupt(NAME, error))?;
            if seen.expiry_lost {
                tracing::error!(?key, "a record had lost its expiry; it is set again");
            }
            let Transition { write, reply } = transition(seen.record.as_ref(), snapshot.now);
            // A record without a proper expiry is written again as it is, only to give it one.
            let repair = seen.record.clone().filter(|_| seen.expiry_lost);
            let Some(record) = write.or(repair) else { return Ok(reply) };
            if self.swap(key, &snapshot, &seen, &record, may_fill, deadline).await? {
                return Ok(reply);
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
        may_fill: bool,
        deadline: Deadline,
    ) -> Result<bool, StoreError> {
        let value = value::write(key, record);
        // A note leaves the expiry alone, to the last millisecond: the lease is judged by it.
        let expires = |record: &Record| (record.since, record.expires_at());
        let keeps = !seen.expiry_lost && seen.record.as_ref().is_some_and(|old| expires(old) == expires(record));
        let life = if keeps { String::new() } else { millis(record.expires_at().since(snapshot.now)) };
        let left = snapshot.left.to_string();
        let arguments = [snapshot.value.as_deref().unwrap_or_default(), left.as_bytes(), &value, life.as_bytes()];
        // A full server takes what has happened already, but no new claims.
        let script = if may_fill { &self.0.scripts.swap_allow_oom } else { &self.0.scripts.swap };
        self.try_run(script, key, &arguments, deadline).await
    }

    fn estimate(&self) -> StoreTime {
        self.0.link.clock.now()
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

impl Store for RedisStore {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        self.claim_key(claim, deadline).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        let issued_at = self.estimate();
        let key = &grant.attempt.key;
        let arguments = [&value::holder(grant)[..]];
        if self.try_run(&self.0.scripts.renew, key, &arguments, deadline).await? {
            return Ok(Renewed::Held);
        }
        self.transact(key, true, deadline, |current, now| record::renew(current, now, issued_at, grant)).await
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        let note = |current: Option<&Record>, now| record::checkpoint(current, now, grant, checkpoint);
        self.transact(&grant.attempt.key, true, deadline, note).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        let issued_at = self.estimate();
        let key = &grant.attempt.key;
        let (state, payload) = codec::completed(&completion.answer);
        let time = issued_at.as_micros().to_be_bytes();
        let retention = completion.retention.map(codec::retention);
        let retention = retention.as_ref().map_or(&[][..], |retention| retention);
        let arguments = [&value::holder(grant)[..], &time, &[state], payload, retention];
        if self.try_run(&self.0.scripts.complete, key, &arguments, deadline).await? {
            return Ok(Recorded::Recorded);
        }
        self.transact(key, true, deadline, |current, now| record::complete(current, now, issued_at, grant, completion))
            .await
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        let release = |current: Option<&Record>, now| record::release(current, now, attempt, fence);
        self.transact(&attempt.key, true, deadline, release).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        let abandon = |current: Option<&Record>, now| record::abandon(current, now, grant, reason);
        self.transact(&grant.attempt.key, true, deadline, abandon).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        let resolve = |current: Option<&Record>, now| record::resolve(current, now, seen, resolution);
        self.transact(&key, true, deadline, resolve).await
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
        self.transact(&key, true, deadline, |current, now| record::erase(current, now, seen)).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        let ping = |mut connection: MultiplexedConnection| async move { ask(&mut connection, &cmd("PING")).await };
        self.send(deadline, ping).await?.map(drop).map_err(sort)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}
