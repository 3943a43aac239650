//! What a completed key holds, and the notes that an owner leaves before that.

use bytes::Bytes;
use std::fmt;

use crate::{Fence, Retention, StoreTime};

/// The outcome of a completed attempt, opaque to the store.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The answer, to be replayed as it is.
    Kept(Bytes),
    /// A tombstone: the work is done, its answer was not kept. The bytes are a short note on what it was.
    NotKept(Bytes),
}

impl Answer {
    /// The bytes, of an answer or of a tombstone's note.
    pub const fn as_bytes(&self) -> &Bytes {
        match self {
            Self::Kept(bytes) | Self::NotKept(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(bytes) => write!(f, "Kept({} bytes)", bytes.len()),
            Self::NotKept(note) => write!(f, "NotKept({} bytes)", note.len()),
        }
    }
}

/// What an owner that is done has recorded.
///
/// ```
/// use idempotency_store::{Answer, Completion, Retention};
/// use std::time::Duration;
///
/// let usual = Completion::from(Answer::Kept("201 Created".into()));
/// assert_eq!(usual.retention, None);
/// let short = Completion { retention: Some(Retention::new(Duration::from_secs(600)).unwrap()), ..usual };
/// assert_eq!(short.answer, Answer::Kept("201 Created".into()));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// What every later attempt gets.
    pub answer: Answer,
    /// For how long, counted from the recording. `None` keeps the retention that the key was claimed with.
    pub retention: Option<Retention>,
}

impl From<Answer> for Completion {
    /// The answer, for as long as its key is remembered anyway.
    fn from(answer: Answer) -> Self {
        Self { answer, retention: None }
    }
}

/// A completed record, as a later attempt sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completed {
    /// What was recorded.
    pub answer: Answer,
    /// The fence of the attempt that recorded it.
    pub fence: Fence,
    /// When it was recorded, on the store's clock.
    pub recorded_at: StoreTime,
    /// When it is forgotten, on the same clock.
    pub expires_at: StoreTime,
}

/// A short note that an owner leaves for the attempt that may have to take over: at most
/// [`Checkpoint::MAX_LEN`] bytes, and what a store in front of another adds to them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint(Bytes);

/// The checkpoint is larger than [`Checkpoint::MAX_LEN`]; nothing was stored. Keep a reference to the data instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a checkpoint of {0} bytes is over the limit of {max} bytes", max = Checkpoint::MAX_LEN)]
pub struct CheckpointTooLarge(pub usize);

impl Checkpoint {
    /// 4 KiB: a checkpoint is rewritten with its record and read with every take-over.
    pub const MAX_LEN: usize = 4096;

    /// What a store has to be able to keep: 256 bytes more, for what stores in front of it add to a checkpoint of the
    /// largest size, such as the nonce and the tag of an encryption. The limit of an owner stays what it is.
    pub const MAX_STORED_LEN: usize = Self::MAX_LEN + 256;

    /// A checkpoint of these bytes.
    ///
    /// # Errors
    ///
    /// [`CheckpointTooLarge`] above [`Checkpoint::MAX_LEN`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, CheckpointTooLarge> {
        Self::within(Self::MAX_LEN, bytes.into())
    }

    /// A checkpoint as it is stored, for stores: read back, or with what a store in front adds to it.
    ///
    /// # Errors
    ///
    /// [`CheckpointTooLarge`] above [`Checkpoint::MAX_STORED_LEN`].
    pub fn from_stored(bytes: impl Into<Bytes>) -> Result<Self, CheckpointTooLarge> {
        Self::within(Self::MAX_STORED_LEN, bytes.into())
    }

    fn within(limit: usize, bytes: Bytes) -> Result<Self, CheckpointTooLarge> {
        if bytes.len() > limit { Err(CheckpointTooLarge(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({} bytes)", self.0.len())
    }
}
