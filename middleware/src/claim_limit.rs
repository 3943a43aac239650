//! How many new keys one scope may claim.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::buckets::Buckets;
use crate::config::ConfigError;
use crate::counts::Counters;
use crate::defaults;
use crate::rejection::Rejection;
use crate::secret::ScopeDigest;

/// A limit on how fast one [scope](crate::Scope) may claim new keys, each of which costs the store a record for the whole
/// retention. Off unless [`IdempotencyLayer::limit_claims`](crate::IdempotencyLayer::limit_claims) turns it on.
///
/// Each scope has a token bucket in this process. A request takes a token before the store is asked, and gives it back unless
/// it was the first of its key: replays, requests in flight, reused keys and a store that fails cost nothing. Without a token
/// it gets 429 `too-many-claims` with `Retry-After`, before its body is read and without a question to the store.
///
/// - **While a bucket is empty, retries of its scope get 429 too**, also of keys that are completed: whether a key is new is
///   known only to the store. They are to be repeated with the same key, like every 429.
/// - A request has its token until the store has answered. So let the burst be no less than the requests that one caller has
///   on the way at a time.
/// - Servers do not share buckets: with four servers, a scope may claim four times as much.
/// - With [`Scope::shared`](crate::Scope::shared) all callers are one scope, and share its bucket.
/// - It does not bound what all scopes together claim. Where callers can make up scopes, as with an unauthenticated header,
///   it does not stop them from making up more.
///
/// **Memory** is bounded. A scope whose bucket is full again is forgotten, and at most so many [scopes](ClaimLimit::scopes) are
/// remembered. One more takes over the bucket that is next to full, with what is missing from it. So no scope ever gets more than
/// its limit by bringing others, and one that is not remembered is refused only while every remembered bucket is empty.
///
/// Clones share their buckets, and so do the layers that are given them.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{ClaimLimit, ConfigError, IdempotencyLayer, Scope, Secret, store::MemoryStore};
///
/// # fn main() -> Result<(), ConfigError> {
/// # let scope = Scope::header(http::header::AUTHORIZATION);
/// // 20 new keys per second and caller in the long run, and up to 100 at once.
/// let limit = ClaimLimit::per_second(20, 100)?;
/// let layer = IdempotencyLayer::new(MemoryStore::new(), scope, Secret::random()?).limit_claims(limit.clone());
/// assert_eq!((limit.tracked_scopes(), layer.counts().limited), (0, 0));
///
/// // Ten per minute:
/// let slow = ClaimLimit::every(Duration::from_secs(6), 10)?;
/// // No keys at all is said by refusing the request, and no limit by leaving it off.
/// assert!(matches!(ClaimLimit::per_second(0, 10), Err(ConfigError::ClaimRate(_))));
/// assert!(matches!(ClaimLimit::per_second(10, 0), Err(ConfigError::ClaimBurst(0))));
/// # let _ = slow;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClaimLimit {
    interval: Duration,
    burst: u32,
    buckets: Arc<Mutex<Buckets>>,
}

impl ClaimLimit {
    /// So many new keys per second in the long run, and up to `burst` at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ClaimRate`] unless it is 1 to 1,000,000 per second; [`ConfigError::ClaimBurst`] as for
    /// [`ClaimLimit::every`].
    pub fn per_second(claims: u32, burst: u32) -> Result<Self, ConfigError> {
        let interval = Duration::from_secs(1).checked_div(claims);
        Self::every(interval.unwrap_or(Duration::MAX), burst)
    }

    /// One new key in every `interval` in the long run, and up to `burst` at once: for less than one per second.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ClaimRate`] unless the interval is a microsecond to an hour, and [`ConfigError::ClaimBurst`] unless the
    /// burst is 1 to 1,000,000.
    pub fn every(interval: Duration, burst: u32) -> Result<Self, ConfigError> {
        const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_secs(60 * 60);
        const LARGEST_BURST: u32 = 1_000_000;
        if !INTERVALS.contains(&interval) {
            return Err(ConfigError::ClaimRate(interval));
        }
        if !(1..=LARGEST_BURST).contains(&burst) {
            return Err(ConfigError::ClaimBurst(burst));
        }
        Ok(Self::of(interval, burst, defaults::LIMITED_SCOPES))
    }

    /// How many scopes are remembered at a time; about 200 bytes each. Default 65,536. The result has buckets of its own.
    ///
    /// Let it be more than the callers that claim new keys within the time in which a bucket fills.
    pub fn scopes(self, most: NonZeroUsize) -> Self {
        Self::of(self.interval, self.burst, most)
    }

    /// How many scopes are remembered now, because their buckets are not full. For a gauge; costs a lock.
    pub fn tracked_scopes(&self) -> usize {
        self.buckets().len(Instant::now())
    }

    fn of(interval: Duration, burst: u32, most: NonZeroUsize) -> Self {
        Self { interval, burst, buckets: Arc::new(Mutex::new(Buckets::new(interval, burst, most.get()))) }
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bucket of a scope.
    pub(crate) fn of_scope(&self, scope: ScopeDigest) -> ScopeLimit {
        ScopeLimit { limit: self.clone(), scope }
    }
}

/// The answer to a request whose scope has no token before `until` has passed. It is counted.
pub(crate) fn refused(counts: &Counters, until: Duration) -> Rejection {
    tracing::debug!(?until, "a scope claims too many new keys");
    counts.limited.up();
    Rejection::too_many_claims(until)
}

/// What limits the claims of one scope.
#[derive(Debug)]
pub(crate) struct ScopeLimit {
    limit: ClaimLimit,
    scope: ScopeDigest,
}

impl ScopeLimit {
    /// Whether there is a token now, and how long it is until there is one.
    pub(crate) fn look(&self) -> Result<(), Duration> {
        self.limit.buckets().look(self.scope, Instant::now())
    }

    /// Takes a token, or says how long it is until there is one.
    pub(crate) fn take(&self) -> Result<Token<'_>, Duration> {
        self.limit.buckets().take(self.scope, Instant::now())?;
        Ok(Token { limit: self, is_spent: false })
    }
}

/// A token, given back when it is dropped unless it was spent.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    limit: &'a ScopeLimit,
    is_spent: bool,
}

impl Token<'_> {
    /// It is not given back.
    pub(crate) fn spend(mut self) {
        self.is_spent = true;
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        if !self.is_spent {
            self.limit.limit.buckets().give_back(self.limit.scope);
        }
    }
}
