//! The failure scenarios, each a test named after its number. `tests/README.md` says which is where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod callers;
mod claim;
mod disconnect;
mod owner_life;
mod response;
mod shutdown;
mod store_down;
