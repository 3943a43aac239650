//! What a request takes of allocator, kernel and Redis: counts that do not depend on the machine's speed.

use super::row::Bound::{AtMost, Exactly};
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::{self, Spread, Subject};
use crate::server::Kind;

/// The answer's size of row 13.
const ANSWER: usize = 200;

pub(super) fn allocations(bench: &Bench) -> Outcome<Row> {
    let of = |subject| measure::allocations(&subject, &bench.redis);
    let (first, floor) = (of(Subject::first(Kind::Redis))?, of(Subject::first(Kind::Floor))?);
    let replay = of(Subject::replay(Kind::Redis))?;
    let above = format!("first request above the floor ({first:.1} - {floor:.1})");
    let checks = [
        Check::new(&above, AtMost(6.0), Some(Spread::one(first - floor))),
        Check::new("replay", AtMost(36.0), Some(Spread::one(replay))),
    ];
    Ok(Row::new(8, "allocations", checks))
}

pub(super) fn commands(bench: &Bench) -> Outcome<Row> {
    let of = |subject| measure::commands(&subject, &bench.redis).map(Spread::one);
    let checks = [
        Check::new("first request", Exactly(2.0), Some(of(Subject::first(Kind::Redis))?)),
        Check::new("replay", Exactly(1.0), Some(of(Subject::replay(Kind::Redis))?)),
    ];
    Ok(Row::new(9, "Redis commands", checks))
}

pub(super) fn syscalls(bench: &Bench) -> Outcome<Row> {
    let of = |subject| measure::syscalls(&subject, &bench.redis, bench.effort.requests).map(Spread::one);
    let bare = of(Subject::first(Kind::Bare))?;
    let checks = [
        Check::new("first request", AtMost(2.7), Some(of(Subject::first(Kind::Redis))?)),
        Check::new("replay", AtMost(2.4), Some(of(Subject::replay(Kind::Redis))?)),
    ];
    Ok(Row::new(10, &format!("system calls at 16 connections (bare axum {bare})"), checks))
}

pub(super) fn bytes_per_key(bench: &Bench) -> Outcome<Row> {
    let key = measure::bytes_per_key(ANSWER, &bench.redis)?;
    let plain = measure::bytes_per_plain_key(ANSWER, &bench.redis)?;
    let figure = format!("bytes per key in Redis, answer of 200 bytes / the answer alone ({key:.0} / {plain:.0})");
    Ok(Row::new(13, &figure, [Check::new("", AtMost(1.09), Some(Spread::one(key / plain)))]))
}
