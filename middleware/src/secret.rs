//! The secret, and everything that is digested with it: storage keys, fingerprints, keys for other services, fence
//! keys.
//!
//! Every digest is keyed, so that a leaked store gives away neither keys nor low-entropy bodies, and every field is
//! preceded by its length, so that no two different requests can be spelled alike.

use std::fmt;
use std::sync::Arc;

use idempotency_store::{FenceKey, Fingerprint, Key};

use crate::config::ConfigError;
use crate::framed::Framed;

/// What the digests are keyed with. `Debug` does not show it.
///
/// All servers that share a store share the secret. It must stay the same for longer than the retention: changing it
/// makes every key new, and a retry that comes after the change runs again.
#[derive(Clone)]
pub struct Secret(Arc<Subkeys>);

/// One key per purpose, so that a digest made for one can never pass for another.
struct Subkeys {
    storage: [u8; 32],
    fingerprint: [u8; 32],
    body: [u8; 32],
    #[cfg(feature = "fast-fingerprint")]
    fast: Fast,
    downstream: [u8; 32],
    fence: [u8; 32],
    scope: [u8; 32],
    #[cfg(feature = "client")]
    request: [u8; 32],
}

/// For fingerprints with a faster digest of the body, which are never taken for others.
#[cfg(feature = "fast-fingerprint")]
struct Fast {
    fingerprint: [u8; 32],
    seed: u64,
}

#[cfg(feature = "fast-fingerprint")]
impl Fast {
    fn new(secret: &[u8]) -> Self {
        let seed = blake3::derive_key("tower-idempotency 2026-11 fast fingerprint seed v1", secret);
        Self {
            fingerprint: blake3::derive_key("tower-idempotency 2026-11 fast fingerprint v1", secret),
            seed: seed.first_chunk().map_or(0, |seed| u64::from_le_bytes(*seed)),
        }
    }
}

