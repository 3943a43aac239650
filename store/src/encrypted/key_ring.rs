//! The keys that values are sealed with, and how they are written in a configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::RandomError;
use crate::ids::fill_random;

/// A key of XChaCha20-Poly1305 and the id by which sealed values name it. It is overwritten in memory when it is dropped,
/// and `Debug` shows the id alone.
pub struct EncryptionKey {
    id: u8,
    // Boxed, so that moving the key leaves no copy of it behind.
    material: Box<Zeroizing<[u8; Self::LEN]>>,
}

/// Keys that cannot be used, told without showing any of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// There is none, so nothing could be sealed.
    #[error("there is no encryption key: the first one seals, and must be there")]
    NoKeys,
    /// Two keys have one id, and nobody could tell which of them a value was sealed with.
    #[error("two encryption keys have the id {0}; a new key needs a new id")]
    DuplicateId(u8),
    /// A key does not have 32 bytes.
    #[error(
        "the encryption key with id {id} has {len} bytes instead of 32; `openssl rand -base64 32` makes a good one"
    )]
    Length {
        /// Its id.
        id: u8,
        /// How many bytes it has.
        len: usize,
    },
    /// An entry of the text is not an id from 0 to 255, a colon and base64.
    #[error(
        "encryption key {0} of the list is not written as ID:BASE64, such as 1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    )]
    Text(
        /// Which one, counted from 1.
        usize,
    ),
}

impl EncryptionKey {
    /// 32 bytes.
    pub const LEN: usize = 32;

    /// A key of 32 bytes that nobody can guess: from a random source or a key management service, never a password.
    ///
    /// The id is written in front of everything that the key seals. Give it to no other key for as long as that lasts.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::Length`].
    pub fn new(id: u8, material: impl AsRef<[u8]>) -> Result<Self, KeyRingError> {
        let material = material.as_ref();
        if material.len() != Self::LEN {
            return Err(KeyRingError::Length { id, len: material.len() });
        }
        let mut key = Self::zeroed(id);
        key.material.copy_from_slice(material);
        Ok(key)
    }

    /// A key that this process forgets when it ends: for the memory store and for tests.
    ///
    /// # Errors
    ///
    /// [`RandomError`] when the system has no random bytes to give.
    pub fn random(id: u8) -> Result<Self, RandomError> {
        let mut key = Self::zeroed(id);
        fill_random(key.material.as_mut_slice())?;
        Ok(key)
    }

    fn zeroed(id: u8) -> Self {
        Self { id, material: Box::new(Zeroizing::new([0; Self::LEN])) }
    }

    /// The name of the key.
    pub const fn id(&self) -> u8 {
        self.id
    }

