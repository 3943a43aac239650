//! The bytes of a record, for stores that keep bytes.
//!
//! Version 1, integers big-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | state: 1 in flight, 2 completed, 3 completed with a tombstone, 4 indeterminate, 5 released |
//! | 2 | 1 | reason of an indeterminate state: 1 panic, 2 failure, 3 shutdown, 4 cancelled, 5 take-over released; else 0 |
//! | 3 | 1 | 1 if the payload is a checkpoint, else 0 |
//! | 4 | 4 | attempts |
//! | 8 | 8 | fence |
//! | 16 | 8 | lease, milliseconds |
//! | 24 | 8 | retention, milliseconds; of a completed record, that of its answer |
//! | 32 | 16 | owner |
//! | 48 | 16 | binding: the first half of the key |
//! | 64 | 32 | fingerprint |
//! | 96 | rest | payload: the answer, its note, or the checkpoint |
//!
//! The fields that a verb compares stand at fixed offsets, so that a script can compare them in place, and the payload
//! comes last, so that reading it is a slice. [`Record::since`] is left out: a store that can derive it (Redis, from the
//! remaining expiry) need not rewrite a record to renew its lease; others keep it beside the record.
//!
//! There is no checksum: an engine that does not protect its bytes adds its own. What is checked is the structure, and the
//! *binding*: a record that turns up under another key is refused, so that a mixed-up connection or a restored backup
//! cannot serve one client's answer to another.

use bytes::Bytes;
use std::time::Duration;

use crate::record::{Record, State};
use crate::{Answer, Checkpoint, Fence, Fingerprint, Key, Owner, Reason, StoreTime, Terms};

/// The version that is written.
pub const VERSION: u8 = 1;

/// The bytes before the payload.
pub const HEADER_LEN: usize = 96;

/// The bytes are not a record that can be used. Leave them as they are: execute nothing, overwrite nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Written by a newer version of this crate. Upgrade this process too.
    #[error("the record has version {0}; this version of the crate reads up to {VERSION}")]
    UnknownVersion(u8),
    /// The bytes end within the header.
    #[error("the record is cut short")]
    Truncated,
    /// The record belongs to another key.
    #[error("the record is bound to another key")]
    NotBound,
    /// A field has a value that is never written.
    #[error("the record is damaged: {0}")]
    Damaged(&'static str),
}

/// The bytes of `record`, which is stored under `key`.
pub fn encode(key: &Key, record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(key, record, &mut out);
    out
}

/// Appends the bytes of `record` to `out`, for a store that puts something of its own before them, such as
/// [`Record::since`].
pub fn encode_into(key: &Key, record: &Record, out: &mut Vec<u8>) {
    let payload = payload(&record.state);
    out.reserve(HEADER_LEN + payload.len());
    out.extend_from_slice(&header(key, record));
    out.extend_from_slice(payload);
}

/// The bytes of `record` before its payload.
pub(crate) fn header(key: &Key, record: &Record) -> [u8; HEADER_LEN] {
    let parts = Parts::of(&record.state);
    let mut header = [0; HEADER_LEN];
    let rest = put(&mut header, [VERSION, parts.state, parts.reason, u8::from(parts.is_checkpoint)]);
    let rest = put(rest, record.attempts.to_be_bytes());
    let rest = put(rest, record.fence.get().to_be_bytes());
    let rest = put(rest, millis(record.terms.lease()).to_be_bytes());
    let rest = put(rest, millis(record.terms.retention()).to_be_bytes());
    let rest = put(rest, *record.owner.as_bytes());
    let rest = put(rest, key.binding());
    put(rest, *record.fingerprint.as_bytes());
    header
}

/// The bytes of a record after its header.
pub(crate) fn payload(state: &State) -> &[u8] {
    Parts::of(state).payload
}

/// Reads the record that is stored under `key`, in its present state since `since`. The payload is a slice of `bytes`, not
/// a copy: it keeps all of `bytes` alive.
///
/// # Errors
///
/// [`CodecError`] for anything but the bytes of a record of this key; never panics.
pub fn decode(key: &Key, since: StoreTime, bytes: &Bytes) -> Result<Record, CodecError> {
    read(key, since, bytes, |kind| {
        let payload = bytes.slice(HEADER_LEN..);
        read_state(kind, payload)
    })
}

/// Reads the record without its payload, for listings: it is in its state, with no answer and no checkpoint.
#[cfg(any(feature = "embedded", feature = "redis"))]
pub(crate) fn outline(key: &Key, since: StoreTime, header: &[u8]) -> Result<Record, CodecError> {
    read(key, since, header, |[state, reason, _]| read_state([state, reason, 0], Bytes::new()))
}

