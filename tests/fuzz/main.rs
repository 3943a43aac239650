//! Fuzz targets: what reads bytes that come from a client, a store or a server reads arbitrary ones.
//!
//! Each target is a test. Under `cargo test` it runs over its corpus, and over mutants of it that are the same every time.
//! Under `tests/fuzz/run` it is a target of libFuzzer, which looks for inputs that reach new code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target fails by panicking"
)]

mod draw;
mod fence;
mod fingerprint;
mod key;
mod mutants;
mod record;
mod recorded_answer;
mod redis_replies;
#[path = "../src/resp.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "the harness's own, of which a part is needed here")]
mod resp;

/// Makes a test of a target, whose corpus is in `__fuzz__` under the same name, with so many mutants.
macro_rules! targets {
    ($($name:ident: $mutants:expr,)*) => {$(
        #[test]
        fn $name() {
            mutants::run(stringify!($name), $name::target, $mutants);
            // The corpus alone, unless it is a fuzzer that runs it.
            bolero::check!().with_iterations(0).for_each($name::target);
        }
    )*};
}

targets! {
    fence: 20_000,
    fingerprint: 10_000,
    key: 20_000,
    record: 20_000,
    recorded_answer: 20_000,
    redis_replies: 2_000,
}
