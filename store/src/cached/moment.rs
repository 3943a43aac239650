//! Now, by two clocks.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Clock, SteadyClock, StoreTime};

/// Two clocks, none of which is enough: a monotonic one may stand still while the machine is suspended, and a wall clock may
/// be put back.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    steady: Arc<dyn Clock>,
    wall: Arc<dyn Clock>,
}

/// What both clocks show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    steady: StoreTime,
    wall: StoreTime,
}

impl Clocks {
    pub(super) fn of_the_system() -> Self {
        Self { steady: Arc::new(SteadyClock::new()), wall: Arc::new(WallClock) }
    }

    pub(super) fn both(clock: Arc<dyn Clock>) -> Self {
        Self { steady: Arc::clone(&clock), wall: clock }
    }

    pub(super) fn now(&self) -> Moment {
        Moment { steady: self.steady.now(), wall: self.wall.now() }
    }
}

impl Moment {
    /// This moment and `ttl` later, or `at_most` if that is earlier.
    pub(super) fn after(self, ttl: Duration, at_most: StoreTime) -> Self {
        let later = |now: StoreTime| now.after(ttl).min(at_most);
        Self { steady: later(self.steady), wall: later(self.wall) }
    }

    /// Whether both clocks have still to come to `until`.
    pub(super) fn is_before(self, until: Self) -> bool {
        self.steady < until.steady && self.wall < until.wall
    }
}

/// The wall clock. It may go back, which the other one of the two does not.
#[derive(Clone, Copy, Debug)]
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> StoreTime {
        StoreTime::default().after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(steady: u64, wall: u64) -> Moment {
        Moment { steady: StoreTime::from_micros(steady), wall: StoreTime::from_micros(wall) }
    }

    #[test]
    fn both_clocks_must_agree_that_there_is_time() {
        let until = moment(100, 1_000).after(Duration::from_micros(10), StoreTime::from_micros(5_000));
        assert!(moment(109, 1_009).is_before(until));
        assert!(!moment(101, 1_010).is_before(until), "the machine was suspended");
        assert!(!moment(110, 900).is_before(until), "the wall clock was put back");
    }

    #[test]
    fn the_end_of_the_record_is_the_end() {
        let until = moment(100, 100).after(Duration::from_micros(10), StoreTime::from_micros(105));
        assert!(moment(104, 104).is_before(until));
        assert!(!moment(105, 104).is_before(until));
    }
}
