//! An estimate of the server's time. It proposes the fence of a first claim and says when something was recorded; it
//! never decides that a lease has lapsed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::StoreTime;
use crate::record::MAX_HIGH_WATER_LEAD;

/// Wall clock and monotonic clock may differ by this much between two calibrations. More means that this process was
/// suspended or its clock stepped, and that the monotonic clock may have stood still.
const GAP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ServerClock {
    calibrated: Mutex<Calibration>,
    /// The latest time that was given, which is never gone back behind.
    latest: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Calibration {
    server: StoreTime,
    at: Instant,
    wall: SystemTime,
}

impl ServerClock {
    /// A clock that was told nothing yet.
    pub(super) fn new() -> Self {
        Self { calibrated: Mutex::new(Calibration::now(StoreTime::default())), latest: AtomicU64::new(0) }
    }

    /// The server has said what time it is.
    pub(super) fn calibrate(&self, server: StoreTime) {
        *self.calibrated.lock().unwrap_or_else(PoisonError::into_inner) = Calibration::now(server);
    }

    /// The server's time as far as it is known here. It never goes back, but from a time that no clock can be trusted with.
    pub(super) fn now(&self) -> StoreTime {
        let calibrated = self.calibration();
        self.estimate(calibrated, calibrated.at.elapsed())
    }

    /// The same, unless time may have passed that the monotonic clock did not count.
    pub(super) fn read(&self) -> Option<StoreTime> {
        let calibrated = self.calibration();
        let walked = calibrated.at.elapsed();
        let wall = SystemTime::now().duration_since(calibrated.wall).unwrap_or_default();
        (wall.abs_diff(walked) <= GAP).then(|| self.estimate(calibrated, walked))
    }

    fn estimate(&self, calibrated: Calibration, walked: Duration) -> StoreTime {
        let estimate = calibrated.server.after(walked);
        let latest = StoreTime::from_micros(self.latest.fetch_max(estimate.as_micros(), Ordering::Relaxed));
        if latest.since(estimate) > MAX_HIGH_WATER_LEAD {
            tracing::error!("the clock of Redis went back by more than an hour; fences of new keys follow it");
            self.latest.store(estimate.as_micros(), Ordering::Relaxed);
            return estimate;
        }
        latest.max(estimate)
    }

    /// The server's time so long ago.
    pub(super) fn before(&self, ago: Duration) -> StoreTime {
        let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
        StoreTime::from_micros(self.now().as_micros().saturating_sub(ago))
    }

    fn calibration(&self) -> Calibration {
        *self.calibrated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calibration {
    fn now(server: StoreTime) -> Self {
        Self { server, at: Instant::now(), wall: SystemTime::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_never_goes_back() {
        let hour = 3_600_000_000;
        let clock = ServerClock::new();
        clock.calibrate(StoreTime::from_micros(10 * hour));
        let before = clock.now();
        // By less than the hour after which its fences follow it.
        clock.calibrate(StoreTime::from_micros(9 * hour + hour / 2));
        assert!(clock.now() >= before);
        clock.calibrate(StoreTime::from_micros(11 * hour));
        assert!(clock.now() >= StoreTime::from_micros(11 * hour));
    }

    #[test]
    fn an_estimate_that_was_days_ahead_is_not_kept() {
        let day = 24 * 3_600_000_000;
        let clock = ServerClock::new();
        clock.calibrate(StoreTime::from_micros(9 * day));
        assert!(clock.now() >= StoreTime::from_micros(9 * day));
        clock.calibrate(StoreTime::from_micros(8 * day));
        assert!(clock.now() < StoreTime::from_micros(8 * day + 3_600_000_000));
    }

    #[test]
    fn a_wall_clock_that_ran_ahead_of_the_monotonic_one_is_a_gap() {
        let clock = ServerClock::new();
        assert!(clock.read().is_some());
        if let Ok(mut calibrated) = clock.calibrated.lock() {
            calibrated.wall -= GAP * 2;
        }
        assert_eq!(clock.read(), None);
    }
}
