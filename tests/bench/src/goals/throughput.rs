//! Requests per second against those of another server, in alternating pairs.

use super::row::Bound::{AtLeast, AtMost};
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::{Pairs, Subject, alternate};
use crate::server::Kind;

/// The body of row 15.
const LARGE: usize = 64 * 1024;

impl Bench {
    pub(super) fn pairs(&self, one: Subject, other: Subject) -> Outcome<Pairs> {
        let seconds = self.effort.seconds;
        let [one, other] = [one, other].map(|subject| Subject { seconds, ..subject });
        alternate(&one, &other, &self.redis, self.effort.pairs)
    }
}

pub(super) fn first_over_floor(bench: &Bench) -> Outcome<Row> {
    let pairs = bench.pairs(Subject::first(Kind::Redis), Subject::first(Kind::Floor))?;
    let checks = [
        Check::new("req/s", AtLeast(0.97), pairs.throughput()),
        Check::new("server CPU", AtMost(1.04), pairs.ratio(|leg| leg.server_us)),
    ];
    Ok(Row::new(1, "first request / floor with the same two commands", checks))
}

pub(super) fn replay_over_floor(bench: &Bench) -> Outcome<Row> {
    let pairs = bench.pairs(Subject::replay(Kind::Redis), Subject::replay(Kind::Floor))?;
    let checks = [Check::new("req/s", AtLeast(1.0), pairs.throughput())];
    Ok(Row::new(2, "replay / floor with the one command", checks))
}

pub(super) fn replay_over_bare(bench: &Bench) -> Outcome<Row> {
    let pairs = bench.pairs(Subject::replay(Kind::Redis), Subject::replay(Kind::Bare))?;
    Ok(Row::new(3, "replay / bare axum", [Check::new("req/s", AtLeast(0.72), pairs.throughput())]))
}

pub(super) fn first_over_bare(bench: &Bench) -> Outcome<Row> {
    let pairs = bench.pairs(Subject::first(Kind::Redis), Subject::first(Kind::Bare))?;
    Ok(Row::new(4, "first request / bare axum", [Check::new("req/s", AtLeast(0.48), pairs.throughput())]))
}

pub(super) fn embedded_over_redis(bench: &Bench) -> Outcome<Row> {
    let pairs = bench.pairs(Subject::first(Kind::Embedded), Subject::first(Kind::Redis))?;
    let checks = [
        Check::new("req/s", AtLeast(0.55), pairs.throughput()),
        Check::new("req/s, the stretch", AtLeast(0.75), pairs.throughput()),
    ];
    Ok(Row::new(14, "first request on the embedded store, durable / on Redis", checks))
}

pub(super) fn large_body(bench: &Bench) -> Outcome<Row> {
    let large = |subject: Subject| Subject { body: LARGE, ..subject };
    let of = |kind| bench.pairs(large(Subject::first(kind)), large(Subject::first(Kind::Bare)));
    let (keyed, fast) = (of(Kind::Memory)?, of(Kind::MemoryFast)?);
    let checks = [
        Check::new("req/s, keyed BLAKE3", AtLeast(0.75), keyed.throughput()),
        Check::new("req/s, fast fingerprint", AtLeast(0.85), fast.throughput()),
    ];
    Ok(Row::new(15, "request body of 64 KiB, memory store / bare axum", checks))
}
