//! A store of one's own in forty lines, and the suite of laws run on it.
//!
//! `cargo run --example custom_store --features conformance` shows it at work;
//! `cargo test --example custom_store --features conformance` runs the suite.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idempotency_store::record::{Record, Transition};
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Clock, Deadline, DeadlinePassed, Fingerprint, Key, Listed, OnAbandoned, Owner,
    Scanned, SteadyClock, Store, StoreError, StoreTime, Terms, Transact,
};

/// Records in a sorted map. Its time is an input, so that tests can move it.
struct MapStore {
    records: Mutex<BTreeMap<Key, Record>>,
    clock: Arc<dyn Clock>,
}

impl MapStore {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { records: Mutex::default(), clock }
    }
}

impl Transact for MapStore {
    async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        if deadline.is_past() {
            return Err(StoreError::not_applied("map", DeadlinePassed));
        }
        // The guard makes it atomic: nobody reads or writes between the record that is seen and the one that is written.
        let mut records = self.records.lock().map_err(|_| StoreError::not_applied("map", "a verb panicked"))?;
        let Transition { write, reply } = transition(records.get(&key), self.clock.now());
        if let Some(record) = write {
            records.insert(key, record);
        }
        Ok(reply)
    }

    async fn scan(&self, after: Option<Key>, limit: NonZeroUsize, _: Deadline) -> Result<Vec<Scanned>, StoreError> {
        let records = self.records.lock().map_err(|_| StoreError::not_applied("map", "a verb panicked"))?;
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

fn arrival() -> Result<Claim, Box<dyn Error>> {
    let attempt = Attempt { key: Key::new([1; 32]), owner: Owner::random()?, fingerprint: Fingerprint::new([2; 32]) };
    let terms = Terms::new(Duration::from_secs(30), Duration::from_secs(24 * 60 * 60))?;
    Ok(Claim { attempt, terms, high_water: None, on_abandoned: OnAbandoned::Refuse })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = MapStore::new(Arc::new(SteadyClock::new()));
    let soon = || Deadline::after(Duration::from_secs(3));
    let first = store.claim(&arrival()?, soon()).await?;
    println!("the first arrival:  {first:?}");
    println!("a duplicate:        {:?}", store.claim(&arrival()?, soon()).await?);
    if let Claimed::Acquired { grant, .. } = first {
        println!("the answer:         {:?}", store.complete(&grant, &Answer::Kept("201".into()).into(), soon()).await?);
    }
    println!("a later retry:      {:?}", store.claim(&arrival()?, soon()).await?);
    Ok(())
}

#[cfg(test)]
mod laws {
    use super::{Arc, Duration, MapStore};
    use idempotency_store::ManualClock;
    use idempotency_store::conformance::Fixture;

    struct Map {
        store: MapStore,
        clock: Arc<ManualClock>,
    }

    impl Fixture for Map {
        type Store = MapStore;

        async fn open() -> Self {
            let clock = Arc::new(ManualClock::new());
            Self { store: MapStore::new(Arc::<ManualClock>::clone(&clock)), clock }
        }

        fn store(&self) -> &MapStore {
            &self.store
        }

        async fn advance(&self, duration: Duration) {
            self.clock.advance(duration);
        }
    }

    idempotency_store::conformance!(Map);
}
