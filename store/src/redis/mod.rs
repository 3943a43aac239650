//! A store in Redis, for several servers.
//!
//! # How it works
//!
//! One key, one string, one write per transition. A claim is `SET key record NX GET PX retention`: one command takes the
//! key or brings what is there, so a replay costs one round trip and no script, and a first request two in all. Renewal and
//! completion are a small script each, which compares owner and fence. Where the server has `SET` with `IFEQ` (Valkey 8.1, Redis
//! 8.4), an answer is recorded by that, if the record is still as the claim wrote it. Elsewhere a large one is written beside the
//! record, and the script that goes out with it puts it in the record's place. Everything else is rare and runs the very [transitions](crate::record) that the other stores run: a script reads the record with the server's clock, the
//! transition decides, and another script writes if the record is still exactly the one that was seen.
//!
//! The server's clock decides alone. A record does not say when its lease lapses: that follows from how much of the key's
//! expiry is left, which only the server counts.
//!
//! # What it needs
//!
//! Redis 7.0 or Valkey 7.2 and later: one server, a master with replicas that [Sentinels](RedisConfig) look after, or a Cluster.
//! Three settings decide whether their word can be trusted; the defaults of many installations are wrong for this:
//!
//! - `maxmemory-policy noeviction`. Any other policy may drop records under pressure, and what is dropped runs again. A full
//!   server then refuses new keys (503), and still replays and completes.
//! - `appendonly yes`. Without it a restart forgets every key. With `appendfsync everysec`, the default, a crash of the
//!   process loses nothing and a power cut at most about a second of claims; `always` closes that gap at a price.
//! - [`Durability`]: with replicas, a claim counts when one of them has it. What is not acknowledged in time is given back, and
//!   the request gets 503; the handler has not run.
//!
//! The [`doctor`] looks whether servers are set up so, and says what to do where they are not.
//!
//! A fail-over keeps every claim that the promoted replica acknowledged. That is no consensus: **with two replicas, the one that
//! is promoted may be the other one**, unless `Replicated { replicas: 2 }` waits for both; a master that was cut off goes on
//! granting what its remaining replica acknowledges. And a replica that acknowledged and then restarted empty has forgotten it. In a Cluster, a slot that
//! moves brings its keys to a master whose replica has them a moment later.
//!
//! # Connections
//!
//! One line per master for everything, and where claims wait for replicas a second one beside it, since `WAIT` blocks its
//! connection. A line that breaks is replaced by the next verb, after a pause that grows and is drawn at random. The master is
//! asked for anew each time that a line is made, when a server says that it is read-only, when a claim is not acknowledged, and
//! every five seconds. A Cluster's redirections are followed; a refusal that says that nothing was carried out leads to another
//! try until the deadline of the verb; a call whose reply is lost is never sent again by itself.
//!
//! # Rights
//!
//! The smallest user that can do everything, with the default prefix, is
//!
//! ```text
//! user app on >.. ~idem:* resetchannels -@all +set +get +getrange +pttl +pexpire +rename +time +eval +evalsha +wait +info
//!     +ping +select +cluster|slots +cluster|info +asking
//! ```
//!
//! and `+scan +strlen` for listing keys, `+waitaof` for [`Durability::Fsynced`]. Without `+info`, `+role` tells of replicas. A user who may run no script of his own has
//! `+fcall` instead of `+eval +evalsha`, and with [`Durability::Local`] nothing else but `+set +get +getrange +pttl +pexpire
//! +rename +time`, which the functions run with his rights: [`Scripting::Functions`]. Without `+rename` large answers pass through
//! the script, as they do where the functions are those of a version that did not stage them.
//!
//! # Errors
//!
//! A command that was refused was *not applied*. After a time-out, a broken connection or a reply that makes no sense the
//! effect is *unknown*: ask again as the same owner. A record that cannot be read, or something else that stands at our
//! key, is *corrupt* and is left as it is.

mod claim;
mod clock;
mod cluster;
mod completing;
mod config;
mod connect_error;
mod counts;
pub mod doctor;
mod durability;
mod failure;
mod greeting;
mod lane;
mod line;
mod link;
mod list;
mod origin;
mod parameters;
mod patience;
mod pause;
mod role;
mod script;
mod servers;
mod slots;
mod topology;
mod transact;
mod value;
mod verbs;
mod watching;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Value;

use crate::{Deadline, Key, StoreError};
use claim::Unsettled;
use counts::Counts;
use durability::Wait;
use line::Via;
use patience::Patience;
use role::Role;
use script::Scripts;
use topology::{Topology, answer};

pub use config::{RedisConfig, RedisConfigError};
pub use connect_error::RedisConnectError;
pub use counts::RedisCounts;
pub use durability::{Durability, OnUnreplicated};
pub use parameters::DurabilityError;
pub use script::Scripting;

pub(crate) const NAME: &str = "redis";

/// A store in Redis. Cloning shares the connections.
///
/// Connected inside a tokio runtime, on which it keeps one or two connections per master and a few small tasks. A connection
/// that breaks is replaced by the next verb, after a pause that grows and is drawn at random.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    topology: Topology,
    shared: Arc<Shared>,
    unsettled: Unsettled,
    /// Owners whose record was written again, and not acknowledged.
    recreated: Unsettled,
    ward: doctor::Ward,
}

