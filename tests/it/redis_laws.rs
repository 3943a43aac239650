//! The laws of a store on Redis, as it is, boxed and encrypted, and random histories beside the pure model.

use std::collections::BTreeMap;
use std::env;

use idempotency_store::conformance::{Fixture, history};
use idempotency_tests::Redis;

idempotency_store::conformance!(Redis);

mod boxed {
    idempotency_store::conformance!(idempotency_store::conformance::Boxed<super::Redis>);
}

mod encrypted {
    idempotency_store::conformance!(idempotency_store::conformance::Encrypted<super::Redis>);
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

/// `HISTORY_STEPS=1000000 HISTORY_SEED=7` takes more steps, of a seed that is printed.
#[tokio::test]
async fn the_redis_store_follows_the_model() {
    let seed = setting("HISTORY_SEED").unwrap_or(1);
    let total: usize = setting("HISTORY_STEPS").unwrap_or(5_000);
    let mut steps = history::steps(seed);
    let mut replies = BTreeMap::<String, usize>::new();
    let mut taken = 0;
    while taken < total {
        let fixture = <Redis as Fixture>::open().await;
        let report = history::check(&fixture, steps.by_ref().take(500)).await;
        let report = report.unwrap_or_else(|error| panic!("redis, seed {seed}, after {taken} steps: {error}"));
        taken += report.steps;
        for (reply, times) in report.replies {
            *replies.entry(reply).or_default() += times;
        }
    }
    println!("redis: seed {seed}, {taken} steps, no divergence: {replies:#?}");
}
