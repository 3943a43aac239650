//! What `Debug` and error messages show of keys, answers and secrets: not them.
#![cfg(all(feature = "memory", feature = "redis", feature = "encrypt"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use idempotency_store::record::{self, Record, State};
use idempotency_store::{
    Answer, Attempt, BoxStore, Checkpoint, Claim, Claimed, Completed, Completion, EncryptedStore, EncryptionKey, Entry,
    Fence, FenceKey, Fingerprint, Grant, Indeterminate, Key, KeyRing, Listed, Loss, MemoryStore, OnAbandoned, Owner,
    Reason, Recorded, RedisConfig, RedisStore, Resolution, StoreTime, Terms,
};

/// Stands for an answer, a checkpoint, a password and an encryption key; as text, and as `Debug` shows bytes.
const HIDDEN: &str = "hidden-hidden-hidden-hidden-hide";
const AS_BYTES: &str = "104, 105, 100, 100, 101, 110";

/// A digest: its beginning identifies a record in a log, the whole would be the record's address.
const DIGEST: [u8; 32] = [0xA7; 32];

#[track_caller]
fn assert_hides(shown: &impl Debug) {
    for text in [format!("{shown:?}"), format!("{shown:#?}")] {
        let bare = text.replace(char::is_whitespace, "").to_lowercase();
        let bytes = AS_BYTES.replace(' ', "");
        assert!(!text.contains("hidden") && !bare.contains(&bytes), "{text}");
        let digest = ["a7a7a7a7a7", "167,167,167,167,167"];
        assert!(!digest.iter().any(|digest| bare.contains(digest)), "more than the beginning of a digest: {text}");
    }
}

fn attempt() -> Attempt {
    Attempt { key: Key::new(DIGEST), owner: Owner::new([0xA7; 16]), fingerprint: Fingerprint::new(DIGEST) }
}

fn grant() -> Grant {
    Grant { attempt: attempt(), fence: Fence::new(1), number: 1, terms: Terms::default() }
}

fn answer() -> Answer {
    Answer::Kept(HIDDEN.into())
}

fn note() -> Checkpoint {
    Checkpoint::new(HIDDEN).unwrap()
}

fn of(state: State) -> Record {
    let Grant { attempt, fence, number, terms } = grant();
    let Attempt { owner, fingerprint, .. } = attempt;
    Record { state, owner, fence, attempts: number, fingerprint, terms, since: StoreTime::from_micros(1) }
}

#[test]
fn answers_and_checkpoints_are_not_shown_wherever_they_are() {
    assert_hides(&answer());
    assert_hides(&Answer::NotKept(HIDDEN.into()));
    assert_hides(&Completion::from(answer()));
    assert_hides(&Resolution::Completed(answer()));
    let completed = Completed {
        answer: answer(),
        fence: Fence::new(1),
        recorded_at: StoreTime::from_micros(1),
        expires_at: StoreTime::from_micros(2),
    };
    assert_hides(&Claimed::Completed(completed.clone()));
    assert_hides(&Recorded::Lost(Loss::Completed(completed)));
    assert_hides(&Claimed::Acquired { grant: grant(), checkpoint: Some(note()) });
    assert_hides(&Claimed::Indeterminate(Indeterminate {
        fence: Fence::new(1),
        attempts: 1,
        since: StoreTime::from_micros(1),
        reason: None,
        quiet_for: Duration::ZERO,
        checkpoint: Some(note()),
    }));
    let now = StoreTime::from_micros(2);
    for state in [
        State::InFlight { checkpoint: Some(note()) },
        State::Completed(answer()),
        State::Indeterminate { reason: Reason::Panic, checkpoint: Some(note()) },
    ] {
        let record = of(state);
        assert_hides(&Listed::new(attempt().key, &record, now));
        assert_hides(&record::inspect(Some(&record), now, attempt().key));
        assert_hides(&Entry { key: attempt().key, record, at: now });
    }
}

#[test]
fn digests_are_shown_by_their_beginning() {
    assert_eq!(format!("{:?}", attempt().key), "Key(a7a7a7a7..)");
    assert_hides(&attempt());
    assert_hides(&grant());
    assert_hides(&grant().lease());
    assert_hides(&FenceKey::new(DIGEST));
    let claim =
        Claim { attempt: attempt(), terms: Terms::default(), high_water: None, on_abandoned: OnAbandoned::Refuse };
    assert_hides(&claim);
}

#[tokio::test]
async fn passwords_and_encryption_keys_are_not_shown() {
    let key = || EncryptionKey::new(1, HIDDEN).unwrap();
    assert_hides(&key());
    let ring = KeyRing::new([key()]).unwrap();
    assert_hides(&ring);
    let store = EncryptedStore::new(MemoryStore::new(), ring);
    assert_hides(&store);
    assert_hides(&BoxStore::new(store));
    for text in [format!("1:{HIDDEN}"), HIDDEN.to_owned(), format!("{HIDDEN}:{HIDDEN}"), format!("1:{HIDDEN}==")] {
        assert_says_nothing(&KeyRing::from_text(&text).unwrap_err());
    }

    // A port that nobody listens on.
    let url = format!("redis://hidden:{HIDDEN}@127.0.0.1:1");
    assert_hides(&RedisConfig::new(&url).unwrap());
    assert_says_nothing(&RedisStore::connect(&url).await.unwrap_err());
    for malformed in [format!("redis:{HIDDEN}"), format!("redis://:{HIDDEN}@host:port"), format!("http://{HIDDEN}")] {
        assert_says_nothing(&RedisConfig::new(&malformed).unwrap_err());
    }
}

#[track_caller]
fn assert_says_nothing(error: &(dyn Error + 'static)) {
    assert_hides(&error);
    let mut next = Some(error);
    while let Some(cause) = next {
        assert!(!cause.to_string().contains("hidden"), "{cause}");
        next = cause.source();
    }
}
