//! What is done about a key that an owner held and did not settle: nothing, or another run.

use std::num::NonZeroU32;

use crate::config::ConfigError;

/// What is done about an *abandoned* key: its process died, its handler panicked or failed, a shutdown did not wait for
/// it. Nobody knows whether it was executed. Set by [`IdempotencyLayer::on_abandoned`](crate::IdempotencyLayer::on_abandoned).
///
/// | policy | a retry gets | safe if |
/// |---|---|---|
/// | [`refuse`](Self::refuse), the default | 409 `indeterminate`, nothing runs | always |
/// | [`reexecute`](Self::reexecute) | a run of its own, that takes over | every effect bears to be repeated: see there |
///
/// ```
/// use tower_idempotency::{ConfigError, OnAbandoned};
///
/// # fn main() -> Result<(), ConfigError> {
/// let policy = OnAbandoned::reexecute(OnAbandoned::ATTEMPTS)?;
/// # let _ = policy;
/// // The default is to refuse, and a single attempt is no second one.
/// assert_eq!(format!("{:?}", OnAbandoned::default()), "Refuse");
/// assert!(matches!(OnAbandoned::reexecute(1), Err(ConfigError::TooFewAttempts(1))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct OnAbandoned(Policy);

#[derive(Clone, Default)]
enum Policy {
    #[default]
    Refuse,
    Reexecute(NonZeroU32),
}

impl OnAbandoned {
    /// How many attempts are usually enough: 5. A request that kills five processes will kill the sixth.
    pub const ATTEMPTS: u32 = 5;

    /// Nothing is run again: retries get 409 `indeterminate`, without `Retry-After`, until somebody settles the key by
    /// the store's [`resolve`](crate::store::Store::resolve). The default.
    pub const fn refuse() -> Self {
        Self(Policy::Refuse)
    }

    /// The next request with the key takes over and runs the handler again, until `max_attempts` have run, the first one
    /// included. After that, 409 `indeterminate`. [`OnAbandoned::ATTEMPTS`] is the usual number.
    ///
    /// **The hazard.** The first run may have finished its work and died before it could say so. A handler that runs again
    /// then does the work **a second time**: charges twice, ships twice. Choose this only if every effect goes to
    /// something that recognises a repetition by [`downstream_key`](crate::Idempotency::downstream_key), which is the
    /// same for every attempt, or bears to be repeated anyway. A downstream that checks the
    /// [fence](crate::Idempotency::fence) alone is not enough: it keeps the first run from acting *after* the second one
    /// began, and knows nothing of what the first run had done before.
    ///
    /// The handler learns from [`Idempotency`](crate::Idempotency) that it takes over, which attempt it is, and the
    /// [checkpoint](crate::Idempotency::checkpoint) that an earlier one left.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooFewAttempts`] below 2.
    pub const fn reexecute(max_attempts: u32) -> Result<Self, ConfigError> {
        match NonZeroU32::new(max_attempts) {
            Some(attempts) if max_attempts > 1 => Ok(Self(Policy::Reexecute(attempts))),
            _ => Err(ConfigError::TooFewAttempts(max_attempts)),
        }
    }

    /// What the store is asked to do about such a key.
    pub(crate) const fn at_claim(&self) -> idempotency_store::OnAbandoned {
        match self.0 {
            Policy::Refuse => idempotency_store::OnAbandoned::Refuse,
            Policy::Reexecute(max_attempts) => idempotency_store::OnAbandoned::Reexecute { max_attempts },
        }
    }
}

impl std::fmt::Debug for OnAbandoned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Policy::Refuse => f.write_str("Refuse"),
            Policy::Reexecute(max_attempts) => write!(f, "Reexecute({max_attempts})"),
        }
    }
}
