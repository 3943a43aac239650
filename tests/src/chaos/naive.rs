//! A small store in Redis with one guard removed, or none: what the harness has to find out.
//!
//! One script carries out every verb, so each is atomic; what is wrong is only what the mutation says. It is no store to use:
//! it waits for no replica, and its answers are opaque to everybody else.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use idempotency_store::{
    Abandoned, Answer, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completed, Completion, Deadline, Entry,
    Erased, Fence, Grant, Indeterminate, Key, Loss, OnAbandoned, Page, Query, Reason, Recorded, Released, Renewed,
    Resolution, Resolved, Seen, Store, StoreError, StoreTime, Terms,
};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};
use tokio::sync::Mutex;

const NAME: &str = "naive";

/// Which guard is missing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutation {
    /// None: the control, in which nothing may be found.
    None,
    /// A completion does not look whose record it overwrites.
    NoOwnerCheck,
    /// A completion looks whether the record is completed, and not by whom.
    CompleteUnfenced,
    /// The key expires with the lease.
    LeaseIsExpiry,
    /// A release deletes the key.
    DelOnRelease,
    /// `SET NX PX`, and `DEL` afterwards: the lock that is written most often.
    SetNx,
}

impl Mutation {
    /// All that have to be found out.
    pub const ALL: [Self; 5] =
        [Self::NoOwnerCheck, Self::CompleteUnfenced, Self::LeaseIsExpiry, Self::DelOnRelease, Self::SetNx];

    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "no guard removed",
            Self::NoOwnerCheck => "no owner check at complete",
            Self::CompleteUnfenced => "complete unfenced",
            Self::LeaseIsExpiry => "the lease as the key's expiry",
            Self::DelOnRelease => "DEL on release",
            Self::SetNx => "naive SET NX PX",
        }
    }

    /// What the script calls it.
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NoOwnerCheck => "no-owner-check",
            Self::CompleteUnfenced => "unfenced",
            Self::LeaseIsExpiry => "lease-is-expiry",
            Self::DelOnRelease => "del-on-release",
            Self::SetNx => "setnx",
        }
    }
}

/// The store.
#[derive(Debug)]
pub struct NaiveStore {
    client: redis::Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    script: Script,
    mutation: Mutation,
}

type Reply = Vec<Bytes>;

impl NaiveStore {
    /// One at this URL of a single server; connected when it is used.
    pub fn new(url: &str, mutation: Mutation) -> Self {
        let client = redis::Client::open(url).expect("a URL of a single server");
        Self { client, connection: Mutex::default(), script: Script::new(include_str!("naive.lua")), mutation }
    }

    async fn run(
        &self,
        verb: &str,
        attempt: &Attempt,
        fence: Option<Fence>,
        arguments: &[&[u8]],
        deadline: Deadline,
    ) -> Result<Reply, StoreError> {
        let mut invocation = self.script.key(attempt.key.as_bytes());
        invocation.arg(verb).arg(self.mutation.word()).arg(&attempt.owner.as_bytes()[..]);
        invocation.arg(fence.map_or(0, Fence::get));
        for argument in arguments {
            invocation.arg(*argument);
        }
        let mut connection = self.connected(deadline).await?;
        let reply = tokio::time::timeout(deadline.remaining(), invocation.invoke_async(&mut connection)).await;
        match reply {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) if error.code() == Some("OOM") => Err(StoreError::not_applied(NAME, error)),
            Ok(Err(error)) => Err(self.give_up(error).await),
            Err(elapsed) => Err(self.give_up(elapsed).await),
        }
    }

    async fn connected(&self, deadline: Deadline) -> Result<MultiplexedConnection, StoreError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let config = config.set_connection_timeout(Some(deadline.remaining().min(Duration::from_millis(500))));
        let opened = Box::pin(self.client.get_multiplexed_async_connection_with_config(&config)).await;
        let opened = opened.map_err(|error| StoreError::not_applied(NAME, error))?;
        *connection = Some(opened.clone());
        Ok(opened)
    }

    /// Nobody knows what became of what was sent, and the next one connects anew.
    async fn give_up(&self, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        *self.connection.lock().await = None;
        StoreError::unknown(NAME, error)
    }
}

/// An answer with a letter before it that says whether it is kept.
fn written(answer: &Answer) -> Vec<u8> {
    let kept = if matches!(answer, Answer::Kept(_)) { b'k' } else { b'n' };
    [&[kept], &answer.as_bytes()[..]].concat()
}

fn completed(fence: &Bytes, answer: &Bytes) -> Option<Completed> {
    let (kept, bytes) = answer.split_first()?;
    let bytes = Bytes::copy_from_slice(bytes);
    let answer = if *kept == b'k' { Answer::Kept(bytes) } else { Answer::NotKept(bytes) };
    let recorded_at = StoreTime::from_micros(number(fence));
    let expires_at = recorded_at.after(Terms::default().retention());
    Some(Completed { answer, fence: Fence::new(number(fence)), recorded_at, expires_at })
}

