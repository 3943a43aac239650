//! The bytes of a sealed value.
//!
//! Version 1:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 3 | `E5 69 64`: sealed. The answers of no version of the layer begin so |
//! | 3 | 1 | version, 1 |
//! | 4 | 1 | the id of the key |
//! | 5 | 24 | nonce, random |
//! | 29 | rest | ciphertext, as long as the value, and the tag of 16 bytes |

use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::key_ring::{EncryptionKey, KeyRing};
use crate::ids::fill_random;
use crate::{Fence, Fingerprint, Key, RandomError};

/// How many bytes a sealed value has more than the value.
pub const SEALED_OVERHEAD: usize = HEADER_LEN + TAG_LEN;

const MARK: [u8; 3] = [0xE5, b'i', b'd'];
const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = MARK.len() + 2 + NONCE_LEN;

/// What begins the associated data, so that nothing sealed elsewhere under the same key opens here.
const DOMAIN: &[u8] = b"idempotency-store sealed value";

/// The bytes cannot be opened. They are left as they are, and nothing is served.
///
/// Found as the [source](std::error::Error::source) of a [`Corrupt`](crate::ErrorKind::Corrupt) error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// They are not sealed: written before the store was encrypted, or past the encryption. See
    /// [`EncryptedStore::accept_plaintext`](crate::EncryptedStore::accept_plaintext).
    #[error("what is stored is not encrypted")]
    NotSealed,
    /// They end too early.
    #[error("the encrypted value is cut short")]
    Truncated,
    /// Sealed by a newer version of this crate. Upgrade this process too.
    #[error("the encrypted value has version {0}; this version of the crate reads up to {VERSION}")]
    UnknownVersion(u8),
    /// The key is not in the ring: it was removed too early, or is not here yet. Put it into the ring.
    #[error("the encryption key with id {0} is not in the ring")]
    UnknownKey(u8),
    /// They were changed, belong to another record, or were sealed with another key of the same id.
    #[error("the encrypted value is not authentic: changed, of another record, or of another key with this id")]
    NotAuthentic,
}

/// The value cannot be sealed, so it is not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealingError {
    #[error(transparent)]
    NoRandomness(#[from] RandomError),
    /// The cipher takes 256 GiB.
    #[error("the value is too long to be encrypted")]
    TooLong,
}

/// What a value is and whose: bound to it as associated data, so that it opens as that and as nothing else.
#[derive(Clone, Copy)]
pub(super) enum Role {
    /// An answer to be replayed, of the attempt with this fence.
    Kept(Fence),
    /// The note of a tombstone, of the attempt with this fence.
    NotKept(Fence),
    /// A note of an owner whose request this is.
    Checkpoint(Fingerprint),
}

/// Seals `value` as `role` of `key` with the primary.
pub(super) fn seal(ring: &KeyRing, key: &Key, role: Role, value: &[u8]) -> Result<Bytes, SealingError> {
    let primary = ring.primary();
    let mut nonce = [0; NONCE_LEN];
    fill_random(&mut nonce)?;
    let mut sealed = Vec::with_capacity(value.len() + SEALED_OVERHEAD);
    sealed.extend(MARK);
    sealed.extend([VERSION, primary.id()]);
    sealed.extend(nonce);
    sealed.extend_from_slice(value);
    let text = sealed.get_mut(HEADER_LEN..).ok_or(SealingError::TooLong)?;
    let data = associated(primary.id(), key, role);
    let tag = cipher(primary)
        .encrypt_inout_detached(&XNonce::from(nonce), &data, text.into())
        .map_err(|_| SealingError::TooLong)?;
    sealed.extend(tag);
    Ok(sealed.into())
}

/// Opens what was sealed as `role` of `key`, whichever key of the ring sealed it.
pub(super) fn open(ring: &KeyRing, key: &Key, role: Role, sealed: &[u8]) -> Result<Bytes, SealError> {
    if !is_sealed(sealed) {
        return Err(SealError::NotSealed);
    }
    match sealed.get(MARK.len()) {
        Some(&VERSION) => {}
        Some(&version) => return Err(SealError::UnknownVersion(version)),
        None => return Err(SealError::Truncated),
    }
    let ([_, _, _, _, id, nonce @ ..], rest) = sealed.split_first_chunk::<HEADER_LEN>().ok_or(SealError::Truncated)?;
    let (text, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(SealError::Truncated)?;
    let opener = ring.get(*id).ok_or(SealError::UnknownKey(*id))?;
    let mut value = text.to_vec();
    cipher(opener)
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            &associated(*id, key, role),
            value.as_mut_slice().into(),
            &(*tag).into(),
        )
        .map_err(|_| SealError::NotAuthentic)?;
    Ok(value.into())
}

/// The length of what was sealed to so many bytes. What is too short for that was never sealed.
pub(super) fn opened_len(len: usize) -> usize {
    len.checked_sub(SEALED_OVERHEAD).unwrap_or(len)
}

/// Whether these bytes are sealed, or what is left of such.
fn is_sealed(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().zip(MARK).all(|(byte, mark)| *byte == mark)
}

fn cipher(key: &EncryptionKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.material().into())
}

