//! The laws of a store on everything that a Redis store can be connected to, whatever it is and as whom.

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
