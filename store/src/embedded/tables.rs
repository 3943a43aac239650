//! What stands in the file of records: four tables and the bytes in them. `marks.rs` has those of fences.
//!
//! | table | key | value |
//! |---|---|---|
//! | `idempotency-store` | a name | a number: `format`, `time` |
//! | `in-flight` | the key | as in `records` |
//! | `records` | the key | `since`, a checksum, the record's bytes ([`codec`]) |
//! | `expiry` | when a record expires, and its key | nothing |
//!
//! A record lies in one of two tables: in `in-flight` as long as an owner holds its key, and in `records` from then on. Keys
//! are spread evenly, so every write to a large table rewrites a page of its own; the table of what is in flight is small,
//! and the claims of a commit share its few pages. A first request then costs one page of the large table instead of two.
//!
//! Format 1 had no table `in-flight`: all records lay in `records`, under a slower checksum. Such a file becomes one of
//! format 2 as it is opened, and each record in it stays as it is until it is written again.

use std::ops::Bound::{Excluded, Unbounded};

use bytes::Bytes;
use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, StorageError, Table,
    TableDefinition, TableError, WriteTransaction,
};

use super::checksum;
use super::marks::Marks;
use crate::codec::{self, CodecError, HEADER_LEN};
use crate::record::{Record, State};
use crate::{Key, Listed, Scanned, StoreTime};

/// The layout of the tables, and of what stands before a record's bytes. A file with a greater number is refused.
pub(super) const FORMAT: u64 = 2;

const META: TableDefinition<&str, u64> = TableDefinition::new("idempotency-store");
const RECORDS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("records");
const IN_FLIGHT: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("in-flight");
const EXPIRY: TableDefinition<(u64, &[u8; 32]), ()> = TableDefinition::new("expiry");

type RecordTable<'t> = Table<'t, &'static [u8; 32], &'static [u8]>;

/// The tables of a write transaction.
pub(super) struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    in_flight: RecordTable<'t>,
    records: RecordTable<'t>,
    expiry: Table<'t, (u64, &'static [u8; 32]), ()>,
    pub(super) marks: Marks<'t>,
}

