//! The formula against a Redis Cluster of three masters on this machine.

mod observed;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Deadline, Fingerprint, Key, OnAbandoned, Owner, RedisStore, Store, Terms,
};
use idempotency_tests::{RedisCluster, RedisOptions};
use tokio::time::{Instant, sleep, sleep_until};

use super::costs::Costs;
use super::{Node, Workload};
use crate::Outcome;
use observed::Observed;

const MASTERS: usize = 3;

/// How many requests of one server may be on their way at once.
const TASKS: u64 = 32;

/// How long the idle cluster is observed, to know what it does on its own.
const IDLE: Duration = Duration::from_secs(2);

/// A load for the cluster.
#[derive(Clone, Copy, Debug, Args)]
pub struct Arguments {
    /// Stores that are connected, as so many application servers would be.
    #[arg(long, default_value_t = 4)]
    servers: u64,
    /// Requests per second that are due; the formula is asked for those that were made.
    #[arg(long, default_value_t = 2000.0)]
    requests: f64,
    /// Each request of this number is a replay: with 4, every fourth.
    #[arg(long, default_value_t = 4)]
    replay_every: u64,
    /// Bytes of an answer.
    #[arg(long, default_value_t = 250)]
    answer: usize,
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// What was said and what was seen.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Of what.
    pub figure: &'static str,
    /// What the formula says.
    pub predicted: f64,
    /// What the servers counted.
    pub measured: f64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, predicted, measured } = self;
        write!(f, "| {figure} | {predicted:.4} | {measured:.4} | {:.2} |", predicted / measured)
    }
}

/// Starts the cluster, puts the load on, and compares.
///
/// # Errors
///
/// A store that cannot be connected, or a request that fails.
pub async fn run(arguments: Arguments) -> Outcome<Vec<Compared>> {
    let cluster = RedisCluster::start_with(RedisOptions::default(), MASTERS, false, Duration::from_secs(5)).await;
    let mut stores = Vec::new();
    for _ in 0..arguments.servers {
        stores.push(RedisStore::connect(&cluster.url()).await?);
    }
    // Before it is idle: connections and buffers of the first requests are no part of what keys take.
    let load = Load::new(arguments)?;
    load.put_on(&stores, 0, Duration::from_secs(1)).await?;

    let begun = Observed::of(&cluster).await?;
    sleep(IDLE).await;
    let idle = Observed::of(&cluster).await? - begun;
    let before = Observed::of(&cluster).await?;
    let (requests, took) = load.put_on(&stores, 1, Duration::from_secs_f64(arguments.seconds)).await?;
    let seen = Observed::of(&cluster).await? - before;
    Ok(load.compare(requests, took, seen, idle))
}

#[derive(Debug)]
struct Load {
    arguments: Arguments,
    answer: Bytes,
    terms: Terms,
}

impl Load {
    fn new(arguments: Arguments) -> Outcome<Self> {
        let terms = Terms::new(Duration::from_secs(30), Duration::from_secs(24 * 60 * 60))?;
        Ok(Self { answer: vec![b'a'; arguments.answer].into(), terms, arguments })
    }

    /// Sends requests at their times, with keys that no other phase has; how many there were, and in how many seconds.
    async fn put_on(&self, stores: &[RedisStore], phase: u8, time: Duration) -> Outcome<(f64, f64)> {
        let begun = Instant::now();
        let done = AtomicU64::new(0);
        let tasks = (0_u64..).zip(stores).flat_map(|(server, store)| (0..TASKS).map(move |task| (server, store, task)));
        let senders = tasks.map(|(server, store, task)| {
            let name = [u64::from(phase), server, task];
            self.send(store, name, begun, time, &done)
        });
        futures_util::future::try_join_all(senders).await?;
        Ok((count(done.load(Ordering::Relaxed)), begun.elapsed().as_secs_f64()))
    }

    /// One of many senders, each with its share of the rate.
    async fn send(
        &self,
        store: &RedisStore,
        name: [u64; 3],
        begun: Instant,
        time: Duration,
        done: &AtomicU64,
    ) -> Outcome {
        let senders = count(self.arguments.servers * TASKS);
        let pause = senders / self.arguments.requests;
        let [_, server, task] = name;
        let offset = count(server + task * self.arguments.servers) / senders;
        let mut number = 0;
        loop {
            let due = Duration::from_secs_f64(pause * (count(number) + offset));
            if due >= time {
                return Ok(());
            }
            sleep_until(begun + due).await;
            self.request(store, name, number).await?;
            done.fetch_add(1, Ordering::Relaxed);
            number += 1;
        }
    }

    /// A first request, or again the one before it.
    async fn request(&self, store: &RedisStore, [phase, server, task]: [u64; 3], number: u64) -> Outcome {
        let is_replay = number % self.arguments.replay_every == self.arguments.replay_every - 1;
        let asked = number - u64::from(is_replay);
        let mut digest = [0; 32];
        for (to, from) in digest.chunks_exact_mut(8).zip([phase, server, task, asked]) {
            to.copy_from_slice(&from.to_be_bytes());
        }
        let attempt =
            Attempt { key: Key::new(digest), owner: Owner::random()?, fingerprint: Fingerprint::new([3; 32]) };
        let claim = Claim { attempt, terms: self.terms, high_water: None, on_abandoned: OnAbandoned::default() };
        let deadline = || Deadline::after(Duration::from_secs(10));
        match store.claim(&claim, deadline()).await? {
            Claimed::Acquired { grant, .. } if !is_replay => {
                let answer = Answer::Kept(self.answer.clone()).into();
                store.complete(&grant, &answer, deadline()).await?;
                Ok(())
            }
            Claimed::Completed(_) if is_replay => Ok(()),
            other => Err(format!("unexpected: {other:?}").into()),
        }
    }

    /// The formula for the load that there was, beside what was seen of it.
    fn compare(&self, requests: f64, took: f64, seen: Observed, idle: Observed) -> Vec<Compared> {
        let Arguments { servers, replay_every, answer, .. } = self.arguments;
        let workload = Workload {
            servers: count(servers),
            requests: requests / took,
            replays: 1.0 / count(replay_every),
            // All keys are still there.
            retention: took,
            answer: count(u64::try_from(answer).unwrap_or(u64::MAX)),
            replicas: 0.0,
            wait: None,
        };
        let masters = 3.0;
        let needs = workload.needs(&Costs::MEASURED, Node { load: 1.0, memory: f64::INFINITY }, Some(masters));
        let idle = |figure: fn(&Observed) -> f64| figure(&idle) / IDLE.as_secs_f64() * took;
        let of = |figure: fn(&Observed) -> f64| (figure(&seen) - idle(figure)) / took;
        let row = |figure, predicted, measured| Compared { figure, predicted, measured };
        vec![
            row("commands/s", needs.commands, of(|seen| seen.commands)),
            row("Redis CPU, seen (cores)", needs.cpu, of(|seen| seen.cpu)),
            row("memory per key (bytes)", needs.memory / needs.keys, seen.memory / seen.keys),
            row("keys", needs.keys, seen.keys),
            row("to Redis (MB/s)", needs.bytes_in / 1e6, of(|seen| seen.bytes_in) / 1e6),
            row("from Redis (MB/s)", needs.bytes_out / 1e6, of(|seen| seen.bytes_out) / 1e6),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
const fn count(number: u64) -> f64 {
    number as f64
}
