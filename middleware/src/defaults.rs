//! The default of every setting, in one place, each with how it is set and what is refused.
//!
//! The table of all of them is in the [crate's documentation](crate#defaults). What is no setting has no constant: a lease is
//! renewed at a third of its length, and whether a key is required is for each route to say.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::key::MAX_KEY_LEN;

/// A key's length in bytes, without quotes and parameters; [`IdempotencyLayer::key_length`](crate::IdempotencyLayer::key_length).
///
/// ```
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::KEY_LENGTH, 1..=255);
/// let layer = layer.key_length(16..=64)?; // nothing that can be guessed
/// let absurd = layer.key_length(0..=255).unwrap_err();
/// assert!(absurd.to_string().contains("1 to 255"), "{absurd}");
/// # Ok(())
/// # }
/// ```
pub const KEY_LENGTH: RangeInclusive<usize> = 1..=MAX_KEY_LEN;

/// How long a lease lasts without renewal, which comes at a third of it; [`Timing::lease`](crate::Timing::lease).
///
/// ```
/// # use std::time::Duration;
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, Timing, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::LEASE, Duration::from_secs(30));
/// assert_eq!(Timing::default(), Timing::default().lease(defaults::LEASE));
/// let layer = layer.timing(Timing::default().lease(Duration::from_secs(5)))?;
/// let absurd = layer.timing(Timing::default().lease(Duration::ZERO)).unwrap_err();
/// assert!(absurd.to_string().contains("cannot be renewed in time"), "{absurd}");
/// # Ok(())
/// # }
/// ```
pub const LEASE: Duration = Duration::from_secs(30);

/// How long a lease is renewed in all; [`Timing::max_execution`](crate::Timing::max_execution).
///
/// ```
/// # use std::time::Duration;
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, Timing, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::MAX_EXECUTION, Duration::from_secs(10 * 60));
/// assert_eq!(Timing::default(), Timing::default().max_execution(defaults::MAX_EXECUTION));
/// let layer = layer.timing(Timing::default().max_execution(Duration::from_secs(60)))?;
/// let absurd = layer.timing(Timing::default().max_execution(Duration::from_secs(1))).unwrap_err();
/// assert_eq!(absurd.to_string(), "the maximal execution must be at least one lease (30s)");
/// # Ok(())
/// # }
/// ```
pub const MAX_EXECUTION: Duration = Duration::from_secs(10 * 60);

/// How long a key is remembered; [`Timing::retention`](crate::Timing::retention).
///
/// ```
/// # use std::time::Duration;
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, Timing, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::RETENTION, Duration::from_secs(24 * 60 * 60));
/// assert_eq!(Timing::default(), Timing::default().retention(defaults::RETENTION));
/// let layer = layer.timing(Timing::default().retention(Duration::from_secs(7 * 24 * 60 * 60)))?;
/// // It must outlast the longest execution, or a key expires while its handler runs.
/// let absurd = layer.timing(Timing::default().retention(Duration::from_secs(60))).unwrap_err();
/// assert_eq!(absurd, ConfigError::RetentionTooShort { at_least: Duration::from_secs(660) });
/// let unit = Timing::default().retention(Duration::from_secs(86_400_000_000)).check().unwrap_err();
/// assert!(unit.to_string().contains("mistake in its unit"), "microseconds, probably");
/// # Ok(())
/// # }
/// ```
pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a released key refuses delayed packets of the attempt that was released. Part of the stores' contract and no
/// setting: shorter, a packet could come after it; longer serves nobody.
///
/// ```
/// # use std::time::Duration;
/// # use tower_idempotency::defaults;
/// assert_eq!(defaults::RELEASED, Duration::from_secs(60));
/// ```
pub const RELEASED: Duration = idempotency_store::record::RELEASED_TOMBSTONE;

/// How long a claim may take before the client gets 503; [`Timing::claim_budget`](crate::Timing::claim_budget).
///
/// ```
/// # use std::time::Duration;
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, Timing, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::CLAIM_BUDGET, Duration::from_secs(3));
/// assert_eq!(Timing::default(), Timing::default().claim_budget(defaults::CLAIM_BUDGET));
/// let layer = layer.timing(Timing::default().claim_budget(Duration::from_millis(500)))?;
/// let absurd = layer.timing(Timing::default().claim_budget(Duration::ZERO)).unwrap_err();
/// assert!(absurd.to_string().contains("above zero"), "{absurd}");
/// assert!(Timing::default().claim_budget(Duration::from_secs(3000)).check().is_err());
/// # Ok(())
/// # }
/// ```
pub const CLAIM_BUDGET: Duration = Duration::from_secs(3);