fn read(
    key: &Key,
    since: StoreTime,
    mut rest: &[u8],
    read_state: impl FnOnce([u8; 3]) -> Result<State, CodecError>,
) -> Result<Record, CodecError> {
    let [version] = take(&mut rest)?;
    if version != VERSION {
        return Err(CodecError::UnknownVersion(version));
    }
    let kind = take(&mut rest)?;
    let attempts = u32::from_be_bytes(take(&mut rest)?);
    let fence = Fence::new(u64::from_be_bytes(take(&mut rest)?));
    let (lease, retention) = (u64::from_be_bytes(take(&mut rest)?), u64::from_be_bytes(take(&mut rest)?));
    let owner = Owner::new(take(&mut rest)?);
    if take(&mut rest)? != key.binding() {
        return Err(CodecError::NotBound);
    }
    let fingerprint = Fingerprint::new(take(&mut rest)?);
    let state = read_state(kind)?;
    let terms = terms(&state, lease, retention)?;
    Ok(Record { state, owner, fence, attempts, fingerprint, terms, since })
}

const KEPT: u8 = 2;
const NOT_KEPT: u8 = 3;

/// A state as it is written.
struct Parts<'a> {
    state: u8,
    reason: u8,
    is_checkpoint: bool,
    payload: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(state: &'a State) -> Self {
        let plain = |state, payload| Self { state, reason: 0, is_checkpoint: false, payload };
        let noted = |state, reason, checkpoint: &'a Option<Checkpoint>| Self {
            state,
            reason,
            is_checkpoint: checkpoint.is_some(),
            payload: checkpoint.as_ref().map_or(&[], |note| note.as_bytes()),
        };
        match state {
            State::InFlight { checkpoint } => noted(1, 0, checkpoint),
            State::Completed(Answer::Kept(answer)) => plain(KEPT, answer),
            State::Completed(Answer::NotKept(note)) => plain(NOT_KEPT, note),
            State::Indeterminate { reason, checkpoint } => noted(4, reason_code(*reason), checkpoint),
            State::Released => plain(5, &[]),
        }
    }
}

fn read_state([state, reason, is_checkpoint]: [u8; 3], payload: Bytes) -> Result<State, CodecError> {
    match (state, reason, is_checkpoint) {
        (1, 0, noted) => Ok(State::InFlight { checkpoint: read_checkpoint(noted, payload)? }),
        (KEPT, 0, 0) => Ok(State::Completed(Answer::Kept(payload))),
        (NOT_KEPT, 0, 0) => Ok(State::Completed(Answer::NotKept(payload))),
        (4, reason, noted) => {
            Ok(State::Indeterminate { reason: read_reason(reason)?, checkpoint: read_checkpoint(noted, payload)? })
        }
        (5, 0, 0) if payload.is_empty() => Ok(State::Released),
        (5, 0, 0) => Err(CodecError::Damaged("a released key has no payload")),
        _ => Err(CodecError::Damaged("no such state")),
    }
}

fn read_checkpoint(is_checkpoint: u8, payload: Bytes) -> Result<Option<Checkpoint>, CodecError> {
    match is_checkpoint {
        0 if payload.is_empty() => Ok(None),
        0 => Err(CodecError::Damaged("a payload that is not a checkpoint")),
        1 => Checkpoint::from_stored(payload).map(Some).map_err(|_| CodecError::Damaged("the checkpoint is too large")),
        _ => Err(CodecError::Damaged("no such kind of payload")),
    }
}

const fn reason_code(reason: Reason) -> u8 {
    match reason {
        Reason::Panic => 1,
        Reason::Failure => 2,
        Reason::Shutdown => 3,
        Reason::Cancelled => 4,
        Reason::TakeoverReleased => 5,
    }
}

const fn read_reason(code: u8) -> Result<Reason, CodecError> {
    match code {
        1 => Ok(Reason::Panic),
        2 => Ok(Reason::Failure),
        3 => Ok(Reason::Shutdown),
        4 => Ok(Reason::Cancelled),
        5 => Ok(Reason::TakeoverReleased),
        _ => Err(CodecError::Damaged("no such reason")),
    }
}

/// [`Terms`] are whole milliseconds and far below the limit of 64 bits.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn terms(state: &State, lease: u64, retention: u64) -> Result<Terms, CodecError> {
    let (lease, retention) = (Duration::from_millis(lease), Duration::from_millis(retention));
    let terms = match state {
        State::Completed(_) => Terms::of_completed(lease, retention),
        _ => Terms::new(lease, retention),
    };
    terms.map_err(|_| CodecError::Damaged("terms that nobody can claim on"))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], CodecError> {
    let (head, tail) = rest.split_first_chunk().ok_or(CodecError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

/// Writes a field at the beginning of `out`, and brings the rest of it.
pub(crate) fn put<const N: usize>(out: &mut [u8], field: [u8; N]) -> &mut [u8] {
    let Some((head, rest)) = out.split_first_chunk_mut() else { return &mut [] };
    *head = field;
    rest
}
