//! Replies that a server might give: right ones, damaged ones, and bytes.

use std::time::Duration;

use bytes::Bytes;
use idempotency_store::codec;
use idempotency_store::record::{Record, State};
use idempotency_store::{Answer, Fence, Key, Owner, Reason, RedisStore, StoreTime, Terms};

use super::server::bulk;
use super::{ATTEMPT, KEY};
use crate::draw::Draw;

/// Seconds since 1970 at which records were written.
const WRITTEN: u64 = 1_780_000_000;

const ERRORS: [&str; 8] = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOSCRIPT No matching script.",
    "MOVED 3999 127.0.0.1:6381",
    "READONLY You can't write against a read only replica.",
    "NOREPLICAS Not enough good replicas to write.",
    "LOADING Redis is loading the dataset in memory",
    "ERR",
];

pub(super) fn draw(draw: &mut Draw<'_>, store: &RedisStore) -> Vec<u8> {
    match draw.below(10) {
        0 => draw.bytes().to_vec(),
        1 => b"$-1\r\n".to_vec(),
        2 => format!(":{}\r\n", draw.below(3)).into_bytes(),
        3 => format!(":{}\r\n", draw.number().cast_signed()).into_bytes(),
        4 => bulk(draw.bytes()),
        5 => bulk(&value(draw)),
        6 | 7 => snapshot(draw),
        8 => format!("-{}\r\n", ERRORS[draw.below(ERRORS.len())]).into_bytes(),
        _ => page(draw, store),
    }
}

/// What the script `snapshot` returns.
fn snapshot(draw: &mut Draw<'_>) -> Vec<u8> {
    let record = if draw.one_in(4) { b"$-1\r\n".to_vec() } else { bulk(&value(draw)) };
    let left = match draw.below(4) {
        0 => -1,
        1 => -2,
        2 => draw.number().cast_signed(),
        _ => i64::try_from(draw.below(65_536) * 1500).expect("a day"),
    };
    let seconds = if draw.one_in(4) { draw.number() } else { WRITTEN + u64::from(draw.byte()) };
    let numbers = format!(":{left}\r\n${}\r\n{seconds}\r\n$1\r\n0\r\n", seconds.to_string().len());
    [b"*4\r\n", record.as_slice(), numbers.as_bytes()].concat()
}

/// A page of names.
fn page(draw: &mut Draw<'_>, store: &RedisStore) -> Vec<u8> {
    let count = draw.below(3);
    let names: Vec<u8> = (0..count).flat_map(|_| bulk(store.name_of(&key(draw)).as_bytes())).collect();
    [format!("*2\r\n$1\r\n{}\r\n*{count}\r\n", draw.below(10)).as_bytes(), &names].concat()
}

/// The key that is asked about, or another one.
fn key(draw: &mut Draw<'_>) -> Key {
    if draw.one_in(4) { Key::new(draw.array()) } else { KEY }
}

/// A record as it stands in Redis, with a few bytes of it changed.
fn value(draw: &mut Draw<'_>) -> Vec<u8> {
    let answer = Bytes::copy_from_slice(draw.bytes());
    let state = match draw.below(5) {
        0 => State::InFlight { checkpoint: None },
        1 => State::Completed(Answer::Kept(answer)),
        2 => State::Completed(Answer::NotKept(answer)),
        3 => State::Indeterminate { reason: Reason::Failure, checkpoint: None },
        _ => State::Released,
    };
    let owner = if draw.one_in(2) { ATTEMPT.owner } else { Owner::new(draw.array()) };
    let record = Record {
        state,
        owner,
        fence: Fence::new(WRITTEN * 1_000_000),
        attempts: 1,
        fingerprint: ATTEMPT.fingerprint,
        terms: Terms::new(Duration::from_secs(30), Duration::from_secs(86_400)).expect("the default ones"),
        since: StoreTime::from_micros(WRITTEN * 1_000_000),
    };
    let mut value = record.since.as_micros().to_be_bytes().to_vec();
    codec::encode_into(&key(draw), &record, &mut value);
    for _ in 0..draw.below(4) {
        let at = draw.below(value.len());
        value[at] = draw.byte();
    }
    if draw.one_in(8) {
        value.truncate(draw.below(value.len()));
    }
    value
}
