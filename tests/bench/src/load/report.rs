//! What was measured.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// What a load came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Requests that were answered.
    pub requests: u64,
    /// How long it took, from the first request to the last answer.
    pub seconds: f64,
    /// Requests per second.
    pub per_second: f64,
    /// Answers that were no success.
    pub failures: u64,
    /// Answers that said of themselves that they are replays.
    pub replays: u64,
    /// How long answers took.
    pub latency: Latency,
}

/// How long answers took, in microseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// Pairs of a share of all answers, and the latency that so many did not exceed.
    pub distribution: Vec<(f64, f64)>,
}

/// Counts while the load is on.
#[derive(Debug)]
pub(super) struct Tally {
    /// In nanoseconds.
    latencies: Histogram<u64>,
    pub(super) failures: u64,
    pub(super) replays: u64,
}

impl Tally {
    pub(super) fn new() -> Outcome<Self> {
        // A minute at most; three digits.
        Ok(Self { latencies: Histogram::new_with_bounds(1, 60_000_000_000, 3)?, failures: 0, replays: 0 })
    }

    pub(super) fn answered(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn report(&self, took: Duration) -> Report {
        let requests = self.latencies.len();
        let seconds = took.as_secs_f64();
        Report {
            requests,
            seconds,
            per_second: count(requests) / seconds,
            failures: self.failures,
            replays: self.replays,
            latency: self.latency(),
        }
    }

    fn latency(&self) -> Latency {
        let at = |share| micros(self.latencies.value_at_quantile(share));
        let shares = (0..100).map(|percent| f64::from(percent) / 100.0).chain([0.995, 0.999, 0.9999, 1.0]);
        Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(self.latencies.max()),
            distribution: shares.map(|share| (share, at(share))).collect(),
        }
    }
}

fn micros(nanos: u64) -> f64 {
    count(nanos) / 1000.0
}

/// A count as a figure to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
pub(crate) const fn count(number: u64) -> f64 {
    number as f64
}
