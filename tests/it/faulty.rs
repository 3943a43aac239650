//! The harness's own store: without faults it keeps every law of the store behind it, with them it fails as it says.

use std::sync::Arc;
use std::time::Duration;

use idempotency_store::conformance::Fixture;
use idempotency_store::{
    Attempt, Claim, Claimed, Deadline, ErrorKind, Fingerprint, Key, ManualClock, MemoryStore, OnAbandoned, Owner,
    Store, StoreError, Terms,
};
use idempotency_tests::{Fault, Faulty, Gate, Verb};

struct Healthy {
    store: Faulty<MemoryStore>,
    clock: Arc<ManualClock>,
}

impl Fixture for Healthy {
    type Store = Faulty<MemoryStore>;

    async fn open() -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
        Self { store: Faulty::new(store), clock }
    }

    fn store(&self) -> &Faulty<MemoryStore> {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }
}

mod without_faults {
    idempotency_store::conformance!(super::Healthy);
}

/// Asks for the one key of these tests.
async fn claim(store: &impl Store, owner: u8) -> Result<Claimed, StoreError> {
    let (key, fingerprint) = (Key::new([1; 32]), Fingerprint::new([2; 32]));
    let attempt = Attempt { key, owner: Owner::new([owner; 16]), fingerprint };
    let claim = Claim { attempt, terms: Terms::default(), high_water: None, on_abandoned: OnAbandoned::Refuse };
    store.claim(&claim, Deadline::after(Duration::from_secs(10))).await
}

#[tokio::test]
async fn what_was_refused_or_lost_on_its_way_has_no_effect() {
    let store = Faulty::new(MemoryStore::new());
    for (fault, kind) in [(Fault::Refuse, ErrorKind::NotApplied), (Fault::LoseRequest, ErrorKind::Unknown)] {
        store.faults().next(2, Verb::Claim, fault);
        for owner in [1, 2] {
            assert_eq!(claim(&store, owner).await.unwrap_err().kind(), kind);
        }
    }
    assert_eq!((store.faults().called(Verb::Claim), store.faults().applied(Verb::Claim)), (4, 0));
    assert!(matches!(claim(&store, 3).await, Ok(Claimed::Acquired { .. })));
}

#[tokio::test]
async fn what_lost_its_reply_has_its_effect() {
    let store = Faulty::new(MemoryStore::new());
    store.faults().next(1, Verb::Claim, Fault::LoseReply);
    assert_eq!(claim(&store, 1).await.unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(store.faults().applied(Verb::Claim), 1);
    assert!(matches!(claim(&store, 2).await, Ok(Claimed::InFlight { .. })));
}

#[tokio::test]
async fn who_is_paused_goes_on_when_the_gate_opens() {
    let store = Faulty::new(MemoryStore::new());
    let gate = Gate::default();
    store.faults().next(1, Verb::Claim, Fault::PauseBefore(gate.clone()));
    let paused = tokio::spawn({
        let store = store.clone();
        async move { claim(&store, 1).await }
    });
    gate.arrived(1).await;
    assert_eq!(store.faults().applied(Verb::Claim), 0);
    gate.open();
    assert!(matches!(paused.await.unwrap(), Ok(Claimed::Acquired { .. })));
    assert_eq!(store.faults().applied(Verb::Claim), 1);
}