/// What the ways to all servers share.
struct Shared {
    config: RedisConfig,
    scripts: Scripts,
    patience: Patience,
    counts: Counts,
    /// Whether a replica was ever seen.
    expects_replicas: AtomicBool,
}

/// A reply that no Redis server gives. What was sent may have been carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server's reply makes no sense here")]
pub(crate) struct Nonsense;

impl RedisStore {
    /// Connects to the servers of a URL, with the default prefix: see [`RedisConfig`].
    ///
    /// # Errors
    ///
    /// As [`RedisStore::connect_with`]; a URL that is none comes back as [`RedisConnectError::Url`].
    pub async fn connect(url: &str) -> Result<Self, RedisConnectError> {
        Self::connect_with(RedisConfig::new(url)?).await
    }

    /// Connects, and checks that the servers are such that keep the store's promises: the right kind and version, masters, and
    /// able to tell what the [`Durability`] waits for.
    ///
    /// # Errors
    ///
    /// [`RedisConnectError`], with the cause and what to do. Nothing is retried here.
    pub async fn connect_with(config: RedisConfig) -> Result<Self, RedisConnectError> {
        let shared = Arc::new(Shared {
            scripts: Scripts::new(config.scripting),
            config,
            patience: Patience::new(),
            counts: Counts::default(),
            expects_replicas: AtomicBool::new(false),
        });
        let topology = Topology::open(&shared).await?;
        let ward = doctor::Ward::default();
        let inner = Arc::new(Inner {
            topology,
            shared,
            unsettled: Unsettled::default(),
            recreated: Unsettled::default(),
            ward,
        });
        doctor::Ward::patrol(Arc::downgrade(&inner));
        Ok(Self(inner))
    }

    /// The name of a key's record in Redis, for operators who look at one: the prefix, and the digest in base64url
    /// between braces.
    pub fn name_of(&self, key: &Key) -> String {
        self.named("", key.as_bytes())
    }

    /// What has happened since the store was connected that an operator wants to hear of.
    pub fn counts(&self) -> RedisCounts {
        self.0.shared.counts.read()
    }

    /// The functions that [`Scripting::Functions`] calls, as a library for
    /// [`FUNCTION LOAD`](https://redis.io/docs/latest/commands/function-load/): what an administrator loads on every master.
    ///
    /// ```
    /// use idempotency_store::RedisStore;
    ///
    /// assert!(RedisStore::function_library().starts_with("#!lua name=idem_v1"));
    /// ```
    pub fn function_library() -> String {
        Scripts::new(Scripting::Functions).library()
    }

    /// The name of something of this kind that has this digest.
    pub(crate) fn named(&self, kind: &str, digest: &[u8; 32]) -> String {
        named(&self.0.shared.config.prefix, kind, digest)
    }

    /// Lets the fence in `mark` pass at `name` if none stands in its way, and brings what stands there then.
    ///
    /// It waits as a claim does: a mark that a fail-over forgets lets a superseded attempt pass.
    pub(crate) async fn admit(
        &self,
        name: &str,
        mark: &[u8],
        life: &str,
        deadline: Deadline,
    ) -> Result<Vec<u8>, StoreError> {
        // It answers with the mark alone where it wrote none, and with 1 beside it where it did.
        let via = Via::Lane(|reply| matches!(reply, Value::Array(parts) if parts.len() == 2));
        let sent = self.run(&self.0.shared.scripts.admit, name, &[mark, life.as_bytes()], via, deadline).await?;
        if !sent.is_acknowledged() {
            match self.0.shared.config.on_unreplicated {
                OnUnreplicated::Refuse => return Err(StoreError::unknown(NAME, transact::NotDurable)),
                OnUnreplicated::Proceed => self.0.shared.counts.proceeded.up(),
            }
        }
        match answer(sent)? {
            Value::Array(mut parts) => match parts.drain(..).next() {
                Some(Value::BulkString(stands)) => Ok(stands),
                _ => Err(StoreError::unknown(NAME, Nonsense)),
            },
            _ => Err(StoreError::unknown(NAME, Nonsense)),
        }
    }
}

impl Shared {
    /// What claims have to wait for.
    fn wait(&self) -> Option<Wait> {
        self.config.durability.wait(self.expects_replicas.load(Ordering::Acquire))
    }

    /// A server has said what it is. A replica that was seen is expected from then on, at every server; and so is one where a
    /// master has none that may have been cut off from them.
    fn note(&self, role: Role, is_agreed: bool) {
        if matches!(role, Role::Master { replicas: 1.. }) || !is_agreed {
            self.expects_replicas.store(true, Ordering::Release);
        }
    }
}

/// The part between braces decides where a name lives in a Cluster.
fn named(prefix: &str, kind: &str, digest: &[u8]) -> String {
    // Made for every verb, so in one piece: a digest of 32 bytes has 43 characters.
    let mut name = String::with_capacity(prefix.len() + kind.len() + 46);
    name.extend([prefix, ":", kind, "{"]);
    URL_SAFE_NO_PAD.encode_string(digest, &mut name);
    name.push('}');
    name
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("config", &self.0.shared.config).finish_non_exhaustive()
    }
}
