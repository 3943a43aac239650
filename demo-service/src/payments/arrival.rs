//! When a request arrived, by both clocks of this process.
//!
//! A bound that another host is to keep is written in wall-clock time, and has to count from the claim. Reading the wall
//! clock when the bound is written would not do: a host that was suspended after the claim has a monotonic clock that stood
//! still, and so takes the lease for fresh. The wall clock was read when the request arrived, which is before the claim;
//! what passed between the two is taken from the monotonic clock. That can only make the bound earlier.

use std::time;

use tokio::time::Instant;

use super::charging::millis;
use crate::bank::clock;

/// In the extensions of each request that is authenticated, before the idempotency layer looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Milliseconds since the Unix epoch.
    wall: u64,
    monotonic: time::Instant,
}

impl Arrival {
    /// A request arrives.
    pub(super) fn now() -> Self {
        Self { wall: clock::now(), monotonic: Instant::now().into_std() }
    }

    /// What the wall clock showed at this later moment, or earlier: milliseconds since the Unix epoch.
    pub(super) fn wall_at(self, moment: time::Instant) -> u64 {
        self.wall.saturating_add(millis(moment.saturating_duration_since(self.monotonic)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_from_the_arrival_whatever_the_wall_clock_shows_since() {
        let before = Instant::now().into_std();
        let began = before + Duration::from_millis(1);
        let arrival = Arrival { wall: 1_000, monotonic: began };
        assert_eq!(arrival.wall_at(began), 1_000);
        assert_eq!(arrival.wall_at(began + Duration::from_millis(250)), 1_250);
        assert_eq!(arrival.wall_at(before), 1_000);
    }
}
