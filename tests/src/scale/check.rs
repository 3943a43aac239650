//! The formula against a Redis Cluster of three masters on this machine.

mod observed;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::{RedisCluster, RedisOptions};
use bytes::Bytes;
use clap::Args;
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Deadline, Fingerprint, Key, OnAbandoned, Owner, RedisStore, Store, Terms,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::Outcome;
use super::costs::Costs;
use super::{Node, Workload};
use observed::Observed;

const MASTERS: usize = 3;

/// Far more than a busy machine keeps a node waiting.
const NODE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many requests of one server may be on their way at once.
const TASKS: u64 = 32;

/// How often a `WAIT` is tried during the load, to know how long it takes.
const WAITS: u32 = 200;

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
    /// Each master has a replica, which claims wait for.
    #[arg(long)]
    replicas: bool,
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
    let cluster = RedisCluster::start_with(RedisOptions::default(), MASTERS, arguments.replicas, NODE_TIMEOUT).await;
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
    let time = Duration::from_secs_f64(arguments.seconds);
    let probe = async { if arguments.replicas { time_of_wait(&cluster, time).await.map(Some) } else { Ok(None) } };
    let (done, wait) = tokio::try_join!(load.put_on(&stores, 1, time), probe)?;
    let seen = Observed::of(&cluster).await? - before;
    Ok(load.compare(&done, wait, &seen, &idle))
}

/// How long a write waits for its replica, in seconds, tried now and then while the load is on.
async fn time_of_wait(cluster: &RedisCluster, time: Duration) -> Outcome<f64> {
    let mut connection = cluster.node(0).connection().await;
    let mut waited = Duration::ZERO;
    for _ in 0..WAITS {
        sleep(time / WAITS).await;
        let begun = Instant::now();
        let mut both = redis::pipe();
        // The slot of this name is the first master's.
        both.cmd("SET").arg("{06S}").arg(1).ignore().cmd("WAIT").arg(1).arg(1000).ignore();
        both.query_async::<()>(&mut connection).await?;
        waited += begun.elapsed();
    }
    Ok((waited / WAITS).as_secs_f64())
}

/// What was put on.
#[derive(Debug, Default)]
struct Done {
    requests: AtomicU64,
    replays: AtomicU64,
    seconds: f64,
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

    /// Sends requests at their times, with keys that no other phase has.
    async fn put_on(&self, stores: &[RedisStore], phase: u8, time: Duration) -> Outcome<Done> {
        let begun = Instant::now();
        let done = Done::default();
        let tasks = (0_u64..).zip(stores).flat_map(|(server, store)| (0..TASKS).map(move |task| (server, store, task)));
        let senders = tasks.map(|(server, store, task)| {
            let name = [u64::from(phase), server, task];
            self.send(store, name, begun, time, &done)
        });
        futures_util::future::try_join_all(senders).await?;
        Ok(Done { seconds: begun.elapsed().as_secs_f64(), ..done })
    }

    /// One of many senders, each with its share of the rate.
    async fn send(&self, store: &RedisStore, name: [u64; 3], begun: Instant, time: Duration, done: &Done) -> Outcome {
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
            let is_replay = self.request(store, name, number).await?;
            done.requests.fetch_add(1, Relaxed);
            done.replays.fetch_add(u64::from(is_replay), Relaxed);
            number += 1;
        }
    }

    /// A first request, or again the one before it; which of them.
    async fn request(&self, store: &RedisStore, [phase, server, task]: [u64; 3], number: u64) -> Outcome<bool> {
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
                Ok(false)
            }
            Claimed::Completed(_) if is_replay => Ok(true),
            other => Err(format!("unexpected: {other:?}").into()),
        }
    }

    /// The formula for the load that there was, beside what was seen of it.
    fn compare(&self, done: &Done, wait: Option<f64>, seen: &Observed, idle: &Observed) -> Vec<Compared> {
        let Arguments { servers, answer, .. } = self.arguments;
        let (requests, took) = (count(done.requests.load(Relaxed)), done.seconds);
        let workload = Workload {
            servers: count(servers),
            requests: requests / took,
            replays: count(done.replays.load(Relaxed)) / requests,
            // All keys are still there.
            retention: took,
            answer: count(u64::try_from(answer).unwrap_or(u64::MAX)),
            replicas: f64::from(u8::from(wait.is_some())),
            wait,
        };
        let masters = 3.0;
        let needs = workload.needs(&Costs::MEASURED, Node { load: 1.0, memory: f64::INFINITY }, Some(masters));
        let idle = |figure: fn(&Observed) -> f64| figure(idle) / IDLE.as_secs_f64() * took;
        let of = |figure: fn(&Observed) -> f64| (figure(seen) - idle(figure)) / took;
        let row = |figure, predicted, measured| Compared { figure, predicted, measured };
        let tried = wait.map_or(0.0, |_| f64::from(WAITS) / took);
        let waits = of(|seen| seen.waits) - tried;
        let all = [
            row("commands/s", needs.commands, of(|seen| seen.commands) - tried + waits),
            row("Redis CPU, seen (cores)", needs.cpu, of(|seen| seen.cpu)),
            row(
                "memory per key (bytes)",
                needs.memory / needs.keys / (1.0 + workload.replicas),
                seen.memory / seen.keys,
            ),
            row("keys", needs.keys, seen.keys),
            row("to Redis (MB/s)", needs.bytes_in / 1e6, of(|seen| seen.bytes_in) / 1e6),
            row("from Redis (MB/s)", needs.bytes_out / 1e6, of(|seen| seen.bytes_out) / 1e6),
        ];
        let waiting = needs.claims_per_wait.map(|claims| {
            let replicated = of(|seen| seen.bytes_replicated) / 1e6;
            [
                row("to replicas (MB/s)", needs.bytes_replicated / 1e6, replicated),
                row("claims per WAIT", claims, needs.first / waits),
            ]
        });
        all.into_iter().chain(waiting.into_iter().flatten()).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
const fn count(number: u64) -> f64 {
    number as f64
}
