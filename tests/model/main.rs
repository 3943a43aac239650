//! The protocol of one key, checked in every interleaving. `README.md` beside this file says what is modelled, what is
//! left out, and what was found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stdout, reason = "each test says how many states it has seen, and how a variant fails")]

mod check;
mod design;
mod properties;
mod sound;
mod step;
mod steps;
mod store;
mod variants;
mod world;