/// Why a record could not be read.
pub(super) enum ReadError {
    /// The database failed; the transaction is of no use any more.
    Storage(StorageError),
    /// The bytes are there, and they are not those of a record of this key.
    Record(CodecError),
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            in_flight: transaction.open_table(IN_FLIGHT)?,
            records: transaction.open_table(RECORDS)?,
            expiry: transaction.open_table(EXPIRY)?,
            marks: Marks::open(transaction)?,
        })
    }

    /// Says what the database is: an empty one, or one of an earlier format whose tables are complete now.
    pub(super) fn found(&mut self) -> Result<(), StorageError> {
        self.meta.insert("format", FORMAT)?;
        Ok(())
    }

    /// Notes the store's time, so that it does not go back over a restart.
    pub(super) fn set_time(&mut self, now: StoreTime) -> Result<(), StorageError> {
        self.meta.insert("time", now.as_micros())?;
        Ok(())
    }

    pub(super) fn count(&self) -> Result<u64, StorageError> {
        Ok(self.in_flight.len()? + self.records.len()?)
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Record>, ReadError> {
        let found = match self.in_flight.get(key.as_bytes())? {
            Some(value) => Some(value),
            None => self.records.get(key.as_bytes())?,
        };
        found.map(|value| read(key, value.value()).map_err(ReadError::Record)).transpose()
    }

    /// The records behind `after`, in the order of their keys and without their payloads.
    pub(super) fn scan(&self, after: Option<Key>, limit: usize, now: StoreTime) -> Result<Vec<Scanned>, StorageError> {
        let mut found = listed(&self.in_flight, after, limit, now)?;
        found.extend(listed(&self.records, after, limit, now)?);
        found.sort_unstable_by_key(|(key, _)| *key);
        Ok(found.into_iter().take(limit).map(|(_, scanned)| scanned).collect())
    }

    /// Writes `record` over `old`, which is what [`Tables::get`] found.
    pub(super) fn put(&mut self, key: &Key, old: Option<&Record>, record: &Record) -> Result<(), StorageError> {
        let (table, other) = match record.state {
            State::InFlight { .. } => (&mut self.in_flight, &mut self.records),
            _ => (&mut self.records, &mut self.in_flight),
        };
        if let Some(old) = old {
            self.expiry.remove((old.expires_at().as_micros(), key.as_bytes()))?;
            other.remove(key.as_bytes())?;
        }
        self.expiry.insert((record.expires_at().as_micros(), key.as_bytes()), ())?;
        table.insert(key.as_bytes(), write(key, record).as_slice())?;
        Ok(())
    }

    /// Removes at most `limit` records and fences that have expired, the oldest records first, and tells how many it
    /// removed. Every transaction removes more than it adds, so the fences get their turn.
    pub(super) fn sweep(&mut self, now: StoreTime, limit: usize) -> Result<usize, StorageError> {
        let expired = self.expired(now, limit)?;
        for (expires_at, key) in &expired {
            self.expiry.remove((*expires_at, key))?;
            if self.in_flight.remove(key)?.is_none() {
                self.records.remove(key)?;
            }
        }
        Ok(expired.len() + self.marks.sweep(now, limit - expired.len())?)
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

/// What the file says about itself.
pub(super) struct Meta {
    pub(super) format: Option<u64>,
    pub(super) time: StoreTime,
}

impl Meta {
    /// Reads it; fails unless the tables of its format are there, with the types that they have here.
    pub(super) fn read(transaction: &ReadTransaction) -> Result<Self, TableError> {
        let meta: ReadOnlyTable<&str, u64> = transaction.open_table(META)?;
        let number = |name: &str| Ok::<_, StorageError>(meta.get(name)?.map(|value| value.value()));
        let read = Self { format: number("format")?, time: StoreTime::from_micros(number("time")?.unwrap_or(0)) };
        if read.format.is_some_and(|format| format <= FORMAT) {
            transaction.open_table(RECORDS)?;
            transaction.open_table(EXPIRY)?;
        }
        if read.format == Some(FORMAT) {
            transaction.open_table(IN_FLIGHT)?;
        }
        Ok(read)
    }
}

/// The records of a table behind `after`, with their keys.
fn listed(
    table: &RecordTable<'_>,
    after: Option<Key>,
    limit: usize,
    now: StoreTime,
) -> Result<Vec<(Key, Scanned)>, StorageError> {
    let behind = after.as_ref().map_or(Unbounded, |key| Excluded(key.as_bytes()));
    let found = table.range::<&[u8; 32]>((behind, Unbounded))?.take(limit);
    found
        .map(|entry| {
            let (key, value) = entry?;
            let key = Key::new(*key.value());
            Ok((key, list(key, value.value(), now).map_or(Scanned::Unreadable(key), Scanned::Record)))
        })
        .collect()
}

/// `since`, the checksum, and the record's bytes.
fn write(key: &Key, record: &Record) -> Vec<u8> {
    let bytes = codec::encode(key, record);
    let sum = checksum::of_record(record.since, &bytes);
    [record.since.as_micros().to_be_bytes().as_slice(), &sum.to_be_bytes(), &bytes].concat()
}

fn read(key: &Key, value: &[u8]) -> Result<Record, CodecError> {
    let (since, record) = checked(value)?;
    // The one copy out of the database's page; the record's payload is a slice of it.
    codec::decode(key, since, &Bytes::copy_from_slice(record))
}

fn list(key: Key, value: &[u8], now: StoreTime) -> Result<Listed, CodecError> {
    let (since, record) = checked(value)?;
    let listed = Listed::new(key, &codec::outline(&key, since, record)?, now);
    Ok(listed.with_payload(record.len().saturating_sub(HEADER_LEN)))
}

/// The record's `since` and its bytes, if they are what was written.
fn checked(value: &[u8]) -> Result<(StoreTime, &[u8]), CodecError> {
    let (since_bytes, rest) = value.split_first_chunk().ok_or(CodecError::Truncated)?;
    let (sum, record) = rest.split_first_chunk().ok_or(CodecError::Truncated)?;
    let (since, sum) = (StoreTime::from_micros(u64::from_be_bytes(*since_bytes)), u64::from_be_bytes(*sum));
    let is_of_format_1 = || sum == checksum::of_parts([since_bytes.as_slice(), record]);
    if sum == checksum::of_record(since, record) || is_of_format_1() {
        Ok((since, record))
    } else {
        Err(CodecError::Damaged("its checksum does not match"))
    }
}
