//! The commands of the Redis store, made by hand: what a claim and a completion are on the wire.

use idempotency_store::record::{self, Record};
use idempotency_store::{Attempt, Claim, Fence, Fingerprint, Key, OnAbandoned, Owner, StoreTime, Terms, codec};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};
use std::time::Duration;

use crate::Outcome;

/// How long keys live.
pub const RETENTION_MS: u64 = 24 * 60 * 60 * 1000;

const COMPLETE: &str = include_str!("../../../store/src/redis/complete.lua");

/// When everything is recorded.
const NOW: StoreTime = StoreTime::from_micros(1_790_000_000_000_000);

/// Commands that are the same for all keys.
#[derive(Debug)]
pub struct Commands {
    record: Vec<u8>,
    holder: [u8; 24],
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
        let mut holder = [0; 24];
        let bytes = record.fence.get().to_be_bytes();
        holder.iter_mut().zip(bytes.iter().chain(record.owner.as_bytes())).for_each(|(to, from)| *to = *from);
        Ok(Self { record: value(&claim.attempt.key, &record), holder, script })
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
        call.arg(&self.script).arg(1).arg(key);
        call.arg(&self.holder).arg(&NOW.as_micros().to_be_bytes()).arg(&[2_u8]).arg(answer).arg("");
        call
    }

    /// Sets the key to as many bytes as its record will have, and asks nothing: what no store should do.
    pub fn unsafe_set(&self, key: &[u8], answer: &[u8]) -> Cmd {
        let mut set = cmd("SET");
        set.arg(key).arg([&self.record, answer].concat()).arg("PX").arg(RETENTION_MS);
        set
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

fn value(key: &Key, record: &Record) -> Vec<u8> {
    let mut value = NOW.as_micros().to_be_bytes().to_vec();
    codec::encode_into(key, record, &mut value);
    value
}
