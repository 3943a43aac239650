//! Instructions in user space, by callgrind.

use super::row::Bound::AtMost;
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::{Spread, Subject, instructions};
use crate::server::Kind;

impl Bench {
    fn instructions(&self, subject: &Subject) -> Outcome<f64> {
        instructions(subject, &self.redis, self.effort.requests)
    }
}

pub(super) fn first_above_floor(bench: &Bench) -> Outcome<Row> {
    let first = bench.instructions(&Subject::first(Kind::Redis))?;
    let floor = bench.instructions(&Subject::first(Kind::Floor))?;
    let figure = format!("instructions of a first request above the floor ({first:.0} - {floor:.0})");
    Ok(Row::new(5, &figure, [Check::new("", AtMost(3300.0), Some(Spread::one(first - floor)))]))
}

pub(super) fn pass_through(bench: &Bench) -> Outcome<Row> {
    let keyless = bench.instructions(&Subject::keyless(Kind::Redis))?;
    let layer = bench.instructions(&Subject::keyless(Kind::Layer))?;
    let wrapping = bench.instructions(&Subject::keyless(Kind::Wrapping))?;
    let figure = format!(
        "instructions without a key above an empty layer ({keyless:.0} - {layer:.0}; an empty layer with body types: {wrapping:.0})"
    );
    Ok(Row::new(6, &figure, [Check::new("", AtMost(600.0), Some(Spread::one(keyless - layer)))]))
}

pub(super) fn replay_over_bare(bench: &Bench) -> Outcome<Row> {
    let replay = bench.instructions(&Subject::replay(Kind::Redis))?;
    let bare = bench.instructions(&Subject::first(Kind::Bare))?;
    let figure = format!("instructions of a replay / bare axum ({replay:.0} / {bare:.0})");
    Ok(Row::new(7, &figure, [Check::new("", AtMost(1.30), Some(Spread::one(replay / bare)))]))
}
