//! The laws of every store, on the memory store and on its boxed twin.
#![cfg(all(feature = "memory", feature = "conformance"))]

mod fixtures;

idempotency_store::conformance!(fixtures::Memory);

mod boxed {
    idempotency_store::conformance!(idempotency_store::conformance::Boxed<super::fixtures::Memory>);
}