impl Secret {
    /// A secret from at least 16 bytes that nobody can guess.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretTooShort`].
    ///
    /// ```
    /// use tower_idempotency::Secret;
    ///
    /// assert!(Secret::new("correct horse battery staple").is_ok());
    /// assert!(Secret::new("short").is_err());
    /// ```
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        const SHORTEST: usize = 16;
        let secret = secret.as_ref();
        if secret.len() < SHORTEST {
            return Err(ConfigError::SecretTooShort(secret.len()));
        }
        Ok(Self(Arc::new(Subkeys {
            storage: blake3::derive_key("tower-idempotency 2026-11 storage key v1", secret),
            fingerprint: blake3::derive_key("tower-idempotency 2026-11 fingerprint v1", secret),
            body: blake3::derive_key("tower-idempotency 2026-11 body v1", secret),
            #[cfg(feature = "fast-fingerprint")]
            fast: Fast::new(secret),
            downstream: blake3::derive_key("tower-idempotency 2026-11 downstream key v1", secret),
            fence: blake3::derive_key("tower-idempotency 2026-11 fence key v1", secret),
            scope: blake3::derive_key("tower-idempotency 2026-11 scope v1", secret),
            #[cfg(feature = "client")]
            request: blake3::derive_key("tower-idempotency 2026-11 request key v1", secret),
        })))
    }

    /// A secret that this process forgets when it ends: for the memory store and for tests.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoRandomness`] if the operating system has none to give.
    pub fn random() -> Result<Self, ConfigError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| ConfigError::NoRandomness)?;
        Self::new(secret)
    }

    /// Where the highest fence of a key is kept, for receivers that are not HTTP services: digests whose key it is, and
    /// the key.
    ///
    /// It is another digest than the one that a [`FenceGuardLayer`](crate::FenceGuardLayer) makes of a scope: fences that
    /// come over HTTP and fences that come with messages are not compared, as their keys are different ones.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_idempotency::Secret;
    /// use tower_idempotency::store::{Admitted, Deadline, Fence, FenceStore, Holder, MemoryFenceStore, Owner};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (secret, fences) = (Secret::random()?, MemoryFenceStore::new());
    /// // What came with a message, and the highest fence for as long as messages can come again:
    /// let (queue, key, retention) = ("orders", "order-42", Duration::from_secs(24 * 60 * 60));
    /// let holder = Holder { fence: Fence::new(33), owner: Owner::random()? };
    /// let deadline = Deadline::after(Duration::from_secs(3));
    /// match fences.admit(&secret.fence_key(queue, key), holder, retention, deadline).await? {
    ///     Admitted::Admitted => println!("handle it"),
    ///     Admitted::Fenced { highest } => println!("drop it: superseded by {highest}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn fence_key(&self, scope: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> FenceKey {
        let mut framed = Framed::new(&self.0.fence);
        framed.field(scope.as_ref());
        framed.field(key.as_ref());
        FenceKey::new(framed.finish())
    }

    /// Where the highest fence of this scope's key is kept.
    pub(crate) fn scoped_fence_key(&self, digest_scope: impl FnOnce(&mut Framed), key: &str) -> FenceKey {
        let mut framed = Framed::new(&self.0.fence);
        digest_scope(&mut framed);
        framed.field(key.as_bytes());
        FenceKey::new(framed.finish())
    }

    /// Where the record of this scope's key lives.
    pub(crate) fn storage_key(&self, digest_scope: impl FnOnce(&mut Framed), key: &str) -> Key {
        let mut framed = Framed::new(&self.0.storage);
        digest_scope(&mut framed);
        framed.field(key.as_bytes());
        Key::new(framed.finish())
    }

    /// A digest of a scope alone, to be fed its fields.
    pub(crate) fn scope(&self) -> Framed<'_> {
        Framed::new(&self.0.scope)
    }

    /// What the request is.
    pub(crate) fn fingerprint(&self, fields: impl FnOnce(&mut Framed)) -> Fingerprint {
        let mut framed = Framed::new(&self.0.fingerprint);
        fields(&mut framed);
        Fingerprint::new(framed.finish())
    }

    /// A digest of a body, to stand for it among the fields of its request.
    pub(crate) fn body_digest(&self, body: &[u8]) -> [u8; 32] {
        blake3::keyed_hash(&self.0.body, body).into()
    }

    /// What the request is, of fields among which the body stands as its [fast digest](Self::fast_digest).
    #[cfg(feature = "fast-fingerprint")]
    pub(crate) fn fast_fingerprint(&self, fields: impl FnOnce(&mut Framed)) -> Fingerprint {
        let mut framed = Framed::new(&self.0.fast.fingerprint);
        fields(&mut framed);
        Fingerprint::new(framed.finish())
    }

    /// A digest of a body that is no secret: it must go through a keyed one.
    #[cfg(feature = "fast-fingerprint")]
    pub(crate) fn fast_digest(&self, body: &[u8]) -> [u8; 16] {
        xxhash_rust::xxh3::xxh3_128_with_seed(body, self.0.fast.seed).to_le_bytes()
    }

    /// The key to send downstream for one step of the work: the same for every attempt of one key.
    pub(crate) fn downstream_key(&self, key: &Key, step: &str) -> String {
        let mut framed = Framed::new(&self.0.downstream);
        framed.field(key.as_bytes());
        framed.field(step.as_bytes());
        framed.finish_hex()
    }

    /// A client's own key for these fields.
    #[cfg(feature = "client")]
    pub(crate) fn request_key(&self, fields: impl FnOnce(&mut Framed)) -> String {
        let mut framed = Framed::new(&self.0.request);
        fields(&mut framed);
        framed.finish_hex()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A scope, as it is told from others in this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ScopeDigest([u8; 16]);

impl ScopeDigest {
    pub(crate) const fn new(digest: [u8; 16]) -> Self {
        Self(digest)
    }
}

impl fmt::Debug for ScopeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &Secret, scope: &str, key: &str) -> Key {
        secret.storage_key(|framed| framed.field(scope.as_bytes()), key)
    }

    #[test]
    fn scope_and_key_cannot_be_shifted_into_each_other() {
        let secret = Secret::new([7; 32]).expect("long enough");
        assert_ne!(key(&secret, "ab", "c"), key(&secret, "a", "bc"));
        assert_eq!(key(&secret, "ab", "c"), key(&secret, "ab", "c"));
        assert_ne!(key(&secret, "ab", "c"), key(&Secret::new([8; 32]).expect("long enough"), "ab", "c"));
    }

    #[test]
    fn an_absent_field_is_not_an_empty_one() {
        let secret = Secret::new([7; 32]).expect("long enough");
        assert_ne!(secret.fingerprint(|f| f.optional(None)), secret.fingerprint(|f| f.optional(Some(b""))));
    }

    #[test]
    fn a_downstream_key_depends_on_key_and_step_alone() {
        let secret = Secret::new([7; 32]).expect("long enough");
        let (a, b) = (key(&secret, "s", "a"), key(&secret, "s", "b"));
        let charge = secret.downstream_key(&a, "charge");
        assert_eq!(charge, secret.downstream_key(&a, "charge"));
        assert_eq!(charge.len(), 32);
        assert_ne!(charge, secret.downstream_key(&a, "refund"));
        assert_ne!(charge, secret.downstream_key(&b, "charge"));
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", Secret::new([7; 32])), "Ok(Secret(..))");
    }
}
