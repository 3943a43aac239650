//! Why a verb failed, sorted by what the caller may conclude.

use std::error::Error;
use std::fmt;

/// What a failed verb did to the record. This is the whole question after an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing was written and nothing will be. The caller may fail closed or ask again.
    NotApplied,
    /// The verb may have been carried out, or may still be. Ask again **as the same owner**: every verb is idempotent
    /// per owner, and its reply tells.
    Unknown,
    /// The record is damaged, of an unknown version, or belongs to another key. Nothing was written. Do not execute, do
    /// not overwrite; raise an alarm.
    Corrupt,
}

/// A verb failed. [`StoreError::kind`] says what may be concluded, `source` why.
#[derive(Debug)]
pub struct StoreError {
    kind: ErrorKind,
    store: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// The store was certainly not changed. `store` is the backend's name, for logs.
    pub fn not_applied(store: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: ErrorKind::NotApplied, store, source: source.into() }
    }

    /// The store may have been changed.
    pub fn unknown(store: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: ErrorKind::Unknown, store, source: source.into() }
    }

    /// The record cannot be used.
    pub fn corrupt(store: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: ErrorKind::Corrupt, store, source: source.into() }
    }

    /// What may be concluded.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The backend's name.
    pub const fn store(&self) -> &'static str {
        self.store
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.kind {
            ErrorKind::NotApplied => "nothing was written",
            ErrorKind::Unknown => "it is unknown whether anything was written",
            ErrorKind::Corrupt => "the record cannot be used",
        };
        write!(f, "{} store: {effect}", self.store)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The deadline of a verb passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the deadline passed")]
pub struct DeadlinePassed;
