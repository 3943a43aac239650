//! The table of goals: what was to be reached, what was measured, and whether it was reached.

mod ahead;
mod durability;
mod instructions;
mod latency;
mod redis_side;
mod row;
mod runs;
mod table;
mod throughput;
mod wire;

use std::collections::BTreeSet;

pub use row::{Bound, Check, Row};
pub use runs::Runs;
pub use table::Table;

use crate::Outcome;
use crate::measure::{Program, RedisServer};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Alternating pairs of each comparison.
    pub pairs: usize,
    /// How long each half of a pair takes.
    pub seconds: f64,
    /// The longer of the two runs whose difference counts, in requests.
    pub requests: u64,
    /// The rows to measure; all, if none is named.
    pub only: BTreeSet<u8>,
}

/// What rows are measured with.
struct Bench {
    redis: RedisServer,
    effort: Effort,
}

type Measure = fn(&Bench) -> Outcome<Row>;

/// All rows, in the order of the table.
const ROWS: [(u8, Measure); 18] = [
    (1, throughput::first_over_floor),
    (2, throughput::replay_over_floor),
    (3, throughput::replay_over_bare),
    (4, throughput::first_over_bare),
    (5, instructions::first_above_floor),
    (6, instructions::pass_through),
    (7, instructions::replay_over_bare),
    (8, wire::allocations),
    (9, wire::commands),
    (10, wire::syscalls),
    (11, redis_side::claim_and_complete),
    (12, redis_side::large_completion),
    (13, wire::bytes_per_key),
    (14, throughput::embedded_over_redis),
    (15, throughput::large_body),
    (16, ahead::of_axum_idempotent),
    (17, latency::above_bare),
    (18, durability::waiting_over_not),
];

/// Measures the rows, and says each time what is being measured.
///
/// # Errors
///
/// Nothing can be measured at all. A row that cannot be measured says so itself.
pub fn measure(effort: Effort, mut progress: impl FnMut(u8)) -> Outcome<Table> {
    let bench = Bench { redis: RedisServer::start(Program::System, &[])?, effort };
    let is_wanted = |number: &u8| bench.effort.only.is_empty() || bench.effort.only.contains(number);
    let mut rows = Vec::new();
    for (number, measure) in ROWS.iter().filter(|(number, _)| is_wanted(number)) {
        progress(*number);
        rows.push(measure(&bench).unwrap_or_else(|failure| Row::not_run(*number, &failure.to_string())));
    }
    Ok(Table { pairs: bench.effort.pairs, seconds: bench.effort.seconds, redis: bench.redis.version()?, rows })
}
