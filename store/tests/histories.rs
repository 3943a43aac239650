//! Random histories: on the pure transitions alone, on the memory store and on the embedded store.
//!
//! A few thousand steps by default. `HISTORY_STEPS=1000000 HISTORY_SEED=7 cargo test --release --test histories` takes more,
//! of a seed that is printed; `TMPDIR=/dev/shm` spares the disk.
#![cfg(all(feature = "memory", feature = "embedded", feature = "conformance"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its seed"
)]

mod fixtures;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::ops::Bound::{Excluded, Unbounded};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idempotency_store::conformance::history::{self, Step};
use idempotency_store::conformance::{Boxed, Fixture, run};
use idempotency_store::record::{Record, Transition};
use idempotency_store::{Clock, Deadline, Key, Listed, ManualClock, Scanned, StoreError, StoreTime, Transact};
use proptest::prelude::*;

/// The pure transitions over a map: what every other store is compared with, compared with itself on another clock.
struct Pure {
    records: Mutex<BTreeMap<Key, Record>>,
    clock: ManualClock,
}

impl Transact for Pure {
    async fn transact<R, F>(&self, key: Key, _: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        let mut records = self.records.lock().unwrap();
        let Transition { write, reply } = transition(records.get(&key), self.clock.now());
        records.extend(write.map(|record| (key, record)));
        Ok(reply)
    }

    async fn scan(&self, after: Option<Key>, limit: NonZeroUsize, _: Deadline) -> Result<Vec<Scanned>, StoreError> {
        let records = self.records.lock().unwrap();
        let now = self.clock.now();
        let behind = records.range((after.map_or(Unbounded, Excluded), Unbounded)).take(limit.get());
        Ok(behind.map(|(key, record)| Scanned::Record(Listed::new(*key, record, now))).collect())
    }

    fn now(&self) -> StoreTime {
        self.clock.now()
    }

    async fn ping(&self, _: Deadline) -> Result<(), StoreError> {
        Ok(())
    }
}

struct PureFixture(Arc<Pure>);

impl Fixture for PureFixture {
    type Store = Arc<Pure>;

    async fn open() -> Self {
        Self(Arc::new(Pure { records: Mutex::default(), clock: ManualClock::new() }))
    }

    fn store(&self) -> &Arc<Pure> {
        &self.0
    }

