//! The bytes of a record: what version 1 looks like for ever, and that no bytes at all can make reading them panic.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use idempotency_store::codec::{self, CodecError, HEADER_LEN};
use idempotency_store::record::{Record, State};
use idempotency_store::{Answer, Checkpoint, Fence, Fingerprint, Key, Owner, Reason, StoreTime, Terms};
use proptest::prelude::*;

const KEY: Key = Key::new([0xAB; 32]);
const SINCE: StoreTime = StoreTime::from_micros(1_780_000_000_123_456);

fn record(state: State) -> Record {
    Record {
        state,
        owner: Owner::new([0x0F; 16]),
        fence: Fence::new(1_780_000_000_000_001),
        attempts: 3,
        fingerprint: Fingerprint::new([0xC7; 32]),
        terms: Terms::new(Duration::from_secs(30), Duration::from_secs(86_400)).unwrap(),
        since: SINCE,
    }
}

fn checkpoint(bytes: &'static [u8]) -> Checkpoint {
    Checkpoint::new(bytes).unwrap()
}

/// One record per state, each with the bytes that stand between version and attempts, and its payload.
fn fixtures() -> Vec<(Record, &'static str, &'static str)> {
    let indeterminate = |reason, checkpoint| record(State::Indeterminate { reason, checkpoint });
    vec![
        (record(State::InFlight { checkpoint: None }), "010000", ""),
        (record(State::InFlight { checkpoint: Some(checkpoint(b"")) }), "010001", ""),
        (record(State::InFlight { checkpoint: Some(checkpoint(b"half")) }), "010001", "68616c66"),
        (record(State::Completed(Answer::Kept(Bytes::from_static(b"done")))), "020000", "646f6e65"),
        (record(State::Completed(Answer::NotKept(Bytes::from_static(b"201")))), "030000", "323031"),
        (indeterminate(Reason::Panic, None), "040100", ""),
        (indeterminate(Reason::Failure, Some(checkpoint(b"half"))), "040201", "68616c66"),
        (indeterminate(Reason::Shutdown, None), "040300", ""),
        (indeterminate(Reason::Cancelled, None), "040400", ""),
        (indeterminate(Reason::TakeoverReleased, None), "040500", ""),
        (record(State::Released), "050000", ""),
    ]
}

/// Attempts, fence, lease, retention, owner, binding and fingerprint of [`record`].
const MIDDLE: &str = concat!(
    "00000003",
    "000652e68bb34001",
    "0000000000007530",
    "0000000005265c00",
    "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
    "abababababababababababababababab",
    "c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7",
);

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn version_1_is_these_bytes_for_ever() {
    for (record, state, payload) in fixtures() {
        let golden = format!("01{state}{MIDDLE}{payload}");
        assert_eq!(hex(&codec::encode(&KEY, &record)), golden, "{record:?}");
        assert_eq!(codec::decode(&KEY, SINCE, &unhex(&golden)), Ok(record));
    }
}

/// Bytes as version 1 wrote them before an answer could have a retention of its own, and as it writes them since.
#[test]
fn s63_records_that_stand_are_read_by_this_version() {
    let middle = |retention: &str| MIDDLE.replacen("0000000005265c00", retention, 1);
    // A day, as claimed; 100 s; 60 s, which is the least, of a lease of 30 s; ten years.
    for (retention, seconds) in [
        ("0000000005265c00", 86_400),
        ("00000000000186a0", 100),
        ("000000000000ea60", 60),
        ("00000049a06b5000", 316_224_000),
    ] {
        let bytes = unhex(&format!("01020000{}6f6b", middle(retention)));
        let read = codec::decode(&KEY, SINCE, &bytes).unwrap();
        assert_eq!(read.state, State::Completed(Answer::Kept(Bytes::from_static(b"ok"))));
        assert_eq!(
            (read.terms.lease(), read.terms.retention()),
            (Duration::from_secs(30), Duration::from_secs(seconds))
        );
        assert_eq!(codec::encode(&KEY, &read), bytes, "written again it has the same bytes");
    }
}

#[test]
fn s63_an_unknown_version_is_refused_whatever_follows() {
    for (record, ..) in fixtures() {
        for version in (0..=255).filter(|version| *version != codec::VERSION) {
            let mut bytes = codec::encode(&KEY, &record);
            bytes[0] = version;
            for len in [1, 40, bytes.len()] {
                let read = codec::decode(&KEY, SINCE, &Bytes::from(bytes[..len].to_vec()));
                assert_eq!(read, Err(CodecError::UnknownVersion(version)));
            }
        }
    }
}

/// Of a completed record only: nobody runs any more that could outlive its key.
#[test]
fn a_retention_below_two_leases_is_damage_unless_completed() {
    for (record, ..) in fixtures() {
        let mut bytes = codec::encode(&KEY, &record);
        // A lease of an hour, and a minute of retention.
        bytes[16..32].copy_from_slice(&[3_600_000_u64.to_be_bytes(), 60_000_u64.to_be_bytes()].concat());
        let read = codec::decode(&KEY, SINCE, &bytes.into());
        match record.state {
            State::Completed(_) => assert_eq!(read.unwrap().terms.retention(), Duration::from_secs(60)),
            _ => assert!(matches!(read, Err(CodecError::Damaged(_))), "{read:?}"),
        }
    }
}

