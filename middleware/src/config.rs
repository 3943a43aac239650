//! The settings with their defaults, in one place, and why a setting is refused.

use std::time::Duration;

use idempotency_store::{Terms, TermsError};

use crate::defaults;

/// How long things may take. Every default is the one that the documentation's table names.
///
/// Setters may be called in any order; [`IdempotencyLayer::timing`](crate::IdempotencyLayer::timing) checks the whole.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{ConfigError, Timing};
///
/// let timing = Timing::default().lease(Duration::from_secs(5)).retention(Duration::from_secs(72 * 60 * 60));
/// assert!(timing.check().is_ok());
///
/// let absurd = Timing::default().retention(Duration::from_secs(60));
/// assert!(matches!(absurd.check(), Err(ConfigError::RetentionTooShort { .. })));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    pub(crate) lease: Duration,
    pub(crate) max_execution: Duration,
    pub(crate) retention: Duration,
    pub(crate) claim_budget: Duration,
    pub(crate) completion_wait: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: defaults::LEASE,
            max_execution: defaults::MAX_EXECUTION,
            retention: defaults::RETENTION,
            claim_budget: defaults::CLAIM_BUDGET,
            completion_wait: defaults::COMPLETION_WAIT,
        }
    }
}

impl Timing {
    /// How long a lease lasts without renewal; it is renewed at a third of it. Default 30 s, at least 100 ms.
    ///
    /// A key whose owner died answers `in-flight` for this long, and `indeterminate` afterwards.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a lease is renewed in all, counted from the claim. Default 10 min, at least one lease.
    ///
    /// The handler is not aborted then; its lease lapses, and its answer is still recorded if nobody settled the key.
    pub const fn max_execution(mut self, max_execution: Duration) -> Self {
        self.max_execution = max_execution;
        self
    }

    /// How long a key is remembered. Default 24 h, at least the maximal execution and two leases.
    ///
    /// A request that is repeated later than this runs again.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long a claim may take before the client gets 503 `store-unavailable`. Default 3 s, above zero, at
    /// most five minutes.
    pub const fn claim_budget(mut self, claim_budget: Duration) -> Self {
        self.claim_budget = claim_budget;
        self
    }

    /// How long the client waits for its answer to be recorded, before it gets the answer marked
    /// `Idempotency-Status: unrecorded` and the recording goes on in the background. Default 2 s, above
    /// zero, at most five minutes.
    pub const fn completion_wait(mut self, completion_wait: Duration) -> Self {
        self.completion_wait = completion_wait;
        self
    }

    /// Whether these durations can keep the promise together.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, with the bound that would satisfy it.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.terms().map(|_| ())
    }

    /// The terms that each claim asks for, once the durations are known to make sense.
    pub(crate) fn terms(&self) -> Result<Terms, ConfigError> {
        const SHORTEST_LEASE: Duration = Duration::from_millis(100);
        const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
        if self.lease < SHORTEST_LEASE {
            return Err(ConfigError::LeaseTooShort(self.lease));
        }
        if self.max_execution < self.lease {
            return Err(ConfigError::MaxExecutionTooShort { lease: self.lease });
        }
        let at_least = self.lease.saturating_mul(2).saturating_add(self.max_execution);
        if self.retention < at_least {
            return Err(ConfigError::RetentionTooShort { at_least });
        }
        if self.claim_budget.is_zero() || self.completion_wait.is_zero() {
            return Err(ConfigError::ZeroWait);
        }
        let longest = self.claim_budget.max(self.completion_wait);
        if longest > LONGEST_WAIT {
            return Err(ConfigError::WaitTooLong(longest));
        }
        Ok(Terms::new(self.lease, self.retention)?)
    }
}

/// What happens to a running handler when its client leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnDisconnect {
    /// The handler finishes and its answer is recorded, ready for the retry that is about to come.
    #[default]
    Finish,
    /// The handler is dropped at its next await and the key becomes indeterminate, because nobody knows how far it came.
    Cancel,
}

/// What happens to a request with a key while the store cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// It is refused with 503 `store-unavailable` and has not run.
    #[default]
    Refuse,
    /// It runs **unprotected**: for routes where an outage of the store costs more than a repetition.
    ///
    /// - Its retries may run again, now or when the store is back: nothing is recorded. Several may run at once.
    /// - The answer carries `Idempotency-Status: unprotected`, and [`Counts::unprotected`](crate::Counts::unprotected)
    ///   grows.
    /// - The handler gets no [`Idempotency`](crate::Idempotency): there is no lease. It must ask for an
    ///   `Option<Idempotency>`; as an extractor without `Option` it answers 500. Nor is there a derived key for a downstream:
    ///   what the handler sends there looks like new work.
    /// - A claim that the store may have taken, though its reply was lost, is left as it is: retries get `in-flight` and
    ///   then `indeterminate`, since nobody knows what became of it.
    /// - A store that refuses new keys because it is full is unavailable too. Whoever can send keys can fill it, and
    ///   so switch the protection off.
    ///
    /// A record that cannot be read is still refused (503 `record-corrupt`), because it says that a request came before. So is
    /// a claim that was granted too late to be held, because it is given back; and a shutdown refuses as ever.
    FailOpen,
}

/// The largest body that may be asked for, as a request or as a recorded answer: each is held in memory as a whole.
const LARGEST_BODY: usize = 256 * 1024 * 1024;

/// A limit on a body that makes sense.
pub(crate) const fn body_limit(bytes: usize) -> Result<usize, ConfigError> {
    match bytes {
        1..=LARGEST_BODY => Ok(bytes),
        _ => Err(ConfigError::BodyLimit(bytes)),
    }
}