fn number(text: &Bytes) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn loss(reply: &[Bytes]) -> Loss {
    match reply {
        [_, state, fence, answer] if &state[..] == b"C" => {
            completed(fence, answer).map_or(Loss::Absent, Loss::Completed)
        }
        [_, state, ..] if &state[..] == b"P" => Loss::InFlight { remaining: Duration::from_millis(100) },
        [_, state, ..] if &state[..] == b"I" => Loss::Indeterminate,
        [_, state, ..] if &state[..] == b"R" => Loss::Released,
        _ => Loss::Absent,
    }
}

fn nonsense() -> StoreError {
    StoreError::unknown(NAME, "a reply that makes no sense")
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::not_applied(NAME, "a verb that the harness does not use"))
}

fn millis(duration: Duration) -> Vec<u8> {
    duration.as_millis().to_string().into_bytes()
}

impl Store for NaiveStore {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        let attempts = match claim.on_abandoned {
            OnAbandoned::Reexecute { max_attempts } => NonZeroU32::get(max_attempts),
            _ => 0,
        };
        let (lease, retention) = (millis(claim.terms.lease()), millis(claim.terms.retention()));
        let attempts = attempts.to_string();
        let arguments = [&claim.attempt.fingerprint.as_bytes()[..], &lease, &retention, attempts.as_bytes()];
        let reply = self.run("claim", &claim.attempt, None, &arguments, deadline).await?;
        match reply.as_slice() {
            [word, fence, count] if &word[..] == b"acquired" => {
                let (attempt, terms) = (claim.attempt, claim.terms);
                let number = u32::try_from(number(count)).unwrap_or(1);
                let grant = Grant { attempt, fence: Fence::new(self::number(fence)), number, terms };
                Ok(Claimed::Acquired { grant, checkpoint: None })
            }
            [word, fence, answer] if &word[..] == b"completed" => {
                completed(fence, answer).map(Claimed::Completed).ok_or_else(nonsense)
            }
            [word, left] if &word[..] == b"in flight" => {
                Ok(Claimed::InFlight { remaining: Duration::from_millis(number(left)) })
            }
            [word, fence, count] if &word[..] == b"indeterminate" => Ok(Claimed::Indeterminate(Indeterminate {
                fence: Fence::new(number(fence)),
                attempts: u32::try_from(number(count)).unwrap_or(1),
                since: StoreTime::from_micros(number(fence)),
                reason: None,
                quiet_for: Duration::ZERO,
                checkpoint: None,
            })),
            [word] if &word[..] == b"mismatch" => Ok(Claimed::Mismatch),
            [word] if &word[..] == b"stale" => Ok(Claimed::Stale),
            _ => Err(nonsense()),
        }
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        let lease = millis(grant.terms.lease());
        let reply = self.run("renew", &grant.attempt, Some(grant.fence), &[&lease], deadline).await?;
        let held = reply.first().is_some_and(|word| &word[..] == b"held");
        Ok(if held { Renewed::Held } else { Renewed::Lost(loss(&reply)) })
    }

    async fn checkpoint(&self, _: &Grant, _: &Checkpoint, _: Deadline) -> Result<Checkpointed, StoreError> {
        unused()
    }

    async fn complete(&self, grant: &Grant, done: &Completion, deadline: Deadline) -> Result<Recorded, StoreError> {
        let (answer, retention) = (written(&done.answer), millis(grant.terms.retention()));
        let (fingerprint, number) = (grant.attempt.fingerprint, grant.number.to_string());
        let arguments = [&answer[..], &fingerprint.as_bytes()[..], number.as_bytes(), &retention];
        let reply = self.run("complete", &grant.attempt, Some(grant.fence), &arguments, deadline).await?;
        let recorded = reply.first().is_some_and(|word| &word[..] == b"recorded");
        Ok(if recorded { Recorded::Recorded } else { Recorded::Lost(loss(&reply)) })
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        let reply = self.run("release", attempt, fence, &[], deadline).await?;
        let released = reply.first().is_some_and(|word| &word[..] == b"released");
        Ok(if released { Released::Released } else { Released::Lost(loss(&reply)) })
    }

    async fn abandon(&self, grant: &Grant, _: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        let reply = self.run("abandon", &grant.attempt, Some(grant.fence), &[], deadline).await?;
        let abandoned = reply.first().is_some_and(|word| &word[..] == b"abandoned");
        Ok(if abandoned { Abandoned::Abandoned } else { Abandoned::Lost(loss(&reply)) })
    }

    async fn resolve(&self, _: Key, _: Seen, _: &Resolution, _: Deadline) -> Result<Resolved, StoreError> {
        unused()
    }

    async fn inspect(&self, _: Key, _: Deadline) -> Result<Option<Entry>, StoreError> {
        unused()
    }

    async fn list(&self, _: &Query, _: Deadline) -> Result<Page, StoreError> {
        unused()
    }

    async fn erase(&self, _: Key, _: Seen, _: Deadline) -> Result<Erased, StoreError> {
        unused()
    }

    async fn ping(&self, _: Deadline) -> Result<(), StoreError> {
        Ok(())
    }
}
