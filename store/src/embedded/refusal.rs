//! Why a file is not opened, in words for whoever has to do something about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use redb::{DatabaseError, StorageError, TableError};

use super::tables::FORMAT;

type Cause = Box<dyn Error + Send + Sync>;

/// The file was not opened; it is as it was.
///
/// The text names the path, the reason and the remedy; the source, where there is one, is what the system or the database
/// said.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the idempotency store {}: {refusal}; {}", path.display(), refusal.remedy())]
pub struct OpenError {
    path: PathBuf,
    refusal: Refusal,
    source: Option<Cause>,
}

/// Why a file is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another process has it open, or another store of this one.
    #[error("it is in use by another process, or by another store of this one")]
    InUse,
    /// The directory that it would be created in does not exist.
    #[error("its directory does not exist")]
    NoDirectory,
    /// The path is a directory, a device or a pipe.
    #[error("it is not a regular file")]
    NotAFile,
    /// The file was there and is gone.
    #[error("it does not exist any more")]
    Gone,
    /// The system denies access.
    #[error("access to it is denied")]
    Denied,
    /// The file is empty. A store never leaves an empty file, so records may be missing.
    #[error("it is empty")]
    Empty,
    /// Another program's file, or another redb database.
    #[error("it was not written by this crate")]
    Foreign,
    /// The file was written by a newer version of this crate.
    #[error("its format is {0}, and this version of the crate reads format {FORMAT}")]
    NewerFormat(u64),
    /// The file is cut short, or bytes in it are not what was written.
    #[error("it is cut short or damaged")]
    Damaged,
    /// Reading or writing failed.
    #[error("reading or writing it failed")]
    Io,
}

impl Refusal {
    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::InUse => "stop that process, or give each process a file of its own",
            Self::NoDirectory => "create the directory, or correct the path",
            Self::NotAFile => "give the path of a file, which is created if it does not exist",
            Self::Gone => "find out who removed it: keys claimed before may run again",
            Self::Denied => "let this user read and write the file and its directory",
            Self::Empty => "delete it if it is new; if it was a store, restore it from a backup",
            Self::Foreign => "give another path; this file is left alone",
            Self::NewerFormat(_) => "run the version that wrote it, or a later one",
            Self::Damaged => "restore it from a backup; deleting it means that retries run again",
            Self::Io => "see the cause: a full or failing disk, or a read-only file system",
        }
    }
}

impl OpenError {
    /// The path that was to be opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why it was refused.
    pub const fn refusal(&self) -> Refusal {
        self.refusal
    }

    pub(super) fn io(path: &Path, source: impl Into<Cause>) -> Self {
        Fault::because(Refusal::Io, source).at(path)
    }
}

/// A refusal that does not know its path yet.
#[derive(Debug)]
pub(super) struct Fault {
    refusal: Refusal,
    source: Option<Cause>,
}

impl Fault {
    pub(super) fn because(refusal: Refusal, source: impl Into<Cause>) -> Self {
        Self { refusal, source: Some(source.into()) }
    }

    pub(super) fn at(self, path: &Path) -> OpenError {
        OpenError { path: path.to_owned(), refusal: self.refusal, source: self.source }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, source: None }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let refusal = match error.kind() {
            io::ErrorKind::NotFound => Refusal::Gone,
            io::ErrorKind::NotADirectory => Refusal::NoDirectory,
            io::ErrorKind::PermissionDenied => Refusal::Denied,
            io::ErrorKind::IsADirectory => Refusal::NotAFile,
            // redb's word for a file that does not begin as one of its own does.
            io::ErrorKind::InvalidData => Refusal::Foreign,
            io::ErrorKind::UnexpectedEof => Refusal::Damaged,
            _ => Refusal::Io,
        };
        Self::because(refusal, error)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io(error) => error.into(),
            error => Self::because(Refusal::Damaged, error),
        }
    }
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(error) => error.into(),
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                Self::because(Refusal::InUse, error)
            }
            DatabaseError::UpgradeRequired(_) => Self::because(Refusal::Foreign, error),
            error => Self::because(Refusal::Damaged, error),
        }
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            error => Self::because(Refusal::Foreign, error),
        }
    }
}
