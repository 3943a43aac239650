//! The commands of the Redis store, made by hand: what a claim and a completion are on the wire.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use idempotency_store::record::{self, Record, State};
use idempotency_store::{Answer, Attempt, Claim, Fence, Fingerprint, Key, OnAbandoned, Owner, StoreTime, Terms, codec};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisWrite as _, cmd};

use crate::Outcome;

/// How long keys live.
pub const RETENTION_MS: u64 = 24 * 60 * 60 * 1000;

const COMPLETE: &str = include_str!("../../../store/src/redis/complete.lua");

/// When everything is recorded.
const NOW: StoreTime = StoreTime::from_micros(1_790_000_000_000_000);

/// Commands that are the same for all keys.
#[derive(Debug)]
pub struct Commands {
    /// In flight.
    record: Vec<u8>,
    /// With an answer, of which it has none yet.
    completed: Vec<u8>,
    script: String,
}

impl Commands {
    /// The bytes of a record before the answer.
    pub const HEAD_LEN: usize = 8 + codec::HEADER_LEN;

    /// Makes them, and loads the script.
    ///
    /// # Errors
    ///
    /// A server that cannot be used.
    pub async fn load(redis: &MultiplexedConnection) -> Outcome<Self> {
        let script = cmd("SCRIPT").arg("LOAD").arg(COMPLETE).query_async(&mut redis.clone()).await?;
        let claim = claim(Key::new([1; 32]), Owner::new([2; 16]))?;
        let record = record::claim(None, NOW, &claim).write.ok_or("a claim of a free key writes")?;
        let answer = State::Completed(Answer::Kept(Bytes::new()));
        let completed = value(&claim.attempt.key, NOW, &Record { state: answer, ..record.clone() });
        let fence = StoreTime::from_micros(record.fence.get());
        Ok(Self { record: value(&claim.attempt.key, fence, &record), completed, script })
    }

    /// Takes the key, or brings what is there.
    pub fn claim(&self, key: &[u8]) -> Cmd {
        let mut set = cmd("SET");
        set.arg(key).arg(&self.record).arg("NX").arg("GET").arg("PX").arg(RETENTION_MS);
        set
    }

    /// Records the answer, if the key is still in flight.
    pub fn complete(&self, key: &[u8], answer: &[u8]) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.script).arg(1).arg(key).arg(&self.record);
        with_answer(&mut call, &self.completed, answer);
        call.arg(RETENTION_MS);
        call
    }

    /// Sets the key to as many bytes as its record will have, and asks nothing: what no store should do.
    pub fn unsafe_set(&self, key: &[u8], answer: &[u8]) -> Cmd {
        let mut set = cmd("SET");
        set.arg(key);
        with_answer(&mut set, &self.record, answer);
        set.arg("PX").arg(RETENTION_MS);
        set
    }
}

/// Adds both as one argument.
fn with_answer(command: &mut Cmd, head: &[u8], answer: &[u8]) {
    let mut argument = command.writer_for_next_arg();
    for part in [head, answer] {
        // A command is memory, and takes whatever is written.
        drop(argument.write_all(part));
    }
}

/// A first claim on the terms of the middleware.
///
/// # Errors
///
/// None: the terms are valid.
pub fn claim(key: Key, owner: Owner) -> Outcome<Claim> {
    Ok(Claim {
        attempt: Attempt { key, owner, fingerprint: Fingerprint::new([3; 32]) },
        terms: Terms::new(Duration::from_secs(30), Duration::from_millis(RETENTION_MS))?,
        high_water: None::<Fence>,
        on_abandoned: OnAbandoned::default(),
    })
}

fn value(key: &Key, time: StoreTime, record: &Record) -> Vec<u8> {
    let mut value = time.as_micros().to_be_bytes().to_vec();
    codec::encode_into(key, record, &mut value);
    value
}
