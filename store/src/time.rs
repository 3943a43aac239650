//! Time as an input: the store's own clock, which decides, and the caller's deadline, which only limits waiting.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on a store's clock, in microseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StoreTime(u64);

impl StoreTime {
    /// A time from microseconds since the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This time as the system represents it, for showing it to people.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.0)
    }

    /// How long ago `earlier` was; zero if it lies ahead, because a clock that went back must not end a lease.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This time and `duration` later; stops at the largest representable time.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// The clock of a store that lives in this process. It alone decides that a lease has lapsed or a record expired.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now. Must never go backwards between two calls.
    fn now(&self) -> StoreTime;
}

/// The default clock: reads the wall clock **once**, then counts on the monotonic clock, so that stepping the wall clock
/// moves no deadline.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    origin: StoreTime,
    started: Instant,
}

impl SteadyClock {
    /// A clock that starts at the wall clock's time.
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(StoreTime::default().after(wall))
    }

    /// A clock that starts at `origin` now.
    pub fn starting_at(origin: StoreTime) -> Self {
        Self { origin, started: Instant::now() }
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> StoreTime {
        self.origin.after(self.started.elapsed())
    }
}

/// A clock that moves only when told to, for tests of anything that lasts.
///
/// ```
/// use idempotency_store::{Clock, ManualClock, StoreTime};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(clock.now(), before.after(Duration::from_secs(30)));
/// ```
#[derive(Debug)]
pub struct ManualClock(Mutex<StoreTime>);

impl ManualClock {
    /// A clock that stands at an arbitrary time of the year 2026.
    pub fn new() -> Self {
        Self(Mutex::new(StoreTime::from_micros(1_780_000_000_000_000)))
    }

    /// Moves the clock ahead.
    pub fn advance(&self, duration: Duration) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.after(duration);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> StoreTime {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Until when the caller of a verb waits. It limits waiting and decides nothing about leases.
///
/// A verb that cannot answer by its deadline fails with [`ErrorKind::NotApplied`](crate::ErrorKind::NotApplied) if it is
/// certain that the store was not reached, and with [`ErrorKind::Unknown`](crate::ErrorKind::Unknown) otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline that is `duration` away from now.
    pub fn after(duration: Duration) -> Self {
        Self::at(Instant::now(), duration)
    }

    /// A deadline that is `duration` away from `start`.
    pub fn at(start: Instant, duration: Duration) -> Self {
        // An instant too far to be represented is as good as a year from now: no caller waits that long.
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        Self(start.checked_add(duration).unwrap_or_else(|| start + YEAR))
    }

    /// The time that is left; zero when it is past.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether there is no time left.
    pub fn is_past(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of this deadline and `other`.
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }
}