/// How long a client waits for its answer to be recorded; [`Timing::completion_wait`](crate::Timing::completion_wait).
///
/// ```
/// # use std::time::Duration;
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, Timing, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::COMPLETION_WAIT, Duration::from_secs(2));
/// assert_eq!(Timing::default(), Timing::default().completion_wait(defaults::COMPLETION_WAIT));
/// let layer = layer.timing(Timing::default().completion_wait(Duration::from_secs(10)))?;
/// let absurd = layer.timing(Timing::default().completion_wait(Duration::MAX)).unwrap_err();
/// assert!(absurd.to_string().contains("five minutes"), "{absurd}");
/// # Ok(())
/// # }
/// ```
pub const COMPLETION_WAIT: Duration = Duration::from_secs(2);

/// The largest request body with a key, in bytes; [`IdempotencyLayer::max_request_body`](crate::IdempotencyLayer::max_request_body).
///
/// ```
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::MAX_REQUEST_BODY, 1024 * 1024);
/// let layer = layer.max_request_body(64 * 1024)?;
/// for absurd in [0, usize::MAX] {
///     let refused = layer.clone().max_request_body(absurd).unwrap_err();
///     assert!(refused.to_string().contains("1 byte to 256 MiB"), "{refused}");
/// }
/// # Ok(())
/// # }
/// ```
pub const MAX_REQUEST_BODY: usize = 1024 * 1024;

/// The largest answer that is recorded, in bytes of its body;
/// [`IdempotencyLayer::max_recorded_answer`](crate::IdempotencyLayer::max_recorded_answer).
///
/// ```
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, defaults, store::MemoryStore};
/// # fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::MAX_RECORDED_ANSWER, 1024 * 1024);
/// let layer = layer.max_recorded_answer(4 * 1024 * 1024)?;
/// let absurd = layer.max_recorded_answer(0).unwrap_err();
/// assert!(absurd.to_string().contains("Recording::DoNotKeep"), "{absurd}");
/// # Ok(())
/// # }
/// ```
pub const MAX_RECORDED_ANSWER: usize = 1024 * 1024;

/// How long a shutdown waits for what runs; the usual argument of [`IdempotencyLayer::drain`](crate::IdempotencyLayer::drain).
/// Every duration makes sense there: with zero, whatever still runs is marked indeterminate at once.
///
/// ```
/// # use std::time::Duration;
/// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, defaults, store::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ConfigError> {
/// # let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// assert_eq!(defaults::DRAIN, Duration::from_secs(30));
/// assert_eq!(layer.drain(defaults::DRAIN).await.abandoned, 0);
/// # Ok(())
/// # }
/// ```
pub const DRAIN: Duration = Duration::from_secs(30);

/// How many scopes a [`ClaimLimit`](crate::ClaimLimit) remembers; [`ClaimLimit::scopes`](crate::ClaimLimit::scopes). The limit
/// itself is off by default.
///
/// ```
/// # use tower_idempotency::{ClaimLimit, ConfigError, defaults};
/// # fn main() -> Result<(), ConfigError> {
/// assert_eq!(defaults::LIMITED_SCOPES.get(), 65_536);
/// let limit = ClaimLimit::per_second(20, 100)?.scopes(defaults::LIMITED_SCOPES);
/// assert_eq!(limit.tracked_scopes(), 0);
/// let absurd = ClaimLimit::per_second(2_000_000, 100).unwrap_err();
/// assert!(absurd.to_string().contains("up to 1,000,000 keys per second"), "{absurd}");
/// # Ok(())
/// # }
/// ```
pub const LIMITED_SCOPES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// How many records the memory store holds; `MemoryStore::bounded`. A bound of zero cannot be written.
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use std::num::NonZeroUsize;
/// use tower_idempotency::{defaults, store::MemoryStore};
///
/// assert_eq!(defaults::MEMORY_RECORDS.get(), 1_000_000);
/// assert_eq!(defaults::MEMORY_RECORDS, MemoryStore::DEFAULT_CAPACITY);
/// let store = MemoryStore::bounded(NonZeroUsize::new(10_000).unwrap());
/// assert!(store.is_empty() && NonZeroUsize::new(0).is_none());
/// # }
/// ```
pub const MEMORY_RECORDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999_999);
