//! The same server, which counts its allocations. It is a program of its own, since counting costs as much as allocating.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> idempotency_bench::Outcome {
    idempotency_bench::server::main(allocations)
}

/// Blocks that were asked for, and blocks that were asked to grow.
fn allocations() -> u64 {
    let stats = ALLOCATOR.stats();
    u64::try_from(stats.allocations.saturating_add(stats.reallocations)).unwrap_or(u64::MAX)
}
