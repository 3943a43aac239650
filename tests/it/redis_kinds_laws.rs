//! The laws of a store on everything that a Redis store can be connected to, whatever it is and as whom.

use idempotency_store::conformance::{Fixture, history};
use idempotency_tests::redis_kinds::{Cluster, FunctionsOnly, On, Redis8, Sentinel, Smallest, Tls, Valkey8};

mod sentinel {
    idempotency_store::conformance!(super::On<super::Sentinel>);
}

mod cluster {
    idempotency_store::conformance!(super::On<super::Cluster>);
}

mod tls {
    idempotency_store::conformance!(super::On<super::Tls>);
}

mod smallest_user {
    idempotency_store::conformance!(super::On<super::Smallest>);
}

mod functions_only {
    idempotency_store::conformance!(super::On<super::FunctionsOnly>);
}

mod redis_8 {
    idempotency_store::conformance!(super::On<super::Redis8>);
}

mod valkey_8 {
    idempotency_store::conformance!(super::On<super::Valkey8>);
}

/// Answers are recorded in another way there.
#[tokio::test]
async fn the_redis_store_follows_the_model_on_valkey_8() {
    let mut steps = history::steps(8);
    for _ in 0..4 {
        let fixture = <On<Valkey8> as Fixture>::open().await;
        let report = history::check(&fixture, steps.by_ref().take(500)).await;
        assert_eq!(report.unwrap_or_else(|error| panic!("Valkey 8, seed 8: {error}")).steps, 500);
    }
}
