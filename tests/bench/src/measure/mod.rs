//! How figures come about: processes that are started, loaded and looked at from outside.

mod alternate;
mod cpu;
mod deterministic;
mod leg;
mod process;
mod redis_server;
mod spread;
pub mod store;
mod valgrind;

pub use alternate::{Pairs, alternate};
pub use deterministic::{allocations, bytes_per_key, bytes_per_plain_key, commands, sent};
pub use leg::{Leg, Subject, run};
pub use process::{Server, Wrapper, program};
pub use redis_server::{Program, RedisServer};
pub use spread::Spread;
pub use valgrind::{instructions, listing, syscalls};

use std::sync::atomic::{AtomicU32, Ordering};

/// A number that no load of this process had before, so that no key is met twice.
fn seed() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
