//! What the Redis store's verbs cost without HTTP: Redis's processor time, and claims per second.

use std::time::{Duration, Instant};

use bytes::Bytes;
use idempotency_store::{
    Answer, Claimed, Deadline, Durability, Grant, Key, Owner, Recorded, RedisConfig, RedisStore, Store as _,
};
use tokio::task::JoinSet;

use super::cpu::run_time;
use super::redis_server::{Program, RedisServer};
use crate::Outcome;
use crate::commands::{Commands, claim};
use crate::load::count;

/// Callers at a time.
const CALLERS: u64 = 64;

/// Redis's processor time per operation, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Costs {
    /// Of the claim, or of the `SET` in its place.
    pub claim: f64,
    /// Of the completion, or of the `SET` in its place.
    pub complete: f64,
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The store.
    Store,
    /// Two `SET` of as many bytes, which ask nothing.
    PlainSets,
}

/// What `keys` first requests cost Redis, whose answers have `answer` bytes, on one connection with 64 callers.
///
/// # Errors
///
/// The server cannot be used.
pub fn costs(redis: &RedisServer, by: By, answer: usize, keys: u64) -> Outcome<Costs> {
    redis.flush()?;
    let answer = Bytes::from(vec![b'a'; answer]);
    runtime()?.block_on(async {
        match by {
            By::Store => {
                let store = RedisStore::connect_with(local(redis)?).await?;
                // The server learns the script.
                complete_all(&store, claim_all(&store, keys, CALLERS).await?, &answer).await?;
                let begun = run_time(redis.id())?;
                let grants = claim_all(&store, 0, keys).await?;
                let claimed = run_time(redis.id())?;
                complete_all(&store, grants, &answer).await?;
                Ok(per_key(begun, claimed, run_time(redis.id())?, keys))
            }
            By::PlainSets => {
                let client = redis::Client::open(redis.url())?;
                let connection = client.get_multiplexed_async_connection().await?;
                let commands = Commands::load(&connection).await?;
                let begun = run_time(redis.id())?;
                set_all(&connection, &commands, &Bytes::new(), keys).await?;
                let claimed = run_time(redis.id())?;
                set_all(&connection, &commands, &answer, keys).await?;
                Ok(per_key(begun, claimed, run_time(redis.id())?, keys))
            }
        }
    })
}

/// A master, and the replica that claims wait for.
#[derive(Debug)]
pub struct Replicated {
    master: RedisServer,
    _replica: RedisServer,
}

impl Replicated {
    /// Starts both, and returns when the replica follows.
    ///
    /// # Errors
    ///
    /// They do not start.
    pub fn start() -> Outcome<Self> {
        let master = RedisServer::start(Program::System, &["--repl-diskless-sync-delay", "0"])?;
        let replica = RedisServer::start(Program::System, &["--replicaof", "127.0.0.1", &master.port().to_string()])?;
        let begun = Instant::now();
        while !replica.ask::<String>(&["INFO", "replication"])?.contains("master_link_status:up") {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("the replica does not follow its master".into());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(Self { master, _replica: replica })
    }

    /// Claims per second of 64 callers, with a wait for the replica or without.
    ///
    /// # Errors
    ///
    /// The servers cannot be used.
    pub fn claims_per_second(&self, waits: bool, claims: u64) -> Outcome<f64> {
        self.master.flush()?;
        let durability = if waits { Durability::Replicated { replicas: 1 } } else { Durability::Local };
        runtime()?.block_on(async {
            // The replica may still be busy with the flush.
            let config = local(&self.master)?.durability(durability).replication_timeout(Duration::from_secs(5));
            let store = RedisStore::connect_with(config).await?;
            claim_all(&store, claims, 1_000).await?;
            let begun = Instant::now();
            claim_all(&store, 0, claims).await?;
            Ok(count(claims) / begun.elapsed().as_secs_f64())
        })
    }
}

fn local(redis: &RedisServer) -> Outcome<RedisConfig> {
    Ok(RedisConfig::new(&redis.url())?.durability(Durability::Local))
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn per_key(begun: Duration, claimed: Duration, completed: Duration, keys: u64) -> Costs {
    let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / count(keys);
    Costs { claim: micros(claimed.saturating_sub(begun)), complete: micros(completed.saturating_sub(claimed)) }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

async fn claim_all(store: &RedisStore, first: u64, keys: u64) -> Outcome<Vec<Grant>> {
    let mut callers = JoinSet::<Outcome<Vec<Grant>>>::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        callers.spawn(async move {
            let mut grants = Vec::new();
            for number in (first + caller..first + keys).step_by(usize::try_from(CALLERS)?) {
                let claimed = store.claim(&claim(key(number), Owner::new([2; 16]))?, soon()).await?;
                let Claimed::Acquired { grant, .. } = claimed else { return Err("a key is not free".into()) };
                grants.push(grant);
            }
            Ok(grants)
        });
    }
    let mut grants = Vec::new();
    while let Some(caller) = callers.join_next().await {
        grants.extend(caller??);
    }
    Ok(grants)
}

async fn complete_all(store: &RedisStore, grants: Vec<Grant>, answer: &Bytes) -> Outcome {
    let mut callers = JoinSet::<Outcome>::new();
    for share in grants.chunks(grants.len().div_ceil(usize::try_from(CALLERS)?).max(1)) {
        let (store, answer, share) = (store.clone(), Answer::Kept(answer.clone()), share.to_vec());
        callers.spawn(async move {
            for grant in share {
                match store.complete(&grant, &answer.clone().into(), soon()).await? {
                    Recorded::Recorded => {}
                    other => return Err(format!("a completion was answered with {other:?}").into()),
                }
            }
            Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(())
}

async fn set_all(
    connection: &redis::aio::MultiplexedConnection,
    commands: &Commands,
    answer: &Bytes,
    keys: u64,
) -> Outcome {
    let names: Vec<u64> = (0..keys).collect();
    let mut callers = JoinSet::<Outcome>::new();
    for share in names.chunks(names.len().div_ceil(usize::try_from(CALLERS)?).max(1)) {
        let sets: Vec<_> =
            share.iter().map(|number| commands.unsafe_set(format!("idem:{number:045}").as_bytes(), answer)).collect();
        let mut connection = connection.clone();
        callers.spawn(async move {
            for set in sets {
                set.exec_async(&mut connection).await?;
            }
            Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(())
}

fn key(number: u64) -> Key {
    let mut digest = [0; 32];
    digest.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    Key::new(digest)
}
