//! The ledger's file: one JSON object per line, only ever appended to, owned by one process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::book::{Book, Entry, UnknownCharge};

/// Why a ledger cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its directory cannot be created, read or locked.
    #[error("the ledger {} cannot be opened: {source}; name a file that this user may write with --ledger", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("the ledger {} is in use by another process; stop it, or name another file with --ledger", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line of it is not what a bank wrote.
    #[error(
        "line {line} of the ledger {} is not a ledger's ({reason}); restore the file from a backup, or name another one with \
         --ledger. It was left as it is, for nothing that may be a record of money is thrown away",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        reason: Reason,
    },
}

/// What is wrong with a line of the ledger.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Reason {
    /// It cannot be read as a charge or a refund.
    #[error(transparent)]
    Unreadable(#[from] serde_json::Error),
    /// It gives back what nobody paid.
    #[error(transparent)]
    UnknownCharge(#[from] UnknownCharge),
}

/// The open file, locked for as long as it is open.
#[derive(Debug)]
pub(super) struct LedgerFile(File);

impl LedgerFile {
    /// Opens or creates the file and reads what it says.
    pub(super) fn open(path: &Path) -> Result<(Self, Book), OpenError> {
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        let file = create(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { path: path.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let mut reading = Reading { path, book: Book::default(), line: 0, good: 0 };
        reading.run(&file)?;
        let torn = file.metadata().map_err(failed)?.len() - reading.good;
        if torn > 0 {
            cut(&file, path, reading.good, torn).map_err(failed)?;
        }
        Ok((Self(file), reading.book))
    }

    /// Appends whole lines; when it returns they are on the disk.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)?;
        self.0.sync_data()
    }
}

fn create(path: &Path) -> io::Result<File> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    // A new file is only as durable as its name in the directory.
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

/// A process that was killed while it wrote leaves half a line. Its caller never got an answer, so nothing is lost with it.
fn cut(file: &File, path: &Path, good: u64, torn: u64) -> io::Result<()> {
    tracing::warn!(path = %path.display(), bytes = torn, "the ledger's last line was torn by a crash and is cut off");
    file.set_len(good)?;
    file.sync_all()
}

/// A ledger being read.
struct Reading<'a> {
    path: &'a Path,
    book: Book,
    line: usize,
    /// Bytes up to the end of the last whole line.
    good: u64,
}

impl Reading<'_> {
    fn run(&mut self, file: &File) -> Result<(), OpenError> {
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while self.next(&mut reader, &mut line)? {
            self.line += 1;
            self.take(&line).map_err(|reason| OpenError::Corrupt {
                path: self.path.to_owned(),
                line: self.line,
                reason,
            })?;
        }
        Ok(())
    }

    /// Reads the next line; `false` where the file ends, be it in the middle of one.
    fn next(&mut self, reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, OpenError> {
        line.clear();
        let read = reader.read_until(b'\n', line);
        let read = read.map_err(|source| OpenError::Io { path: self.path.to_owned(), source })?;
        let whole = line.ends_with(b"\n");
        if whole {
            self.good = self.good.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
        Ok(whole)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Reason> {
        let entry: Entry = serde_json::from_slice(line)?;
        Ok(self.book.apply(entry)?)
    }
}
