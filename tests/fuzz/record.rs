//! The record, and what becomes of one that is damaged in a way which cannot be seen.

use std::time::Duration;

use bytes::Bytes;
use idempotency_store::codec::{self, CodecError};
use idempotency_store::record::{self, Record, State};
use idempotency_store::{
    Answer, Attempt, Checkpoint, Claim, Claimed, Completion, Fence, Fingerprint, Grant, Key, OnAbandoned, Owner,
    Reason, Resolution, StoreTime, Terms,
};

use crate::draw::Draw;

const KEY: Key = Key::new([0xAB; 32]);

/// Where the first half of the key stands.
const BINDING: std::ops::Range<usize> = 48..64;

pub(crate) fn target(input: &[u8]) {
    let mut draw = Draw::from(input);
    let since = StoreTime::from_micros(draw.number());
    let now = StoreTime::from_micros(draw.number());
    let bytes = draw.rest();
    arbitrary(bytes, since, now);
    // A fuzzer need not guess what is the same in every record.
    let mut bound = bytes.to_vec();
    if let (true, Some(binding)) = (bound.len() >= codec::HEADER_LEN, bound.get_mut(BINDING)) {
        binding.copy_from_slice(&KEY.as_bytes()[..16]);
        bound[0] = codec::VERSION;
        arbitrary(&bound, since, now);
    }
    written(&mut Draw::from(input));
}

/// Bytes are refused, or are the ones that their record is written as, under their own key alone.
fn arbitrary(bytes: &[u8], since: StoreTime, now: StoreTime) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(record) = codec::decode(&KEY, since, &bytes) else { return };
    assert_eq!(codec::encode(&KEY, &record), bytes);
    for half in 0..16 {
        let mut other = *KEY.as_bytes();
        other[half] ^= 1;
        assert_eq!(codec::decode(&Key::new(other), since, &bytes), Err(CodecError::NotBound));
    }
    judged(&record, now);
}

/// What is written is read.
fn written(draw: &mut Draw<'_>) {
    let key = Key::new(draw.array());
    let Some(record) = drawn(draw) else { return };
    let bytes = codec::encode(&key, &record).into();
    assert_eq!(codec::decode(&key, record.since, &bytes), Ok(record));
}

fn drawn(draw: &mut Draw<'_>) -> Option<Record> {
    let reasons = [Reason::Panic, Reason::Failure, Reason::Shutdown, Reason::Cancelled, Reason::TakeoverReleased];
    let (kind, reason) = (draw.below(5), reasons[draw.below(5)]);
    let payload = Bytes::copy_from_slice(draw.bytes());
    let checkpoint = || payload.first().map(|_| Checkpoint::new(payload.clone()).expect("not a large one"));
    let state = match kind {
        0 => State::InFlight { checkpoint: checkpoint() },
        1 => State::Completed(Answer::Kept(payload.clone())),
        2 => State::Completed(Answer::NotKept(payload.clone())),
        3 => State::Indeterminate { reason, checkpoint: checkpoint() },
        _ => State::Released,
    };
    Some(Record {
        state,
        owner: Owner::new(draw.array()),
        fence: Fence::new(draw.number()),
        attempts: u32::from_be_bytes(draw.array()),
        fingerprint: Fingerprint::new(draw.array()),
        terms: Terms::new(Duration::from_millis(draw.number()), Duration::from_millis(draw.number())).ok()?,
        since: StoreTime::from_micros(draw.number()),
    })
}

/// No record, at no time, makes a verb panic or act for somebody who does not hold the key.
fn judged(found: &Record, now: StoreTime) {
    let attempt = Attempt { key: KEY, owner: Owner::new([7; 16]), fingerprint: found.fingerprint };
    let terms = Terms::default();
    for on_abandoned in [OnAbandoned::Refuse, OnAbandoned::Reexecute { max_attempts: std::num::NonZeroU32::MAX }] {
        let claim = Claim { attempt, terms, high_water: Some(found.fence), on_abandoned };
        let is_over = now >= found.expires_at();
        match record::claim(Some(found), now, &claim).reply {
            Claimed::Acquired { grant, .. } if !is_over => {
                assert!(!matches!(found.state, State::Completed(_)), "what is done is not run again");
                // Nothing is greater than the greatest fence, which no clock reaches; owners differ then.
                let grows = grant.fence > found.fence || found.fence == Fence::new(u64::MAX);
                assert!(grows || found.owner == attempt.owner, "a fence that does not grow");
            }
            Claimed::Completed(completed) => {
                assert_eq!(found.state, State::Completed(completed.answer), "another answer than the recorded one");
            }
            _ => {}
        }
    }
    let grant = Grant { attempt, fence: found.fence, number: found.attempts, terms };
    let _ = record::inspect(Some(found), now, KEY);
    if found.owner == attempt.owner || now >= found.expires_at() {
        return;
    }
    let completion = Completion::from(Answer::Kept(Bytes::new()));
    let note = Checkpoint::new(Bytes::new()).expect("not a large one");
    let is_written = [
        record::renew(Some(found), now, now, &grant).write,
        record::checkpoint(Some(found), now, &grant, &note).write,
        record::complete(Some(found), now, now, &grant, &completion).write,
        record::abandon(Some(found), now, &grant, Reason::Panic).write,
        record::release(Some(found), now, &attempt, None).write,
        record::resolve(Some(found), now, Fence::new(found.fence.get() ^ 1).into(), &Resolution::NotExecuted).write,
    ];
    assert_eq!(is_written, [const { None }; 6], "a verb of somebody who does not hold the key");
}
