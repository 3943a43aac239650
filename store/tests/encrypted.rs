//! The laws of every store, on the encrypted memory store, on the encrypted embedded store, and boxed on either side.
#![cfg(all(feature = "encrypt", feature = "memory", feature = "embedded", feature = "conformance"))]

mod fixtures;

mod memory {
    idempotency_store::conformance!(idempotency_store::conformance::Encrypted<super::fixtures::Memory>);
}

mod embedded {
    idempotency_store::conformance!(idempotency_store::conformance::Encrypted<super::fixtures::Embedded>);
}

/// Sealed behind the box, as a service does that chooses its store at run time.
mod of_a_box {
    use idempotency_store::conformance::{Boxed, Encrypted};

    idempotency_store::conformance!(Encrypted<Boxed<super::fixtures::Memory>>);
}

/// Sealed in front of it.
mod boxed {
    use idempotency_store::conformance::{Boxed, Encrypted};

    idempotency_store::conformance!(Boxed<Encrypted<super::fixtures::Embedded>>);
}

/// Sealed twice.
mod nested {
    use idempotency_store::conformance::Encrypted;

    idempotency_store::conformance!(Encrypted<Encrypted<super::fixtures::Memory>>);
}
