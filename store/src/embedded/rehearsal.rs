//! A file that is opened as if it were written, while nothing is.
//!
//! redb repairs a file as it opens it, and may panic over bytes that it did not write. Whether a file is one of ours is only
//! known once it is open; by then a stranger's file would have been written to. So opening is rehearsed on this backend
//! first: writes go to memory, over the file's own bytes.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

const BLOCK: u64 = 4096;

/// The file, and what would have been written to it.
#[derive(Debug)]
pub(super) struct Rehearsal {
    file: FileBackend,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Up to where the file's own bytes show. Lower than the file's length after a shrink.
    file_len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Rehearsal {
    pub(super) fn new(file: FileBackend) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, written: Mutex::new(Written { len, file_len: len, blocks: BTreeMap::new() }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it would stand in the file.
    fn block(&self, written: &Written, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = written.blocks.get(&number) {
            return Ok(block.clone());
        }
        let start = number * BLOCK;
        let from_file = written.file_len.saturating_sub(start).min(BLOCK);
        let mut block = vec![0; usize::try_from(from_file).map_err(io::Error::other)?];
        self.file.read(start, &mut block)?;
        block.resize(usize::try_from(BLOCK).map_err(io::Error::other)?, 0);
        Ok(block)
    }
}

/// The blocks that `len` bytes from `offset` lie in: number, where in the block they begin, and how many they are.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset.saturating_add(len as u64));
    std::iter::from_fn(move || {
        let (number, skip) = (at / BLOCK, at % BLOCK);
        let count = (BLOCK - skip).min(end - at);
        at += count;
        // All of these are at most `BLOCK`.
        (count > 0).then_some((number, usize::try_from(skip).ok()?, usize::try_from(count).ok()?))
    })
}

impl StorageBackend for Rehearsal {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, skip, count) in spans(offset, rest.len()) {
            let block = self.block(&written, number)?;
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(block.get(skip..skip + count).ok_or(io::ErrorKind::InvalidData)?);
            rest = later;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        let mut rest = data;
        for (number, skip, count) in spans(offset, data.len()) {
            let mut block = self.block(&written, number)?;
            let (now, later) = rest.split_at(count);
            block.get_mut(skip..skip + count).ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(now);
            written.blocks.insert(number, block);
            rest = later;
        }
        written.len = written.len.max(offset.saturating_add(data.len() as u64));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        written.len = len;
        written.file_len = written.file_len.min(len);
        // A block that is cut is kept whole: redb resizes by whole pages, which are whole blocks.
        written.blocks.retain(|number, _| number * BLOCK < len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // The locks are real: a file that another process has open is refused at the rehearsal.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
