//! A store in front of any other that encrypts what is worth reading.
//!
//! An [`EncryptedStore`] seals every answer, every note of a tombstone and every checkpoint with XChaCha20-Poly1305 before
//! the store behind it sees them, and opens them on their way back. Whoever reads the disk, a backup, the memory of a Redis
//! server or the line to it sees which digests are in use, since when and for how long, how long answers are, and nothing of
//! what is in them. Keys and fingerprints are keyed digests already; the other fields of a record are needed in the clear,
//! because the store decides by them. A [`FenceStore`](crate::FenceStore) holds nothing that would have to be sealed.
//!
//! ```
//! use idempotency_store::{EncryptedStore, EncryptionKey, KeyRing};
//! # #[cfg(feature = "memory")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use idempotency_store::MemoryStore;
//!
//! // In production from its text in a secret: `KeyRing::from_text`.
//! let ring = KeyRing::new([EncryptionKey::random(1)?])?;
//! let store = EncryptedStore::new(MemoryStore::new(), ring);
//! # let _ = store;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! # What a value is bound to
//!
//! A sealed value opens at its own place alone. Authenticated with it are a domain and version, the id of the encryption
//! key, what it is (answer, note, or checkpoint), the 32 bytes of the storage key, and
//!
//! - of an answer, the **fence** that stands in its record. Every verb that writes or reads an answer knows it: a completion from
//!   its grant, a replay and a loss from the record. A resolution knows it too, although it knows neither owner nor
//!   fingerprint: it names the fence that it has [`Seen`](crate::Seen), and the store takes its answer only where that fence stands.
//!   A fence is given once per key, so it stands for the owner and the request too, which need not be bound.
//! - of a checkpoint, the **fingerprint**. Its fence is not known where it is read: a take-over hands over the note of an
//!   earlier owner under its own fence, as it is meant to. The fingerprint is the same for all attempts of one request, and a
//!   claim of another one gets no checkpoint.
//!
//! So a reply that was swapped for another key's, a record that was copied to another key, an answer that was put into
//! another run's record, or a checkpoint that is passed off as an answer, does not open. What no encryption can notice is an
//! old record of the same key put back as a whole, and one that was deleted.
//!
//! # What cannot be opened
//!
//! Whatever does not open is [`Corrupt`](crate::ErrorKind::Corrupt), with the [`SealError`] as its source. Nothing is
//! written: the record is left as it is, and opens again when its key is back in the ring. A claim that would take over looks
//! at the checkpoint first, which costs it one call to the store more, so that it takes over nothing that it cannot read. (If the
//! checkpoint changes in between, for one that does not open, the key is given back and is indeterminate again.)
//!
//! Verbs that read neither answers nor checkpoints - releases, abandonments, erasures, listings - work without the right key, as
//! long as no answer stands in their way.
//!
//! # Changing keys
//!
//! The [`KeyRing`]'s first key seals, all of them open. To change it on several servers:
//!
//! 1. Add the new key at the **end** of the ring, everywhere: a server can open what it does not seal yet.
//! 2. Move it to the **front**, everywhere. What is sealed from now on needs the new key alone.
//! 3. After the longest retention in use has passed, remove the old one. What is removed earlier turns its records
//!    unreadable, which is told and is undone by putting the key back.
//!
//! Nonces are random and have 192 bits, so a key does not wear out.
//!
//! # Size and cost
//!
//! A sealed value is [`SEALED_OVERHEAD`], 45, bytes longer. The store pays for them, not the caller: limits on answers and on
//! [checkpoints](crate::Checkpoint::MAX_LEN) count what the caller gives, and stores take the
//! [addition](crate::Checkpoint::MAX_STORED_LEN). [`Listed::answer_len`](crate::Listed::answer_len) is that of the answer. Sealing copies
//! the value and works at some hundred megabytes a second and more, on the task that asks; an answer of usual size takes microseconds.
//! Encrypted bytes do not compress.
//!
//! # Switching it on
//!
//! A store that has been used without encryption holds plain answers, and they are refused: otherwise whoever can write to the
//! store could have his own words served. For the one retention that such answers live, a store can be told to
//! [accept them](EncryptedStore::accept_plaintext). A server that does not encrypt yet never serves what one that does has
//! sealed: the layer takes it for an unknown version.

mod key_ring;
mod opening;
mod seal;
#[cfg(all(test, feature = "memory"))]
mod tests;
mod verbs;

use std::fmt;

pub use key_ring::{EncryptionKey, KeyRing, KeyRingError};
pub use seal::{SEALED_OVERHEAD, SealError};

const NAME: &str = "encrypted";

/// A store that encrypts answers and checkpoints in front of one that keeps them: see the
/// [module](crate::encrypted). Cloning shares the keys, and the store as far as its clones do.
#[derive(Clone)]
pub struct EncryptedStore<S> {
    store: S,
    ring: KeyRing,
    accepts_plaintext: bool,
}

impl<S> EncryptedStore<S> {
    /// `store`, and what it keeps sealed with `ring`. Nothing is read yet, so a ring that is not the store's shows with
    /// the first record that does not open.
    pub fn new(store: S, ring: KeyRing) -> Self {
        Self { store, ring, accepts_plaintext: false }
    }

    /// Whether answers and checkpoints that are not sealed are taken as they are; by default they are refused
    /// ([`SealError::NotSealed`]).
    ///
    /// For the retention after a store was switched to encryption, and no longer: as long as it is on, whoever can write to
    /// the store can have any answer served, and plain values are bound to no record. What is sealed and does not open is
    /// refused all the same. The lengths of plain answers are listed [too short](SEALED_OVERHEAD) meanwhile.
    pub fn accept_plaintext(self, accept: bool) -> Self {
        Self { accepts_plaintext: accept, ..self }
    }
}

impl<S> fmt::Debug for EncryptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedStore")
            .field("ring", &self.ring)
            .field("accepts_plaintext", &self.accepts_plaintext)
            .finish_non_exhaustive()
    }
}
