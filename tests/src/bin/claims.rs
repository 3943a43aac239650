//! How many first claims per second a pair of servers takes, with and without a wait for the replica, in alternating runs:
//! `cargo run --release -p idempotency-tests --bin claims`.

#![allow(clippy::print_stdout, reason = "a program that reports")]
#![allow(clippy::expect_used, reason = "what cannot be measured is not measured")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use idempotency_store::{
    Attempt, Claim, Claimed, Deadline, Durability, Fingerprint, Key, OnAbandoned, Owner, RedisConfig, RedisStore,
    Store, Terms,
};
use idempotency_tests::{RedisOptions, RedisPair};

const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

/// A claim of a key that nobody else has.
fn fresh() -> Claim {
    let owner = Owner::random().expect("random bytes");
    let mut key = [0; 32];
    key.iter_mut().zip(owner.as_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
    let attempt = Attempt { key: Key::new(key), owner, fingerprint: Fingerprint::new([7; 32]) };
    Claim { attempt, terms: Terms::default(), high_water: None, on_abandoned: OnAbandoned::Refuse }
}

/// Claims per second of callers who each wait for one before the next.
async fn rate(store: &RedisStore) -> f64 {
    let (granted, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let callers = (0..CALLERS).map(|_| {
        let (store, granted) = (store.clone(), Arc::clone(&granted));
        tokio::spawn(async move {
            while begun.elapsed() < ROUND {
                let claimed = store.claim(&fresh(), Deadline::after(ROUND)).await.expect("a server that answers");
                assert!(matches!(claimed, Claimed::Acquired { .. }), "the key is new");
                granted.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller ends");
    }
    let granted = u32::try_from(granted.load(Ordering::Relaxed)).expect("not that many");
    f64::from(granted) / begun.elapsed().as_secs_f64()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let pair = RedisPair::start(RedisOptions::default(), 1).await;
    let config = RedisConfig::new(&pair.master().url()).expect("its own address");
    let connect = |durability| RedisStore::connect_with(config.clone().durability(durability));
    let local = connect(Durability::Local).await.expect("a pair of its own");
    let waiting = connect(Durability::Replicated { replicas: 1 }).await.expect("a pair of its own");
    for round in 1..=ROUNDS {
        let (without, with) = (rate(&local).await, rate(&waiting).await);
        println!("round {round}: {without:.0}/s without WAIT, {with:.0}/s with WAIT 1, ratio {:.2}", with / without);
    }
}
