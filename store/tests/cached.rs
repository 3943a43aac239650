//! The laws of every store, on the memory store and the embedded store behind a cache of replays, and on a cache in front of
//! an encrypted store and behind one.
#![cfg(all(feature = "cache", feature = "encrypt", feature = "memory", feature = "embedded", feature = "conformance"))]

mod fixtures;

use idempotency_store::conformance::{Boxed, Cached, Encrypted};

mod memory {
    idempotency_store::conformance!(super::Cached<super::fixtures::Memory>);
}

mod embedded {
    idempotency_store::conformance!(super::Cached<super::fixtures::Embedded>);
}

/// A service that chooses its store at run time and keeps what that replays.
mod of_a_box {
    idempotency_store::conformance!(super::Cached<super::Boxed<super::fixtures::Memory>>);
}

/// What is kept is sealed.
mod behind_the_encryption {
    idempotency_store::conformance!(super::Encrypted<super::Cached<super::fixtures::Memory>>);
}

/// What is kept is in the clear.
mod in_front_of_the_encryption {
    idempotency_store::conformance!(super::Cached<super::Encrypted<super::fixtures::Memory>>);
}
