//! The fixed-size names that a store compares: key, fingerprint, owner, fencing token.
//!
//! All of them are opaque here. The layer above derives keys and fingerprints with a secret; a store never sees what a
//! client sent. `Debug` shows a short prefix, enough to find a record again and too little to guess its origin.

use std::fmt;

/// Where a record lives: a keyed digest of (scope, client's key).
///
/// Fixed length and uniformly distributed, so a store can use it as it is: no escaping, no injection, no personal data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

/// What the request was: a keyed digest of everything that must be equal for a retry to be *the same request*.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Who is asking: a random 128-bit id, drawn anew for each attempt.
///
/// Every verb is idempotent per owner, so an attempt whose reply was lost asks again under the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner([u8; 16]);

/// A fencing token: grows with every claim granted for a key, also across expiry and fail-over.
///
/// Its value is at least the store's time in microseconds when the claim was granted, so it is exact as a Lua double, a
/// JSON number and an SQL `bigint` until the year 2255. Compare fences **per key** only: two keys that touch one business
/// row are legitimately concurrent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

/// The operating system gave no random bytes; nothing was claimed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random source failed")]
pub struct RandomError(#[source] getrandom::Error);

/// Random bytes from the operating system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(RandomError)
}

impl Key {
    /// A key from its digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The half of the digest that a stored record repeats, so that a record found under another key is noticed.
    pub(crate) fn binding(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        half
    }
}

impl Fingerprint {
    /// A fingerprint from its digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Owner {
    /// The owner of a record that was settled by somebody else than the attempt that ran. No attempt is drawn this id.
    pub const NOBODY: Self = Self([0; 16]);

    /// A fresh owner from the operating system's random source.
    ///
    /// Asked per attempt and never derived from process state: a snapshot of a virtual machine that is started twice would
    /// repeat such state, and two owners of one name defeat every check.
    ///
    /// # Errors
    ///
    /// [`RandomError`] when the system has no random bytes to give; refuse the attempt.
    pub fn random() -> Result<Self, RandomError> {
        let mut id = [0; 16];
        fill_random(&mut id)?;
        Ok(Self(id))
    }

    /// An owner from its bytes, for stores that read it back and for tests.
    pub const fn new(id: [u8; 16]) -> Self {
        Self(id)
    }

    /// The id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Fence {
    /// A fence from its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, to be sent downstream or compared in SQL.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fence({})", self.0)
    }
}

/// The first four bytes in hexadecimal: an identifier for logs that gives nothing else away.
pub(crate) fn short(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "{name}(")?;
    bytes.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
    f.write_str("..)")
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(f, "Key", &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(f, "Fingerprint", &self.0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(f, "Owner", &self.0)
    }
}
