//! The laws of a store on everything that a Redis store can be connected to, and as whom.

use idempotency_tests::redis_kinds::{Cluster, FunctionsOnly, On, Sentinel, Smallest, Tls};

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
