//! The layer and its settings.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use idempotency_store::FenceStore;
use tower_layer::Layer;

use super::check::Guard;
use super::service::FenceGuardService;
use crate::config::ConfigError;
use crate::key::KeySyntax;
use crate::rejection::Rejection;
use crate::rejection_style::RejectionStyle;
use crate::scope::Scope;
use crate::secret::Secret;

/// Refuses attempts that were superseded. See the [module's documentation](super) for the rules and for where it belongs.
///
/// | setting | default |
/// |---|---|
/// | fence | optional; [`required`](FenceGuardLayer::required) per layer |
/// | key syntax | [lenient](KeySyntax::Lenient) |
/// | [retention](FenceGuardLayer::retention) of the highest fence | 24 h |
/// | [budget](FenceGuardLayer::budget) for asking the store | 3 s, then 503 |
#[derive(Debug)]
pub struct FenceGuardLayer<F> {
    guard: Arc<Guard<F>>,
}

impl<F: FenceStore> FenceGuardLayer<F> {
    /// A guard over a fence store, for keys of this scope, digested with this secret, with every other setting at its
    /// default.
    ///
    /// Scope and secret are usually those of the [`IdempotencyLayer`](crate::IdempotencyLayer) behind it. All servers that
    /// share a store share the secret; with another one no fence is known.
    pub fn new(fence_store: F, scope: Scope, secret: Secret) -> Self {
        Self { guard: Arc::new(Guard::new(Arc::new(fence_store), scope, secret)) }
    }
}

impl<F> FenceGuardLayer<F> {
    /// Refuses unsafe requests without a fence: 400 `fence-missing`. By default they pass through, unguarded.
    ///
    /// Require it where every caller is an attempt of somebody's operation; a caller that forgets the field is then
    /// noticed at its first request.
    pub fn required(self) -> Self {
        self.set(|guard| guard.required = true)
    }

    /// Which spellings of a key are accepted. Default [`KeySyntax::Lenient`].
    pub fn key_syntax(self, syntax: KeySyntax) -> Self {
        self.set(|guard| guard.syntax = syntax)
    }

    /// How long the highest fence of a key is remembered after it was last admitted. Default 24 h.
    ///
    /// At least as long as the callers keep their keys, because for so long attempts of one key can arrive.
    ///
    /// # Errors
    ///
    /// [`ConfigError::FenceRetention`] unless it is from a minute to ten years. Nothing is changed then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_idempotency::store::MemoryFenceStore;
    /// use tower_idempotency::{ConfigError, FenceGuardLayer, Scope, Secret};
    ///
    /// # fn main() -> Result<(), ConfigError> {
    /// let secret = Secret::random()?;
    /// let guard = || FenceGuardLayer::new(MemoryFenceStore::new(), Scope::shared(), secret.clone());
    /// assert!(guard().retention(Duration::from_secs(72 * 60 * 60)).is_ok());
    /// assert_eq!(guard().retention(Duration::from_secs(59)).err(), Some(ConfigError::FenceRetention));
    /// # Ok(())
    /// # }
    /// ```
    pub fn retention(self, retention: Duration) -> Result<Self, ConfigError> {
        const SHORTEST: Duration = Duration::from_secs(60);
        const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
        if !(SHORTEST..=LONGEST).contains(&retention) {
            return Err(ConfigError::FenceRetention);
        }
        Ok(self.set(|guard| guard.retention = retention))
    }

    /// How long the store is asked before the client gets 503 `store-unavailable`. Default 3 s.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroBudget`]. Nothing is changed then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_idempotency::store::MemoryFenceStore;
    /// use tower_idempotency::{ConfigError, FenceGuardLayer, Scope, Secret};
    ///
    /// # fn main() -> Result<(), ConfigError> {
    /// let secret = Secret::random()?;
    /// let guard = || FenceGuardLayer::new(MemoryFenceStore::new(), Scope::shared(), secret.clone());
    /// assert!(guard().budget(Duration::from_millis(500)).is_ok());
    /// assert_eq!(guard().budget(Duration::ZERO).err(), Some(ConfigError::ZeroBudget));
    /// # Ok(())
    /// # }
    /// ```
    pub fn budget(self, budget: Duration) -> Result<Self, ConfigError> {
        if budget.is_zero() {
            return Err(ConfigError::ZeroBudget);
        }
        Ok(self.set(|guard| guard.budget = budget))
    }

    /// What the `type` of a problem begins with, as [`IdempotencyLayer::problem_base`](crate::IdempotencyLayer::problem_base).
    ///
    /// # Errors
    ///
    /// [`ConfigError::ProblemBase`] unless it is visible ASCII and ends with `/`, `:` or `#`.
    pub fn problem_base(self, base: &str) -> Result<Self, ConfigError> {
        let style = RejectionStyle::problem(base)?;
        Ok(self.set(|guard| guard.rejections = style))
    }

    /// Replaces the problem documents by whatever the closure makes of a rejection.
    pub fn on_rejection(self, respond: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.set(|guard| guard.rejections = RejectionStyle::Custom(Arc::new(respond)))
    }

    fn set(mut self, change: impl FnOnce(&mut Guard<F>)) -> Self {
        // A clone with other settings shares the store.
        change(Arc::make_mut(&mut self.guard));
        self
    }
}

impl<F> Clone for FenceGuardLayer<F> {
    fn clone(&self) -> Self {
        Self { guard: Arc::clone(&self.guard) }
    }
}

impl<F, Inner> Layer<Inner> for FenceGuardLayer<F> {
    type Service = FenceGuardService<Inner, F>;

    fn layer(&self, inner: Inner) -> Self::Service {
        FenceGuardService::new(inner, Arc::clone(&self.guard))
    }
}
