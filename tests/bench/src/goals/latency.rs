//! Latency at a fixed rate, in the open loop.

use super::row::Bound::AtMost;
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::{Leg, Spread, Subject, run};
use crate::server::Kind;

/// Requests per second.
const RATE: f64 = 2_000.0;

/// What the middleware may add to two round trips, in microseconds.
const ADDED: f64 = 10.0;

/// Two round trips are what the floor takes longer than the bare handler: it sends the same two commands, one after the other.
pub(super) fn above_bare(bench: &Bench) -> Outcome<Row> {
    let median = |kind| -> Outcome<f64> {
        let subject = Subject { rate: Some(RATE), seconds: bench.effort.seconds, ..Subject::first(kind) };
        run(&subject, &bench.redis).map(|Leg { report, .. }| report.latency.p50)
    };
    let mut above = Vec::new();
    let mut medians = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..bench.effort.pairs {
        let [bare, floor, first] = [median(Kind::Bare)?, median(Kind::Floor)?, median(Kind::Redis)?];
        above.push((first - bare) - (floor - bare));
        for (all, one) in medians.iter_mut().zip([bare, floor, first]) {
            all.push(one);
        }
    }
    let [bare, floor, first] = medians.map(|values| Spread::of(values).map_or(f64::NAN, |spread| spread.median));
    let figure = format!(
        "p50 at 2,000/s in us above two round trips (bare {bare:.0}, floor {floor:.0}, first request {first:.0})"
    );
    Ok(Row::new(17, &figure, [Check::new("", AtMost(ADDED), Spread::of(above))]))
}
