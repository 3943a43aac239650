//! How many retries all calls of a client may make together, so that an outage is not multiplied.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A bucket of retries, shared by all calls of a client and by its clones.
///
/// A retry after a failure takes one out; a call that is answered for good puts a tenth of one back, and so does time:
/// [`per_second`](RetryBudget::per_second). When it is empty, calls give up instead of retrying. So an outage that meets
/// `n` calls within `s` seconds sees at most `n + capacity + s * per_second` tries.
///
/// Retries that the server itself asks for because the first request is still running (409 with `in-flight`) take
/// nothing: that server is not in trouble.
///
/// tower's own budget is not used: it lets concurrent calls overdraw it, and it panics on bad settings.
///
/// ```
/// use tower_idempotency::client::{RetryBudget, RetryPolicy};
///
/// // The default: 100 at once, one more each second.
/// let shared = RetryBudget::new(100).per_second(1);
/// let (bank, ledger) = (RetryPolicy::default().budget(shared.clone()), RetryPolicy::default().budget(shared));
/// # let _ = (bank, ledger);
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget(Option<Arc<Bucket>>);

/// In tenths of a retry.
#[derive(Debug)]
struct Bucket {
    capacity: u64,
    per_second: u64,
    level: Mutex<Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    tenths: u64,
    /// Until when time was paid in.
    paid_until: Option<Instant>,
}

const RETRY: u64 = 10;
const ANSWER: u64 = 1;

impl RetryBudget {
    /// A full bucket of this many retries, refilled by one each second. 0 forbids every retry after a failure.
    pub fn new(capacity: u32) -> Self {
        Self::full(u64::from(capacity) * RETRY, RETRY)
    }

    /// No bound but that of each call. For clients that make few calls, or attack on purpose.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// How many retries each second puts back. Default 1; 0 leaves it to the calls that are answered.
    ///
    /// It makes a new, full bucket: say it before the budget is shared.
    pub fn per_second(self, retries: u32) -> Self {
        self.0.map_or(Self(None), |bucket| Self::full(bucket.capacity, u64::from(retries) * RETRY))
    }

    fn full(capacity: u64, per_second: u64) -> Self {
        let level = Mutex::new(Level { tenths: capacity, paid_until: None });
        Self(Some(Arc::new(Bucket { capacity, per_second, level })))
    }

    /// Takes a retry out, if there is one.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        self.at(now, |tenths, _| tenths.checked_sub(RETRY))
    }

    /// A call was answered for good.
    pub(super) fn deposit(&self, now: Instant) {
        self.at(now, |tenths, capacity| Some((tenths + ANSWER).min(capacity)));
    }

    /// Pays time in, then changes the level, if `change` says to what.
    fn at(&self, now: Instant, change: impl FnOnce(u64, u64) -> Option<u64>) -> bool {
        let Some(bucket) = &self.0 else { return true };
        let mut level = bucket.level.lock().unwrap_or_else(PoisonError::into_inner);
        level.pay_in(now, bucket);
        let changed = change(level.tenths, bucket.capacity);
        level.tenths = changed.unwrap_or(level.tenths);
        changed.is_some()
    }
}

impl Level {
    fn pay_in(&mut self, now: Instant, bucket: &Bucket) {
        let since = now.saturating_duration_since(*self.paid_until.get_or_insert(now));
        // Whole seconds only, so that asking often does not round the refill away.
        let seconds = Duration::from_secs(since.as_secs());
        let refill = seconds.as_secs().saturating_mul(bucket.per_second);
        self.tenths = self.tenths.saturating_add(refill).min(bucket.capacity);
        self.paid_until = self.paid_until.map(|until| until + seconds);
    }
}

impl Default for RetryBudget {
    /// 100 retries, one more each second.
    fn default() -> Self {
        Self::new(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(budget: &RetryBudget, now: Instant) -> usize {
        (0..1_000).filter(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn it_holds_what_it_was_made_with_and_no_more() {
        let (budget, now) = (RetryBudget::new(3), Instant::now());
        (0..1_000).for_each(|_| budget.deposit(now));
        assert_eq!(drawn(&budget, now), 3);
        assert_eq!(drawn(&budget.clone(), now), 0, "a clone is the same bucket");
        assert_eq!(drawn(&RetryBudget::new(0), now), 0);
        assert_eq!(drawn(&RetryBudget::unlimited(), now), 1_000);
    }

    #[test]
    fn ten_answers_put_one_retry_back() {
        let (budget, now) = (RetryBudget::new(3), Instant::now());
        drawn(&budget, now);
        (0..9).for_each(|_| budget.deposit(now));
        assert_eq!(drawn(&budget, now), 0);
        budget.deposit(now);
        assert_eq!(drawn(&budget, now), 1);
    }

    #[test]
    fn time_puts_retries_back_however_often_it_is_asked() {
        let (budget, start) = (RetryBudget::new(10).per_second(2), Instant::now());
        assert_eq!(drawn(&budget, start), 10);
        let tenths = (1..=25).map(|tenth| start + Duration::from_millis(100) * tenth);
        assert_eq!(tenths.map(|now| drawn(&budget, now)).sum::<usize>(), 4);
        assert_eq!(drawn(&budget, start + Duration::from_secs(3_600)), 10);
        assert_eq!(drawn(&budget, start), 0, "a time that lies before pays nothing");
    }
}
