//! The laws of every store, on the embedded store and on its boxed twin.
#![cfg(all(feature = "embedded", feature = "conformance"))]

mod fixtures;

idempotency_store::conformance!(fixtures::Embedded);

mod boxed {
    idempotency_store::conformance!(idempotency_store::conformance::Boxed<super::fixtures::Embedded>);
}