/// Why a setting was refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The lease is too short to be renewed in time.
    #[error("a lease of {0:?} cannot be renewed in time; use at least 100 ms (30 s is the default)")]
    LeaseTooShort(Duration),
    /// The maximal execution is shorter than one lease.
    #[error("the maximal execution must be at least one lease ({lease:?})")]
    MaxExecutionTooShort {
        /// The lease that was asked for.
        lease: Duration,
    },
    /// A key could expire while its handler runs.
    #[error(
        "the retention must be at least the maximal execution and two leases ({at_least:?}): a key that expires while \
         its handler runs would run twice; raise the retention or lower the maximal execution"
    )]
    RetentionTooShort {
        /// The shortest retention that goes with the other settings.
        at_least: Duration,
    },
    /// Fewer than two attempts are no second one.
    #[error("{0} attempts leave none to run again; allow at least 2 (5 is usual), or refuse abandoned keys")]
    TooFewAttempts(u32),
    /// A resolver needs some time, and a client waits for it.
    #[error(
        "a resolver cannot have {0:?}: more than nothing and at most ten minutes, while a client waits (10 s is usual)"
    )]
    ResolverBudget(Duration),
    /// Waiting for nothing, or for longer than any client.
    #[error(
        "a wait of {0:?} is none, or longer than any client waits; leave waiting off, or use up to an hour (10 s is usual)"
    )]
    Wait(Duration),
    /// Waiting is on, and nobody may wait.
    #[error("nobody could wait; leave waiting off, or allow at least one waiter (16,384 is usual)")]
    NoWaiters,
    /// New keys at a rate that no limit can have.
    #[error(
        "one new key in every {0:?} cannot be a limit; use a microsecond to an hour, which is up to 1,000,000 keys per \
         second, or leave the limit off"
    )]
    ClaimRate(Duration),
    /// A burst that lets nobody claim, or everybody.
    #[error("a burst of {0} new keys cannot be a limit; use 1 to 1,000,000, or leave the limit off")]
    ClaimBurst(u32),
    /// The claim budget or the completion wait is zero.
    #[error("the claim budget and the completion wait must be above zero")]
    ZeroWait,
    /// The claim budget or the completion wait is longer than a client waits.
    #[error("no client waits {0:?} for the store; use at most five minutes (3 s and 2 s are the defaults)")]
    WaitTooLong(Duration),
    /// Keys of no length, of more than 255 bytes, or of a range that is empty.
    #[error(
        "a key has 1 to 255 bytes, and {shortest} to {longest} are not within that; from 16 on it cannot be guessed"
    )]
    KeyLength {
        /// The fewest bytes that were asked for.
        shortest: usize,
        /// The most bytes that were asked for.
        longest: usize,
    },
    /// A limit on a body of nothing, or of more than a server should hold in memory.
    #[error(
        "a body limit of {0} bytes makes no sense: use 1 byte to 256 MiB (1 MiB is the default). Nothing at all is not \
         recorded by `Recording::DoNotKeep` and not looked after by `RouteSettings::bypass`; bodies are held in memory, so \
         larger ones belong elsewhere"
    )]
    BodyLimit(usize),
    /// A guard that forgets a fence before the last attempt can arrive lets that attempt pass.
    #[error("a fence must be remembered for at least a minute and at most ten years (24 h is the default)")]
    FenceRetention,
    /// The fence store would never be asked.
    #[error("the time for asking the fence store must be above zero (3 s is the default)")]
    ZeroBudget,
    /// The store cannot keep such terms.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The secret has too few bytes to keep digests from being guessed.
    #[error("a secret of {0} bytes can be guessed; use at least 16, better 32 random ones")]
    SecretTooShort(usize),
    /// The operating system gave no random bytes for a secret.
    #[error("the operating system's random source failed")]
    NoRandomness,
    /// A header field that belongs to one connection, moment, server or trace, or that carries credentials, cannot be part
    /// of a recorded answer.
    #[error(
        "a header field that describes a connection, a moment, a server or a trace, or carries credentials, cannot be replayed"
    )]
    HeaderNotReplayable,
    /// `set-cookie` was asked for like any other field.
    #[error(
        "`set-cookie` carries sessions, which would lie in the store and reach whoever replays the answer; if that is what \
         you want, say `replay_set_cookie()`"
    )]
    SetCookie,
    /// The base of the problem types is not the beginning of a URI.
    #[error("the base of the problem types must be visible ASCII and end with `/`, `:` or `#`")]
    ProblemBase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_timing_asks_for_the_default_terms() {
        assert_eq!(Timing::default().terms(), Ok(Terms::default()));
    }

    #[test]
    fn every_absurd_duration_is_refused_with_its_reason() {
        let second = Duration::from_secs(1);
        let refused = |timing: Timing| timing.check().expect_err("absurd").to_string();
        assert!(refused(Timing::default().lease(Duration::ZERO)).contains("at least 100 ms"));
        assert!(refused(Timing::default().max_execution(second)).contains("at least one lease"));
        assert!(refused(Timing::default().retention(second * 659)).contains("660s"));
        assert!(refused(Timing::default().claim_budget(Duration::ZERO)).contains("above zero"));
        assert!(refused(Timing::default().completion_wait(Duration::ZERO)).contains("above zero"));
        assert!(refused(Timing::default().claim_budget(second * 301)).contains("301s"));
        assert!(refused(Timing::default().completion_wait(second * 301)).contains("301s"));
        assert!(refused(Timing::default().retention(Duration::MAX)).contains("mistake in its unit"));
        assert_eq!(Timing::default().retention(second * 660).check(), Ok(()));
    }
}