/// Every field has one length, but for the last one, whose length follows from the role.
fn associated(id: u8, key: &Key, role: Role) -> Vec<u8> {
    let (kind, number, fingerprint) = match &role {
        Role::Kept(fence) => (1, Some(fence.get()), None),
        Role::NotKept(fence) => (2, Some(fence.get()), None),
        Role::Checkpoint(fingerprint) => (3, None, Some(fingerprint)),
    };
    let mut data = [DOMAIN, &[VERSION, id, kind], key.as_bytes()].concat();
    data.extend(number.iter().flat_map(|number| number.to_be_bytes()));
    data.extend(fingerprint.iter().flat_map(|fingerprint| fingerprint.as_bytes()));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new([7; 32]);
    const ROLE: Role = Role::Kept(Fence::new(42));

    fn ring(ids: &[u8]) -> KeyRing {
        KeyRing::new(ids.iter().map(|id| EncryptionKey::new(*id, [*id; 32]).unwrap())).unwrap()
    }

    fn sealed() -> Vec<u8> {
        seal(&ring(&[1]), &KEY, ROLE, b"an answer").unwrap().to_vec()
    }

    #[test]
    fn opens_what_it_sealed() {
        for value in [&b""[..], b"an answer", &[0; 5000]] {
            for role in [ROLE, Role::NotKept(Fence::new(0)), Role::Checkpoint(Fingerprint::new([9; 32]))] {
                let sealed = seal(&ring(&[1]), &KEY, role, value).unwrap();
                assert_eq!(sealed.len(), value.len() + SEALED_OVERHEAD);
                assert_eq!(open(&ring(&[1]), &KEY, role, &sealed).unwrap(), value);
            }
        }
        assert!(!sealed().windows(6).any(|window| window == b"answer"));
        assert_ne!(sealed(), sealed(), "every sealing has a nonce of its own");
    }

    /// Version 1 is opened for ever.
    #[test]
    fn opens_the_bytes_of_version_1() {
        // Computed from the definitions of HChaCha20 and of RFC 8439, not by this code.
        const SEALED: &str = "e569640101000102030405060708090a0b0c0d0e0f1011121314151617\
                              19befbe4f3e2a0ed91fabb14146b5870f559ede27cd982983b";
        let byte = |at| u8::from_str_radix(&SEALED[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..SEALED.len()).step_by(2).map(byte).collect();
        assert_eq!(open(&ring(&[1]), &KEY, ROLE, &bytes).unwrap(), "an answer");
    }

    #[test]
    fn opens_in_its_own_place_alone() {
        let fingerprint = Fingerprint::new([0; 32]);
        let other_key = Key::new([[7; 16], [8; 16]].concat().try_into().unwrap());
        for (key, role) in [
            (other_key, ROLE),
            (KEY, Role::Kept(Fence::new(43))),
            (KEY, Role::NotKept(Fence::new(42))),
            (KEY, Role::Checkpoint(fingerprint)),
        ] {
            assert_eq!(open(&ring(&[1]), &key, role, &sealed()), Err(SealError::NotAuthentic));
        }
        let note = seal(&ring(&[1]), &KEY, Role::Checkpoint(fingerprint), b"half way").unwrap();
        let other = Role::Checkpoint(Fingerprint::new([1; 32]));
        assert_eq!(open(&ring(&[1]), &KEY, other, &note), Err(SealError::NotAuthentic));
    }

    #[test]
    fn refuses_what_was_changed_anywhere() {
        let whole = sealed();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let error = open(&ring(&[1, 2, 3]), &KEY, ROLE, &changed).unwrap_err();
                let fits = match at {
                    0..3 => error == SealError::NotSealed,
                    3 => error == SealError::UnknownVersion(changed[3]),
                    // Another key of the ring was named, or none.
                    4 => error == SealError::UnknownKey(changed[4]) || error == SealError::NotAuthentic,
                    _ => error == SealError::NotAuthentic,
                };
                assert!(fits, "byte {at}, bit {bit}: {error:?}");
            }
        }
    }

    #[test]
    fn refuses_what_is_cut_short_or_goes_on() {
        let whole = sealed();
        for len in 0..whole.len() {
            let error = open(&ring(&[1]), &KEY, ROLE, &whole[..len]).unwrap_err();
            let expected = match len {
                0 => SealError::NotSealed,
                1..SEALED_OVERHEAD => SealError::Truncated,
                _ => SealError::NotAuthentic,
            };
            assert_eq!(error, expected, "{len} bytes");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(open(&ring(&[1]), &KEY, ROLE, &longer), Err(SealError::NotAuthentic));
    }

    #[test]
    fn any_key_of_the_ring_opens_and_no_other() {
        let sealed = sealed();
        assert!(open(&ring(&[2, 1]), &KEY, ROLE, &sealed).is_ok());
        assert_eq!(open(&ring(&[2]), &KEY, ROLE, &sealed), Err(SealError::UnknownKey(1)));
        let namesake = KeyRing::new([EncryptionKey::new(1, [9; 32]).unwrap()]).unwrap();
        assert_eq!(open(&namesake, &KEY, ROLE, &sealed), Err(SealError::NotAuthentic));
    }

    #[test]
    fn refuses_what_was_never_sealed() {
        for plain in [&b""[..], b"plain", b"\x01\xc9\x00 an answer of the layer", &[0; 100]] {
            assert_eq!(open(&ring(&[1]), &KEY, ROLE, plain), Err(SealError::NotSealed));
        }
    }
}
