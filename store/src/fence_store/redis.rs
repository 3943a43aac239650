//! Highest fences in Redis, for receivers of several processes.

use std::fmt;
use std::time::Duration;

use super::bytes::{HOLDER_LEN, from_bytes, to_bytes};
use super::mark::life;
use super::{Admitted, FenceKey, FenceStore, Holder};
use crate::codec::CodecError;
use crate::redis::{NAME, Nonsense};
use crate::{Deadline, RedisConfig, RedisConnectError, RedisStore, StoreError};

/// What a mark begins with.
const VERSION: u8 = 1;

/// Highest fences in a Redis server that several receivers share.
///
/// One key, one string of 25 bytes, one small script per admission, whose one write comes last. The key expires with the
/// retention, by the server's clock. What the server's settings have to be is the same as for [records](crate::redis), and
/// so are the errors: a mark that is evicted, or lost with a server that does not persist, lets a superseded attempt pass.
/// A full server refuses admissions, and so the attempts.
///
/// A receiver that also keeps keys takes the fences of the same store, [`RedisStore::fences`]; then they share the
/// connection.
///
/// ```no_run
/// use idempotency_store::{RedisFenceStore, RedisStore};
///
/// # async fn open() -> Result<(), idempotency_store::RedisConnectError> {
/// // With a connection of its own, or over that of a store:
/// let fences = RedisFenceStore::connect("redis://127.0.0.1:6379").await?;
/// let shared = RedisStore::connect("redis://127.0.0.1:6379").await?.fences();
/// # let _ = (fences, shared);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisFenceStore(RedisStore);

impl RedisFenceStore {
    /// Connects to the server of a URL, with the default prefix: see [`RedisConfig::new`].
    ///
    /// # Errors
    ///
    /// As [`RedisStore::connect`].
    pub async fn connect(url: &str) -> Result<Self, RedisConnectError> {
        RedisStore::connect(url).await.map(Self)
    }

    /// Connects, and checks that the server is one that keeps the store's promises.
    ///
    /// # Errors
    ///
    /// As [`RedisStore::connect_with`].
    pub async fn connect_with(config: RedisConfig) -> Result<Self, RedisConnectError> {
        RedisStore::connect_with(config).await.map(Self)
    }

    /// The name of a key's mark in Redis, for operators who look at one: the prefix, `fence`, and the digest in base64url
    /// between braces.
    pub fn name_of(&self, key: &FenceKey) -> String {
        self.0.named("fence:", key.as_bytes())
    }
}

impl RedisStore {
    /// The highest fences that are kept in the same server, for a receiver that keeps keys as well. They share connection
    /// and prefix.
    pub fn fences(&self) -> RedisFenceStore {
        RedisFenceStore(self.clone())
    }
}

impl fmt::Debug for RedisFenceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisFenceStore").field(&self.0).finish()
    }
}

impl FenceStore for RedisFenceStore {
    async fn admit(
        &self,
        key: &FenceKey,
        holder: Holder,
        retention: Duration,
        deadline: Deadline,
    ) -> Result<Admitted, StoreError> {
        let mine = value(holder);
        let millis = life(retention).as_millis().to_string();
        let stands = self.0.admit(&self.name_of(key), &mine, &millis, deadline).await?;
        // The reply is the mark itself. One that was meant for another caller can refuse, and never admits.
        if stands == mine {
            return Ok(Admitted::Admitted);
        }
        let highest = read(&stands).map_err(|error| StoreError::corrupt(NAME, error))?;
        if highest.fence < holder.fence {
            return Err(StoreError::unknown(NAME, Nonsense));
        }
        Ok(Admitted::Fenced { highest: highest.fence })
    }
}

fn value(holder: Holder) -> [u8; 1 + HOLDER_LEN] {
    let mut value = [VERSION; 1 + HOLDER_LEN];
    value.iter_mut().skip(1).zip(to_bytes(holder)).for_each(|(to, from)| *to = from);
    value
}

fn read(value: &[u8]) -> Result<Holder, CodecError> {
    match value.split_first() {
        Some((&VERSION, holder)) => from_bytes(holder).ok_or(CodecError::Truncated),
        Some((&other, _)) => Err(CodecError::UnknownVersion(other)),
        None => Err(CodecError::Truncated),
    }
}
