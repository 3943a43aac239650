//! Opening a file, or refusing it and leaving it as it is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase};

use super::refusal::{Fault, OpenError, Refusal};
use super::rehearsal::Rehearsal;
use super::tables::{FORMAT, Meta, Tables};
use crate::StoreTime;

/// redb would take a gigabyte. Records are read at random and rarely twice, so what a cache keeps is the inner pages.
const CACHE_BYTES: usize = 64 << 20;

/// The length of a file that is opened within about a second after a crash, although all of it is read, twice (see
/// [`Rehearsal`]), if the system has it in memory. Above that, commits say where free pages are, so that nothing need be read.
const LARGE: u64 = 256 << 20;

/// An open database and the greatest time noted in it.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) time: StoreTime,
}

/// Where the database is opened from: at the start, and again after a failure.
pub(super) trait Origin: Send + 'static {
    fn path(&self) -> &Path;

    /// Creates it where there is none; asked once, before it is opened for the first time.
    fn create(&self) -> Result<(), OpenError>;

    fn open(&self) -> Result<Opened, OpenError>;

    /// Whether opening it after a crash would take long if all of it had to be read.
    fn is_large(&self) -> bool;
}

/// A file.
pub(super) struct OnDisk(PathBuf);

impl OnDisk {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Origin for OnDisk {
    fn path(&self) -> &Path {
        &self.0
    }

    fn create(&self) -> Result<(), OpenError> {
        match fs::metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&self.0).map_err(|fault| fault.at(&self.0)),
            // Whatever else is the matter is said when it is opened.
            _ => Ok(()),
        }
    }

    fn open(&self) -> Result<Opened, OpenError> {
        inspect(&self.0).map_err(|fault| fault.at(&self.0))
    }

    fn is_large(&self) -> bool {
        // Asked for each commit, which costs a thousandth of it. Whoever cannot tell is on the safe side.
        fs::metadata(&self.0).map_or(true, |about| about.len() > LARGE)
    }
}

fn inspect(path: &Path) -> Result<Opened, Fault> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(Refusal::NotAFile.into());
    }
    if about.len() == 0 {
        return Err(Refusal::Empty.into());
    }
    let file = || OpenOptions::new().read(true).write(true).open(path);
    let rehearsal = Rehearsal::new(FileBackend::new(file()?)?)?;
    guarded(|| check(&builder().create_with_backend(rehearsal)?))?;
    guarded(|| opened(builder().create_with_backend(FileBackend::new(file()?)?)?))
}

/// Makes sure that the database is one of ours, and brings it to the present format.
pub(super) fn opened(database: Database) -> Result<Opened, Fault> {
    // Once more, on what is now locked: the file may have been replaced since the rehearsal.
    let Meta { format, time } = check(&database)?;
    if format != Some(FORMAT) {
        found(&database)?;
    }
    Ok(Opened { database, time })
}

/// Makes sure that the database is one of ours, of a format that can be read.
fn check(database: &Database) -> Result<Meta, Fault> {
    let transaction = database.begin_read().map_err(|error| Fault::because(Refusal::Damaged, error))?;
    let meta = Meta::read(&transaction)?;
    match meta.format {
        Some(newer) if newer > FORMAT => Err(Refusal::NewerFormat(newer).into()),
        Some(1..) => Ok(meta),
        _ => Err(Refusal::Foreign.into()),
    }
}

/// Creates a file that is complete from the moment that it has its name, so that a crash leaves a store or nothing.
fn create(path: &Path) -> Result<(), Fault> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        return Err(Refusal::NoDirectory.into());
    }
    let draft = draft_of(path)?;
    let placed = write_new(&draft).and_then(|()| Ok(place(&draft, path)?));
    // What is left of a draft takes space and does no other harm.
    let _ = fs::remove_file(&draft);
    placed?;
    sync_directory(directory)?;
    Ok(())
}

/// A name beside `path` that nobody else draws.
fn draft_of(path: &Path) -> Result<PathBuf, Fault> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Fault::because(Refusal::Io, error))?;
    let mut name = path.file_name().ok_or(Refusal::NotAFile)?.to_owned();
    name.push(format!(".{:016x}.new", u64::from_be_bytes(random)));
    Ok(path.with_file_name(name))
}

fn write_new(path: &Path) -> Result<(), Fault> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    // Recorded answers are the clients' business; nobody else on this host need read them.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = FileBackend::new(options.open(path)?)?;
    guarded(|| {
        let database = builder().create_with_backend(file)?;
        found(&database)?;
        Ok(database.close()?)
    })
}

/// Creates the tables that are missing, in an empty database all, and notes the present format.
pub(super) fn found(database: &Database) -> Result<(), Fault> {
    let failed = |error: redb::Error| Fault::because(Refusal::Io, error);
    let mut transaction = database.begin_write().map_err(|error| failed(error.into()))?;
    transaction.set_quick_repair(true);
    Tables::open(&transaction)?.found()?;
    transaction.commit().map_err(|error| failed(error.into()))
}

/// Gives `draft` its name unless another process was faster; then that one's file is as good.
fn place(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without links. Of two processes that start at once here, one may find its file replaced.
        Err(_) if !path.exists() => fs::rename(draft, path),
        linked => linked,
    }
}

/// A new name is durable only once its directory is.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Runs something of redb's that may panic over bytes that it did not write.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Refusal::Damaged.into()))
}
