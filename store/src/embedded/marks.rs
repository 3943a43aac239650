//! The highest fences in the file: two tables beside those of the records, so that both share a commit.
//!
//! | table | key | value |
//! |---|---|---|
//! | `fences` | the key | when it expires, a checksum, the fence and its owner |
//! | `fence-expiry` | when a mark expires, and its key | nothing |
//!
//! A file that was written before there were fences has no such tables; they are created with the next write. A version
//! of this crate that does not know them leaves them alone.

use redb::{AccessGuard, ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction};

use super::checksum;
use super::tables::ReadError;
use crate::StoreTime;
use crate::codec::CodecError;
use crate::fence_store::FenceKey;
use crate::fence_store::bytes::{HOLDER_LEN, from_bytes, to_bytes};
use crate::fence_store::mark::Mark;

const VALUE_LEN: usize = 16 + HOLDER_LEN;

const FENCES: TableDefinition<&[u8; 32], &[u8; VALUE_LEN]> = TableDefinition::new("fences");
const EXPIRY: TableDefinition<(u64, &[u8; 32]), ()> = TableDefinition::new("fence-expiry");

/// The tables of a write transaction.
pub(in crate::embedded) struct Marks<'t> {
    fences: Table<'t, &'static [u8; 32], &'static [u8; VALUE_LEN]>,
    expiry: Table<'t, (u64, &'static [u8; 32]), ()>,
}

impl<'t> Marks<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self { fences: transaction.open_table(FENCES)?, expiry: transaction.open_table(EXPIRY)? })
    }

    pub(super) fn get(&self, key: &FenceKey) -> Result<Option<Mark>, ReadError> {
        match self.fences.get(key.as_bytes())? {
            Some(value) => read(key, value.value()).map(Some).map_err(ReadError::Record),
            None => Ok(None),
        }
    }

    /// Writes `mark` over `old`, which is what [`Marks::get`] found.
    pub(super) fn put(&mut self, key: &FenceKey, old: Option<&Mark>, mark: &Mark) -> Result<(), StorageError> {
        if let Some(old) = old {
            self.expiry.remove((old.expires_at.as_micros(), key.as_bytes()))?;
        }
        self.expiry.insert((mark.expires_at.as_micros(), key.as_bytes()), ())?;
        self.fences.insert(key.as_bytes(), &write(key, mark))?;
        Ok(())
    }

    /// Removes at most `limit` marks that have expired, the oldest first, and tells how many it removed.
    pub(super) fn sweep(&mut self, now: StoreTime, limit: usize) -> Result<usize, StorageError> {
        let expired = self.expired(now, limit)?;
        for (expires_at, key) in &expired {
            self.expiry.remove((*expires_at, key))?;
            self.fences.remove(key)?;
        }
        Ok(expired.len())
    }

    fn expired(&self, now: StoreTime, limit: usize) -> Result<Vec<(u64, [u8; 32])>, StorageError> {
        let until_now = ..=(now.as_micros(), &[u8::MAX; 32]);
        let found = self.expiry.range(until_now)?.take(limit);
        let copy = |entry: AccessGuard<'_, (u64, &'static [u8; 32])>| {
            let (expires_at, key) = entry.value();
            (expires_at, *key)
        };
        found.map(|entry| entry.map(|(entry, _)| copy(entry))).collect()
    }
}

fn write(key: &FenceKey, mark: &Mark) -> [u8; VALUE_LEN] {
    let expires_at = mark.expires_at.as_micros().to_be_bytes();
    let holder = to_bytes(mark.holder);
    let sum = checksum::of_parts([key.as_bytes().as_slice(), &expires_at, &holder]).to_be_bytes();
    let mut value = [0; VALUE_LEN];
    value.iter_mut().zip(expires_at.iter().chain(&sum).chain(&holder)).for_each(|(to, from)| *to = *from);
    value
}

/// The key is part of the sum, so a mark that is found under another key is noticed as well.
fn read(key: &FenceKey, value: &[u8; VALUE_LEN]) -> Result<Mark, CodecError> {
    let (expires_at, rest) = value.split_first_chunk().ok_or(CodecError::Truncated)?;
    let (sum, holder) = rest.split_first_chunk().ok_or(CodecError::Truncated)?;
    if checksum::of_parts([key.as_bytes().as_slice(), expires_at, holder]) != u64::from_be_bytes(*sum) {
        return Err(CodecError::Damaged("its checksum does not match"));
    }
    let holder = from_bytes(holder).ok_or(CodecError::Truncated)?;
    Ok(Mark { holder, expires_at: StoreTime::from_micros(u64::from_be_bytes(*expires_at)) })
}
