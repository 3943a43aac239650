//! What stands in Redis: the time of the last write, then the record's bytes ([`codec`]).
//!
//! The time says when an answer was recorded and decides nothing: how old a state is follows from what is left of the
//! key's expiry, which only the server counts. A record in flight has its fence there, and so follows from its grant, byte for
//! byte, until its owner notes something. The scripts know the offsets.

use bytes::Bytes;
use std::time::Duration;

use crate::codec::{self, CodecError};
use crate::record::{Record, State};
use crate::{Grant, Key, Listed, StoreTime};

const TIME_LEN: usize = 8;

/// The value of `record`.
pub(super) fn write(key: &Key, record: &Record) -> Vec<u8> {
    [&head(key, record), codec::payload(&record.state)].concat()
}

/// The value of `record` without its payload. A record in flight has none until its owner notes something.
pub(super) fn head(key: &Key, record: &Record) -> [u8; HEAD_LEN] {
    let time = match record.state {
        State::InFlight { .. } => record.fence.get(),
        _ => record.since.as_micros(),
    };
    let mut head = [0; HEAD_LEN];
    let rest = codec::put(&mut head, time.to_be_bytes());
    codec::put(rest, codec::header(key, record));
    head
}

/// The record of a value. Its `since` is when it was recorded, and means nothing in flight.
pub(super) fn read(key: &Key, value: &Bytes) -> Result<Record, CodecError> {
    let (time, _) = value.split_first_chunk::<TIME_LEN>().ok_or(CodecError::Truncated)?;
    codec::decode(key, StoreTime::from_micros(u64::from_be_bytes(*time)), &value.slice(TIME_LEN..))
}

/// The fence and the owner of a grant as they stand in its record.
pub(super) fn holder(grant: &Grant) -> [u8; 24] {
    let mut holder = [0; 24];
    let rest = codec::put(&mut holder, grant.fence.get().to_be_bytes());
    codec::put(rest, *grant.attempt.owner.as_bytes());
    holder
}

/// What a server knows of a key at one moment.
pub(super) struct Snapshot {
    pub(super) value: Option<Bytes>,
    /// Milliseconds, or -1 for a key that does not expire, or -2 for no key.
    pub(super) left: i64,
    pub(super) now: StoreTime,
}

/// The record of a snapshot, with `since` as the server's expiry has it.
pub(super) struct Found {
    pub(super) record: Option<Record>,
    /// The key's expiry is not one that was ever set here. Its lease counts as fresh, and the expiry must be set again.
    pub(super) expiry_lost: bool,
}

impl Snapshot {
    /// Judges the age of the record, for every verb alike.
    pub(super) fn read(&self, key: &Key) -> Result<Found, CodecError> {
        let Some(value) = &self.value else {
            return Ok(Found { record: None, expiry_lost: false });
        };
        let record = read(key, value)?;
        let (since, expiry_lost) = since(&record, self.left, self.now);
        Ok(Found { record: Some(Record { since, ..record }), expiry_lost })
    }
}

/// When the state of a record began, as what is left of its expiry has it, and whether that was lost.
fn since(record: &Record, left: i64, now: StoreTime) -> (StoreTime, bool) {
    let life = life(record);
    let left = u64::try_from(left).ok().map(Duration::from_millis).filter(|left| *left <= life);
    let age = life.saturating_sub(left.unwrap_or(life));
    (StoreTime::from_micros(now.as_micros().saturating_sub(micros(age))), left.is_none())
}

/// The bytes of a value before its payload.
pub(super) const HEAD_LEN: usize = TIME_LEN + codec::HEADER_LEN;

/// How the record of a value is listed: `head` is its first [`HEAD_LEN`] bytes, and `len` how many it has.
pub(super) fn list(key: Key, head: &[u8], len: usize, left: i64, now: StoreTime) -> Result<Listed, CodecError> {
    let header = head.get(TIME_LEN..).ok_or(CodecError::Truncated)?;
    let record = codec::outline(&key, now, header)?;
    let record = Record { since: since(&record, left, now).0, ..record };
    Ok(Listed::new(key, &record, now).with_payload(len.saturating_sub(HEAD_LEN)))
}

/// How long a record lasts from `since` on.
pub(super) fn life(record: &Record) -> Duration {
    record.expires_at().since(record.since)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
