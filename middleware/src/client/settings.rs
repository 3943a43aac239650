//! What a client may be told about retrying, with the defaults in one place, and why a setting is refused.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::budget::RetryBudget;
use super::key::KeyForm;

/// How a client retries. Every default is the one that [the module's table](super#defaults) names.
///
/// Setters may be called in any order; the layer and the middleware check the whole.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::client::RetryPolicy;
///
/// let policy = RetryPolicy::default().max_tries(3).try_timeout(Duration::from_secs(2)).deadline(Duration::from_secs(10));
/// assert!(policy.check().is_ok());
/// assert!(policy.max_tries(0).check().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    pub(super) max_tries: u32,
    pub(super) try_timeout: Duration,
    pub(super) deadline: Duration,
    pub(super) first_backoff: Duration,
    longest_backoff: Duration,
    pub(super) longest_retry_after: Duration,
    pub(super) budget: RetryBudget,
    pub(super) answer_limit: usize,
    pub(super) form: KeyForm,
}

/// Why a policy was refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryPolicyError {
    /// A call of no tries is no call.
    #[error("a call needs at least one try")]
    NoTries,
    /// A try or a call that ends before it begins.
    #[error("the timeout of a try and the deadline of a call must be above zero")]
    NoTime,
    /// Tries without a pause are an attack on a server that is down.
    #[error("the first backoff must be above zero, and the longest no shorter than the first")]
    Backoff,
    /// A duration is more than a year.
    #[error("a duration of more than a year is a mistake in its unit")]
    TooLong,
}

impl RetryPolicy {
    /// How many tries of a call may fail; the last of them is the end. Default 5.
    ///
    /// Tries that are told to come back, because the first request is still running, do not count: they go on until the
    /// [deadline](RetryPolicy::deadline).
    pub fn max_tries(mut self, tries: u32) -> Self {
        self.max_tries = tries;
        self
    }

    /// How long one try may take until its answer begins (with [`read_answers`](RetryPolicy::read_answers), until it
    /// ends). Then it is dropped, its outcome is unknown, and the next one asks for it. Default 10 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_idempotency::client::{RetryPolicy, RetryPolicyError};
    /// assert_eq!(RetryPolicy::default().try_timeout(Duration::ZERO).check(), Err(RetryPolicyError::NoTime));
    /// ```
    pub fn try_timeout(mut self, timeout: Duration) -> Self {
        self.try_timeout = timeout;
        self
    }

    /// How long the whole call may take, pauses included. A pause that would end after it is not begun. Default 60 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The windows that pauses are drawn from: the first, doubled after each try up to the longest. Default 100 ms to
    /// 10 s. Each pause is drawn evenly between zero and the whole window (full jitter), so that clients that failed
    /// together do not come back together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_idempotency::client::{RetryPolicy, RetryPolicyError};
    /// let (short, long) = (Duration::from_millis(50), Duration::from_secs(5));
    /// assert!(RetryPolicy::default().backoff(short, long).check().is_ok());
    /// assert_eq!(RetryPolicy::default().backoff(long, short).check(), Err(RetryPolicyError::Backoff));
    /// ```
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.first_backoff, self.longest_backoff) = (first, longest);
        self
    }

    /// The longest `Retry-After` that is waited for; a call that is asked for more patience gives up at once, and its
    /// error says [when to ask again](super::GaveUp::ask_again_after). Default 30 s.
    pub fn longest_retry_after(mut self, longest: Duration) -> Self {
        self.longest_retry_after = longest;
        self
    }

    /// The retries that this client's calls share. Default [`RetryBudget::default`], one for each default policy and its
    /// clones.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Reads answers up to this many bytes within the try, so that one that breaks off in the middle is a lost reply like
    /// any other, and is asked for again. Default 0: the caller reads the body, and what breaks off is the caller's to
    /// ask for again, under the same key. Larger answers, and what streams for longer than a try, are not for it.
    pub fn read_answers(mut self, up_to: usize) -> Self {
        self.answer_limit = up_to;
        self
    }

    /// How keys are spelled. Default [`KeyForm::Quoted`].
    pub fn key_form(mut self, form: KeyForm) -> Self {
        self.form = form;
        self
    }

    /// Whether the settings make sense together.
    ///
    /// # Errors
    ///
    /// [`RetryPolicyError`] with the reason.
    pub fn check(&self) -> Result<(), RetryPolicyError> {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
        let durations = [self.try_timeout, self.deadline, self.longest_backoff, self.longest_retry_after];
        if self.max_tries == 0 {
            return Err(RetryPolicyError::NoTries);
        }
        if self.try_timeout.is_zero() || self.deadline.is_zero() {
            return Err(RetryPolicyError::NoTime);
        }
        if self.first_backoff.is_zero() || self.longest_backoff < self.first_backoff {
            return Err(RetryPolicyError::Backoff);
        }
        if durations.iter().any(|duration| *duration > YEAR) {
            return Err(RetryPolicyError::TooLong);
        }
        Ok(())
    }

    /// The windows of one call. backon's own jitter is left off: it adds up to a whole window to the window, so that
    /// nobody ever comes early, where full jitter draws from all of it.
    pub(super) fn windows(&self) -> ExponentialBackoff {
        let windows = ExponentialBuilder::new().with_min_delay(self.first_backoff).with_max_delay(self.longest_backoff);
        windows.without_max_times().build()
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_tries: 5,
            try_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(60),
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(10),
            longest_retry_after: Duration::from_secs(30),
            budget: RetryBudget::default(),
            answer_limit: 0,
            form: KeyForm::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_absurd_setting_is_refused_with_its_reason() {
        let policy = RetryPolicy::default;
        let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
        let cases = [
            (policy().max_tries(0), RetryPolicyError::NoTries),
            (policy().try_timeout(zero), RetryPolicyError::NoTime),
            (policy().deadline(zero), RetryPolicyError::NoTime),
            (policy().backoff(zero, second), RetryPolicyError::Backoff),
            (policy().backoff(second * 2, second), RetryPolicyError::Backoff),
            (policy().deadline(Duration::MAX), RetryPolicyError::TooLong),
            (policy().try_timeout(Duration::MAX), RetryPolicyError::TooLong),
            (policy().backoff(second, Duration::MAX), RetryPolicyError::TooLong),
            (policy().longest_retry_after(Duration::MAX), RetryPolicyError::TooLong),
        ];
        for (absurd, reason) in cases {
            assert_eq!(absurd.check(), Err(reason), "{absurd:?}");
        }
        assert_eq!(policy().check(), Ok(()));
    }

    #[test]
    fn windows_double_up_to_the_longest() {
        let policy = RetryPolicy::default().backoff(Duration::from_millis(125), Duration::from_secs(1));
        let millis: Vec<_> = policy.windows().take(6).map(|window| window.as_millis()).collect();
        assert_eq!(millis, [125, 250, 500, 1_000, 1_000, 1_000]);
    }
}
