//! What is done about a key that an owner held and did not settle: nothing, another run, or a question to somebody who
//! knows.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::abandoned::{Abandoned, Resolution};
use crate::config::ConfigError;

/// What is done about an *abandoned* key: its process died, its handler panicked or failed, a shutdown did not wait for
/// it. Nobody knows whether it was executed. Set by [`IdempotencyLayer::on_abandoned`](crate::IdempotencyLayer::on_abandoned).
///
/// | policy | a retry gets | safe if |
/// |---|---|---|
/// | [`refuse`](Self::refuse), the default | 409 `indeterminate`, nothing runs | always |
/// | [`reexecute`](Self::reexecute) | a run of its own, that takes over | every effect bears to be repeated: see there |
/// | [`resolve`](Self::resolve) | what somebody finds out who can look | it never guesses: see there |
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
    Resolve(Resolver),
}

type Answering = Pin<Box<dyn Future<Output = Resolution> + Send>>;

/// Somebody who can find out, and how long that may take.
#[derive(Clone)]
pub(crate) struct Resolver {
    pub(crate) ask: Arc<dyn Fn(Abandoned) -> Answering + Send + Sync>,
    pub(crate) budget: Duration,
}

impl OnAbandoned {
    /// How many attempts are usually enough: 5. A request that kills five processes will kill the sixth.
    pub const ATTEMPTS: u32 = 5;

    /// How long a resolver may take unless said otherwise: 10 s.
    pub const RESOLVER_BUDGET: Duration = Duration::from_secs(10);

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
    /// **Across a fail-over** of a replicated store, a recorded answer may be lost, since completions do not wait for replicas, and
    /// the next request takes over. With such a downstream the effect is the same, and so is the answer, unless the first one
    /// was an error of the handler's own: then the clients of one effect have been told two different things. Answer
    /// with what the downstream has said.
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

    /// The closure finds out what became of the request, usually by asking the downstream for its
    /// [`downstream_key`](Abandoned::downstream_key), and the layer acts on what it says, see [`Resolution`]. So a crash is
    /// finished by the next retry, and a handler is never run again on a guess.
    ///
    /// It runs before the request with the key is answered, within [`OnAbandoned::RESOLVER_BUDGET`]; if it takes longer or
    /// panics, that counts as unknown, and the client may ask again. In one process it runs for one request per key
    /// at a time; the others get 409 `indeterminate` with `Retry-After`, or [wait](crate::Wait). Several servers may ask at
    /// once: what one of them tells the store counts only while nothing else has happened to the key, and the others look
    /// again. It never runs for a request that differs from the interrupted one.
    ///
    /// **The hazard.** [`Resolution::NotExecuted`] runs the handler. If the lost attempt's charge arrives at the bank *after*
    /// the bank said that it knows of none, the customer pays twice. Say it only when the charge can no longer arrive: when
    /// [`quiet_for`](Abandoned::quiet_for) is longer than anything the attempt sent can have been under way, or when the
    /// downstream refuses what comes late, by a deadline in the request, by its fence, or by the derived key. Otherwise
    /// say [`Resolution::Unknown`].
    ///
    /// Cancel safety: a client that leaves does not stop the closure. It is dropped when its budget is over.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_idempotency::{Abandoned, OnAbandoned, RecordedAnswer, Resolution};
    /// # use http::{HeaderMap, StatusCode};
    /// # #[derive(Clone)] struct Bank;
    /// # struct Charge { receipt: String }
    /// # impl Bank { async fn find(&self, _: &str) -> Result<Option<Charge>, std::io::Error> { Ok(None) } }
    /// # fn settles() -> impl std::future::Future<Output = ()> { async {} }
    ///
    /// /// With each charge the handler sends until when the bank may take it: at most this long after its claim.
    /// const LATEST_CHARGE: Duration = Duration::from_secs(20);
    ///
    /// async fn ask(bank: Bank, abandoned: Abandoned) -> Resolution {
    ///     match bank.find(&abandoned.downstream_key("charge")).await {
    ///         Ok(Some(charge)) => Resolution::Completed(RecordedAnswer {
    ///             status: StatusCode::CREATED,
    ///             headers: HeaderMap::new(),
    ///             body: charge.receipt.into(),
    ///             trailers: None,
    ///         }),
    ///         Ok(None) if abandoned.quiet_for() > LATEST_CHARGE => Resolution::NotExecuted,
    ///         Ok(None) => Resolution::Unknown { retry_after: LATEST_CHARGE - abandoned.quiet_for() },
    ///         Err(_) => Resolution::Unknown { retry_after: Duration::from_secs(5) },
    ///     }
    /// }
    ///
    /// # let bank = Bank;
    /// let policy = OnAbandoned::resolve(move |abandoned| ask(bank.clone(), abandoned));
    /// # let _ = policy;
    /// ```
    pub fn resolve<F>(resolver: impl Fn(Abandoned) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Resolution> + Send + 'static,
    {
        let ask = Arc::new(move |abandoned| Box::pin(resolver(abandoned)) as Answering);
        Self(Policy::Resolve(Resolver { ask, budget: Self::RESOLVER_BUDGET }))
    }

    /// As [`OnAbandoned::resolve`], with a budget of its own.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ResolverBudget`] unless it is above zero and at most ten minutes: a client waits for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_idempotency::{ConfigError, OnAbandoned, Resolution};
    ///
    /// let never = |_| async { Resolution::Unknown { retry_after: Duration::from_secs(60) } };
    /// assert!(OnAbandoned::resolve_within(Duration::from_secs(3), never).is_ok());
    /// let absurd = OnAbandoned::resolve_within(Duration::ZERO, never);
    /// assert!(matches!(absurd, Err(ConfigError::ResolverBudget(Duration::ZERO))));
    /// ```
    pub fn resolve_within<F>(
        budget: Duration,
        resolver: impl Fn(Abandoned) -> F + Send + Sync + 'static,
    ) -> Result<Self, ConfigError>
    where
        F: Future<Output = Resolution> + Send + 'static,
    {
        const LONGEST: Duration = Duration::from_secs(10 * 60);
        if budget.is_zero() || budget > LONGEST {
            return Err(ConfigError::ResolverBudget(budget));
        }
        let ask = Arc::new(move |abandoned| Box::pin(resolver(abandoned)) as Answering);
        Ok(Self(Policy::Resolve(Resolver { ask, budget })))
    }

    /// What the store is asked to do about such a key.
    pub(crate) const fn at_claim(&self) -> idempotency_store::OnAbandoned {
        match self.0 {
            Policy::Refuse | Policy::Resolve(_) => idempotency_store::OnAbandoned::Refuse,
            Policy::Reexecute(max_attempts) => idempotency_store::OnAbandoned::Reexecute { max_attempts },
        }
    }

    /// Whether nothing but refusing is done about such a key.
    pub(crate) const fn is_refuse(&self) -> bool {
        matches!(self.0, Policy::Refuse)
    }

    /// Whom to ask about such a key.
    pub(crate) const fn resolver(&self) -> Option<&Resolver> {
        match &self.0 {
            Policy::Resolve(resolver) => Some(resolver),
            Policy::Refuse | Policy::Reexecute(_) => None,
        }
    }
}

impl std::fmt::Debug for OnAbandoned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Policy::Refuse => f.write_str("Refuse"),
            Policy::Reexecute(max_attempts) => write!(f, "Reexecute({max_attempts})"),
            Policy::Resolve(resolver) => write!(f, "Resolve(within {:?})", resolver.budget),
        }
    }
}
