//! Two subjects in turn, so that what else goes on in the machine falls on both.

use serde::{Deserialize, Serialize};

use super::leg::{Leg, Subject, run};
use super::redis_server::RedisServer;
use super::spread::Spread;
use crate::Outcome;

/// What two subjects came to, pair by pair.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pairs(pub Vec<(Leg, Leg)>);

impl Pairs {
    /// The ratio of a figure of the first to that of the second, within each pair.
    pub fn ratio(&self, figure: impl Fn(&Leg) -> f64) -> Option<Spread> {
        Spread::of(self.0.iter().map(|(one, other)| figure(one) / figure(other)))
    }

    /// Requests per second.
    pub fn throughput(&self) -> Option<Spread> {
        self.ratio(|leg| leg.report.per_second)
    }
}

/// Measures both so often, each time in the other order.
///
/// # Errors
///
/// As [`run`].
pub fn alternate(one: &Subject, other: &Subject, redis: &RedisServer, pairs: usize) -> Outcome<Pairs> {
    let pair = |number: usize| -> Outcome<(Leg, Leg)> {
        if number.is_multiple_of(2) {
            let first = run(one, redis)?;
            Ok((first, run(other, redis)?))
        } else {
            let first = run(other, redis)?;
            Ok((run(one, redis)?, first))
        }
    };
    Ok(Pairs((0..pairs).map(pair).collect::<Outcome<_>>()?))
}