    pub(super) fn material(&self) -> &[u8; Self::LEN] {
        &self.material
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys of a store: the first one, the *primary*, seals; every one of them opens. Cloning shares them, and `Debug` shows
/// their ids alone.
///
/// ```
/// use idempotency_store::{EncryptionKey, KeyRing, KeyRingError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ring = KeyRing::new([EncryptionKey::random(2)?, EncryptionKey::random(1)?])?;
/// assert_eq!(format!("{ring:?}"), "KeyRing { primary: 2, others: [1] }");
///
/// let twice = KeyRing::new([EncryptionKey::random(1)?, EncryptionKey::random(1)?]);
/// assert_eq!(twice.unwrap_err(), KeyRingError::DuplicateId(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KeyRing(Arc<Keys>);

struct Keys {
    primary: EncryptionKey,
    others: Vec<EncryptionKey>,
}

impl KeyRing {
    /// A ring of these keys, the primary first.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::NoKeys`], [`KeyRingError::DuplicateId`].
    pub fn new(keys: impl IntoIterator<Item = EncryptionKey>) -> Result<Self, KeyRingError> {
        let mut keys = keys.into_iter();
        let primary = keys.next().ok_or(KeyRingError::NoKeys)?;
        let others: Vec<_> = keys.collect();
        let mut ids = BTreeSet::from([primary.id]);
        match others.iter().find(|key| !ids.insert(key.id)) {
            Some(key) => Err(KeyRingError::DuplicateId(key.id)),
            None => Ok(Self(Arc::new(Keys { primary, others }))),
        }
    }

    /// A ring from its text in a configuration: `ID:BASE64,ID:BASE64`, the primary first. Base64 is the standard alphabet
    /// with padding, as `openssl rand -base64 32` prints it; space around an entry does not count.
    ///
    /// The text itself is the caller's to protect and to forget.
    ///
    /// # Errors
    ///
    /// [`KeyRingError`]. None shows any part of the text but an id.
    ///
    /// ```
    /// use idempotency_store::{KeyRing, KeyRingError};
    ///
    /// let old = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    /// let new = "2:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
    /// let ring = KeyRing::from_text(&format!("{new},{old}")).unwrap();
    /// assert_eq!((ring.primary().id(), ring.ids().count()), (2, 2));
    /// assert_eq!(KeyRing::from_text("1:c2hvcnQ=").unwrap_err(), KeyRingError::Length { id: 1, len: 5 });
    /// assert_eq!(KeyRing::from_text("").unwrap_err(), KeyRingError::NoKeys);
    /// ```
    pub fn from_text(text: &str) -> Result<Self, KeyRingError> {
        if text.trim().is_empty() {
            return Err(KeyRingError::NoKeys);
        }
        let keys = text.split(',').zip(1..).map(|(entry, number)| read(entry.trim(), number));
        Self::new(keys.collect::<Result<Vec<_>, _>>()?)
    }

    /// The key that seals.
    pub fn primary(&self) -> &EncryptionKey {
        &self.0.primary
    }

    /// The ids of all keys, that of the primary first.
    pub fn ids(&self) -> impl Iterator<Item = u8> + '_ {
        self.keys().map(EncryptionKey::id)
    }

    pub(super) fn get(&self, id: u8) -> Option<&EncryptionKey> {
        self.keys().find(|key| key.id == id)
    }

    fn keys(&self) -> impl Iterator<Item = &EncryptionKey> {
        std::iter::once(&self.0.primary).chain(&self.0.others)
    }
}

fn read(entry: &str, number: usize) -> Result<EncryptionKey, KeyRingError> {
    let malformed = KeyRingError::Text(number);
    let (id, material) = entry.split_once(':').ok_or(malformed)?;
    let id = id.parse().map_err(|_| malformed)?;
    let material = STANDARD.decode(material).map(Zeroizing::new).map_err(|_| malformed)?;
    EncryptionKey::new(id, material.as_slice())
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others: Vec<_> = self.ids().skip(1).collect();
        f.debug_struct("KeyRing").field("primary", &self.0.primary.id).field("others", &others).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn reads_keys_in_their_order() {
        let two = ONE.replacen('1', "2", 1);
        let ring = KeyRing::from_text(&format!(" {two} ,\n{ONE}\n")).unwrap();
        assert_eq!(ring.ids().collect::<Vec<_>>(), [2, 1]);
        let counted: Vec<u8> = (0..32).collect();
        assert_eq!(ring.primary().material(), counted.as_slice());
        assert!(ring.get(1).is_some() && ring.get(3).is_none());
    }

    #[test]
    fn refuses_what_is_no_key_without_showing_it() {
        let of = |text: &str| KeyRing::from_text(text).unwrap_err();
        for text in ["1", "1:", ":c2VjcmV0", "256:c2VjcmV0", "-1:c2VjcmV0", "one:c2VjcmV0", "1:c2VjcmV0!", "c2VjcmV0"] {
            let error = of(text);
            assert!(
                matches!(error, KeyRingError::Text(1) | KeyRingError::Length { id: 1, len: 0 }),
                "{text}: {error:?}"
            );
            assert!(!format!("{error} {error:?}").contains("c2VjcmV0"), "{error}");
        }
        assert_eq!(of(&format!("{ONE},c2VjcmV0")), KeyRingError::Text(2));
        assert_eq!(of(&format!("{ONE},")), KeyRingError::Text(2));
        assert_eq!(of(&format!("{ONE},{ONE}")), KeyRingError::DuplicateId(1));
        assert_eq!(of("7:c2VjcmV0"), KeyRingError::Length { id: 7, len: 6 });
        // Without its padding it may be the beginning of something longer.
        assert_eq!(of(ONE.trim_end_matches('=')), KeyRingError::Text(1));
    }

    #[test]
    fn a_ring_has_a_primary_and_keys_have_32_bytes() {
        assert_eq!(KeyRing::new([]).unwrap_err(), KeyRingError::NoKeys);
        for len in [0, 16, 31, 33, 64] {
            assert_eq!(EncryptionKey::new(1, vec![7; len]).unwrap_err(), KeyRingError::Length { id: 1, len });
        }
    }

    #[test]
    fn debug_shows_ids_alone() {
        let key = EncryptionKey::new(9, [0xAB; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "EncryptionKey { id: 9, .. }");
        assert_eq!(format!("{:?}", KeyRing::new([key])), "Ok(KeyRing { primary: 9, others: [] })");
    }
}
