//! Pauses between attempts, which grow and are drawn at random, so that many servers do not come back at once.

use std::time::{Duration, Instant};

use crate::Deadline;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(2);

/// When the next attempt may be made.
#[derive(Debug)]
pub(super) struct Pause {
    not_before: Instant,
    next: Duration,
}

impl Pause {
    /// No pause: the first attempt may be made at once.
    pub(super) fn new() -> Self {
        Self { not_before: Instant::now(), next: FIRST }
    }

    /// Doubles the pause, and draws it between half and the whole.
    pub(super) fn lengthen(&mut self) {
        let spread = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let half = self.next / 2;
        self.not_before = Instant::now() + half + half.mul_f64(spread);
        self.next = (self.next * 2).min(LONGEST);
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        tokio::time::sleep_until(self.not_before.into()).await;
    }

    /// Whether it is not over by this deadline.
    pub(super) fn outlasts(&self, deadline: Deadline) -> bool {
        self.not_before >= Instant::now() + deadline.remaining()
    }
}