#[test]
fn a_record_cut_anywhere_in_its_header_is_truncated() {
    for (record, ..) in fixtures() {
        let bytes = Bytes::from(codec::encode(&KEY, &record));
        for len in 0..HEADER_LEN {
            assert_eq!(codec::decode(&KEY, SINCE, &bytes.slice(..len)), Err(CodecError::Truncated));
        }
    }
}

#[test]
fn a_record_cut_in_its_payload_is_read_or_refused() {
    for (record, ..) in fixtures() {
        let bytes = Bytes::from(codec::encode(&KEY, &record));
        for len in HEADER_LEN..bytes.len() {
            let _ = codec::decode(&KEY, SINCE, &bytes.slice(..len));
        }
    }
}

#[test]
fn no_flipped_byte_is_read_as_the_same_record() {
    for (record, ..) in fixtures() {
        let bytes = codec::encode(&KEY, &record);
        for (at, flip) in (0..bytes.len()).flat_map(|at| (1..=255).map(move |flip| (at, flip))) {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let read = codec::decode(&KEY, SINCE, &damaged.into());
            assert_ne!(read.as_ref(), Ok(&record), "byte {at} xor {flip:#04x} went unnoticed");
            match at {
                0 => assert!(matches!(read, Err(CodecError::UnknownVersion(_)))),
                48..64 => assert_eq!(read, Err(CodecError::NotBound)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_record_under_another_key_is_not_bound() {
    let bytes = codec::encode(&KEY, &record(State::Released)).into();
    assert_eq!(codec::decode(&Key::new([0xAC; 32]), SINCE, &bytes), Err(CodecError::NotBound));
}

#[test]
fn fields_that_are_never_written_are_damage() {
    let damaged = |record: Record, at: usize, value: u8| {
        let mut bytes = codec::encode(&KEY, &record);
        bytes[at] = value;
        codec::decode(&KEY, SINCE, &bytes.into())
    };
    let kept = || record(State::Completed(Answer::Kept(Bytes::from_static(b"done"))));
    for (at, value) in [(1, 0), (1, 1), (1, 4), (1, 5), (1, 6), (2, 1), (3, 1), (3, 2), (16, 1), (31, 0xFF)] {
        let read = damaged(kept(), at, value);
        // The last one is a retention of some hours more, which is as good as the one that was written.
        assert_eq!(matches!(read, Err(CodecError::Damaged(_))), at != 31, "byte {at} = {value}: {read:?}");
    }
    let in_flight = || record(State::InFlight { checkpoint: Some(checkpoint(b"half")) });
    assert!(matches!(damaged(in_flight(), 3, 0), Err(CodecError::Damaged(_))));
    assert!(matches!(damaged(in_flight(), 3, 2), Err(CodecError::Damaged(_))));

    let mut too_large = codec::encode(&KEY, &in_flight());
    too_large.resize(HEADER_LEN + Checkpoint::MAX_STORED_LEN + 1, 0);
    assert!(matches!(codec::decode(&KEY, SINCE, &too_large.into()), Err(CodecError::Damaged(_))));
}

#[test]
fn the_payload_is_a_slice_of_what_was_read() {
    let bytes = Bytes::from(codec::encode(&KEY, &record(State::Completed(Answer::Kept(vec![7; 1 << 20].into())))));
    let State::Completed(Answer::Kept(answer)) = codec::decode(&KEY, SINCE, &bytes).unwrap().state else {
        panic!("another state was read");
    };
    assert!(std::ptr::eq(answer.as_ref(), &raw const bytes[HEADER_LEN..]));
}

fn any_state() -> impl Strategy<Value = State> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let note = || proptest::option::of(bytes().prop_map(|bytes| Checkpoint::new(bytes).unwrap()));
    let reason = prop_oneof![
        Just(Reason::Panic),
        Just(Reason::Failure),
        Just(Reason::Shutdown),
        Just(Reason::Cancelled),
        Just(Reason::TakeoverReleased)
    ];
    prop_oneof![
        note().prop_map(|checkpoint| State::InFlight { checkpoint }),
        bytes().prop_map(|answer| State::Completed(Answer::Kept(answer))),
        bytes().prop_map(|note| State::Completed(Answer::NotKept(note))),
        (reason, note()).prop_map(|(reason, checkpoint)| State::Indeterminate { reason, checkpoint }),
        Just(State::Released),
    ]
}

prop_compose! {
    fn any_record()(
        state in any_state(),
        owner: [u8; 16],
        fence: u64,
        attempts: u32,
        fingerprint: [u8; 32],
        lease in 1_u64..1 << 36,
        more in 0_u64..1 << 36,
        since: u64,
    ) -> Record {
        let (lease, retention) = (Duration::from_millis(lease), Duration::from_millis(lease * 2 + more));
        Record {
            state,
            owner: Owner::new(owner),
            fence: Fence::new(fence),
            attempts,
            fingerprint: Fingerprint::new(fingerprint),
            terms: Terms::new(lease, retention).unwrap(),
            since: StoreTime::from_micros(since),
        }
    }
}

proptest! {
    #[test]
    fn every_record_is_read_as_it_was_written(key: [u8; 32], record in any_record()) {
        let key = Key::new(key);
        let bytes = codec::encode(&key, &record).into();
        prop_assert_eq!(codec::decode(&key, record.since, &bytes), Ok(record));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        if let Some(version) = bytes.first_mut() {
            *version = codec::VERSION;
        }
        let _ = codec::decode(&KEY, SINCE, &bytes.into());
    }
}