    async fn advance(&self, duration: Duration) {
        self.0.clock.advance(duration);
    }
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Takes the steps of one seed on one store, in histories of some hundred steps on fresh keys each.
fn of_one_seed<F: Fixture>(store: &str, by_default: usize) -> BTreeMap<String, usize> {
    const HISTORY: usize = 500;
    let seed = setting("HISTORY_SEED").unwrap_or(1);
    let total: usize = setting("HISTORY_STEPS").unwrap_or(by_default);
    let mut replies = BTreeMap::<String, usize>::new();
    let mut taken = 0;
    run(async {
        let fixture = F::open().await;
        let mut steps = history::steps(seed);
        while taken < total {
            let report = history::check(&fixture, steps.by_ref().take(HISTORY)).await;
            let report = report.unwrap_or_else(|error| panic!("{store}, seed {seed}, after {taken} steps: {error}"));
            taken += report.steps;
            for (reply, times) in report.replies {
                *replies.entry(reply).or_default() += times;
            }
        }
    });
    let mut table = format!("{store}: seed {seed}, {taken} steps, no divergence\n");
    for (reply, times) in &replies {
        writeln!(table, "{times:>9} {reply}").unwrap();
    }
    println!("{table}");
    replies
}

#[test]
fn the_pure_transitions_keep_the_watched_laws() {
    let replies = of_one_seed::<PureFixture>("pure", 100_000);
    if setting::<usize>("HISTORY_STEPS").is_some_and(|steps| steps < 100_000) {
        return;
    }
    // Histories that do not meet every reply prove little. These are all that there are.
    let expected = [
        (
            "claim",
            &["acquired", "acquired by take-over", "in flight", "completed", "mismatch", "indeterminate", "stale"][..],
        ),
        ("renew", &["held", "recreated"]),
        ("complete", &["recorded", "recreated"]),
        ("checkpoint", &["held"]),
        ("release", &["released", "indeterminate", "absent"]),
        ("abandon", &["abandoned"]),
        ("resolve", &["resolved", "conflict"]),
        ("inspect", &["InFlight", "Completed", "Indeterminate", "Released", "nothing"]),
        ("erase", &["erased", "in flight", "conflict", "absent"]),
    ];
    let losses = ["in flight", "completed", "indeterminate", "released", "mismatch", "absent"];
    for (verb, named) in expected {
        for reply in named {
            assert!(replies.contains_key(&format!("{verb}: {reply}")), "no history met `{verb}: {reply}`");
        }
        let lossless = |loss: &str| {
            matches!(verb, "claim" | "resolve" | "inspect" | "erase") || (verb == "release" && loss == "absent")
        };
        for loss in losses.into_iter().filter(|loss| !lossless(loss)) {
            assert!(replies.contains_key(&format!("{verb}: lost, {loss}")), "no history met `{verb}: lost, {loss}`");
        }
    }
}

#[test]
fn the_memory_store_follows_the_model() {
    of_one_seed::<fixtures::Memory>("memory", 100_000);
}

#[test]
fn the_boxed_store_follows_the_model() {
    of_one_seed::<Boxed<fixtures::Memory>>("boxed", 10_000);
}

#[test]
fn the_embedded_store_follows_the_model() {
    of_one_seed::<fixtures::Embedded>("embedded", 3_000);
}

#[cfg(feature = "encrypt")]
mod encrypted {
    use idempotency_store::conformance::{Boxed, Encrypted};

    use super::{fixtures, of_one_seed};

    #[test]
    fn the_encrypted_memory_store_follows_the_model() {
        of_one_seed::<Encrypted<fixtures::Memory>>("encrypted memory", 30_000);
    }

    #[test]
    fn the_encrypted_boxed_store_follows_the_model() {
        of_one_seed::<Encrypted<Boxed<fixtures::Memory>>>("encrypted boxed", 10_000);
    }

    #[test]
    fn the_encrypted_embedded_store_follows_the_model() {
        of_one_seed::<Encrypted<fixtures::Embedded>>("encrypted embedded", 1_500);
    }
}

#[cfg(all(feature = "cache", feature = "encrypt"))]
mod cached {
    use idempotency_store::conformance::{Cached, Encrypted};

    use super::{fixtures, of_one_seed};

    #[test]
    fn the_cached_memory_store_follows_the_model() {
        of_one_seed::<Cached<fixtures::Memory>>("cached memory", 100_000);
    }

    #[test]
    fn the_encrypted_cached_store_follows_the_model() {
        of_one_seed::<Encrypted<Cached<fixtures::Memory>>>("encrypted cached", 10_000);
    }
}

/// A history that shrinks: fewer steps, and simpler ones.
fn any_history() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), 0..60)
}

fn diverges<F: Fixture>(history: Vec<u64>) -> Result<(), TestCaseError> {
    let mut result = Ok(history::Report::default());
    run(async {
        let fixture = F::open().await;
        result = history::check(&fixture, history.into_iter().map(Step::from)).await;
    });
    result.map(|_| ()).map_err(|divergence| TestCaseError::fail(divergence.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_parts_the_pure_transitions_from_the_model(history in any_history()) {
        diverges::<PureFixture>(history)?;
    }

    #[test]
    fn no_history_parts_the_memory_store_from_the_model(history in any_history()) {
        diverges::<fixtures::Memory>(history)?;
    }
}

proptest! {
    // Each case opens a file and commits to the disk for every step.
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_parts_the_embedded_store_from_the_model(history in any_history()) {
        diverges::<fixtures::Embedded>(history)?;
    }
}
