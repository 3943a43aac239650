//! How long, and how many, duplicates of a running request wait for its answer.

use std::time::Duration;

use crate::config::ConfigError;

/// Duplicates of a request that is still running wait for its answer, instead of being told 409 `in-flight`. Off unless
/// [`IdempotencyLayer::wait`](crate::IdempotencyLayer::wait) turns it on; [`Wait::default`] is up to 10 s, by up to 16,384
/// requests at a time.
///
/// - Those who wait for a request of the same process are answered as soon as its answer is recorded. For a request of
///   another process the store is looked at every second at the latest, once per process and key however many wait.
/// - When the time is over they get 409 `in-flight`, as they would have without waiting; when nobody knows any more what
///   became of the request, 409 `indeterminate`, or what [`OnAbandoned`](crate::OnAbandoned) says. None of them runs unless
///   the key becomes free: released, or resolved as not executed. Then one runs and the others wait on.
/// - A shutdown answers them at once: 503 `shutting-down`.
/// - A client that leaves gives its place back at once.
///
/// Each of them holds a connection, a task and its request while it waits. Let clients time out later than this.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{ConfigError, Wait};
///
/// let wait = Wait::new(Duration::from_secs(5))?.waiters(1_000)?;
/// # let _ = wait;
/// assert_eq!(Wait::default(), Wait::new(Duration::from_secs(10))?.waiters(16_384)?);
/// // Not at all is said by leaving it off, and for ever is no answer.
/// assert!(matches!(Wait::new(Duration::ZERO), Err(ConfigError::Wait(Duration::ZERO))));
/// assert!(Wait::new(Duration::from_secs(24 * 60 * 60)).is_err());
/// assert!(matches!(Wait::default().waiters(0), Err(ConfigError::NoWaiters)));
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    pub(crate) max: Duration,
    pub(crate) waiters: usize,
}

impl Wait {
    /// Up to `max`, counted from when the key was found to be taken. Claiming it again, when it became free, is part of it;
    /// running is not.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Wait`] unless it is above zero and at most an hour.
    pub const fn new(max: Duration) -> Result<Self, ConfigError> {
        const LONGEST: u64 = 60 * 60;
        if max.is_zero() || max.as_secs() > LONGEST {
            return Err(ConfigError::Wait(max));
        }
        Ok(Self { max, ..Self::usual() })
    }

    /// How many may wait at a time, for whatever key, in this process; others get 409 `in-flight` at once. Default 16,384.
    /// It counts what waits at a layer and its clones.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoWaiters`] for zero.
    pub const fn waiters(mut self, waiters: usize) -> Result<Self, ConfigError> {
        if waiters == 0 {
            return Err(ConfigError::NoWaiters);
        }
        self.waiters = waiters;
        Ok(self)
    }

    const fn usual() -> Self {
        Self { max: Duration::from_secs(10), waiters: 16_384 }
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self::usual()
    }
}
