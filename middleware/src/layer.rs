//! The layer and its settings.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response};
use idempotency_store::Store;
use tower_layer::Layer;

use crate::config::{ConfigError, OnDisconnect, Timing};
use crate::engine::{Drained, Engine};
use crate::key::KeySyntax;
use crate::on_abandoned::OnAbandoned;
use crate::rejection::Rejection;
use crate::rejection_style::RejectionStyle;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::service::IdempotencyService;
use crate::settings::Settings;
use crate::wait::Wait;

/// Makes the services that it wraps safe to retry. See the [crate's documentation](crate) for the rules.
///
/// Settings are by-value setters; a clone with other settings shares the store and what is running, so that one
/// [`IdempotencyLayer::drain`] ends all of them.
#[derive(Debug)]
pub struct IdempotencyLayer<S> {
    engine: Arc<Engine<S>>,
    settings: Arc<Settings>,
}

impl<S: Store> IdempotencyLayer<S> {
    /// A layer over a store, for keys of this scope, digested with this secret, with every other setting at its default.
    ///
    /// Share a store between layers by an `Arc` of it or a clone.
    pub fn new(store: S, scope: Scope, secret: Secret) -> Self {
        Self { engine: Arc::new(Engine::new(store)), settings: Arc::new(Settings::new(scope, secret)) }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Refuses unsafe requests without a key: 400 `key-missing`. By default they pass through, unprotected.
    pub fn required(self) -> Self {
        self.set(|settings| settings.required = true)
    }

    /// Which spellings of a key are accepted. Default [`KeySyntax::Lenient`].
    pub fn key_syntax(self, syntax: KeySyntax) -> Self {
        self.set(|settings| settings.syntax = syntax)
    }

    /// Durations: lease, maximal execution, retention, and how long a client waits for the store.
    ///
    /// # Errors
    ///
    /// See [`Timing::check`]. Nothing is changed then.
    pub fn timing(mut self, timing: Timing) -> Result<Self, ConfigError> {
        self.engine = Arc::new(self.engine.with_timing(timing)?);
        Ok(self)
    }

    /// The largest request body with a key, in bytes; larger ones get 413 `request-too-large`. Default 1 MiB.
    ///
    /// The body is read before the store is asked, because its digest is part of the fingerprint.
    pub fn max_request_body(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_request_body = bytes)
    }

    /// The largest answer body that is recorded, in bytes. Default 1 MiB.
    ///
    /// A larger one reaches the first client whole; a retry is told 409 `not-replayable`.
    pub fn max_recorded_answer(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_recorded_answer = bytes)
    }

    /// What happens to the handler when its client leaves. Default [`OnDisconnect::Finish`].
    pub fn on_disconnect(self, on_disconnect: OnDisconnect) -> Self {
        self.set(|settings| settings.on_disconnect = on_disconnect)
    }

    /// What is done about a key whose last owner is gone, nobody knows how far. Default [`OnAbandoned::refuse`].
    pub fn on_abandoned(self, on_abandoned: OnAbandoned) -> Self {
        self.set(|settings| settings.on_abandoned = on_abandoned)
    }

    /// Lets duplicates of a running request wait for its answer. Off by default: they get 409 `in-flight`.
    pub fn wait(self, wait: Wait) -> Self {
        self.set(|settings| settings.wait = Some(wait))
    }

    /// Makes a request header field part of what must be equal for a retry to be the same request, an API version for
    /// instance. May be called several times.
    pub fn fingerprint_header(self, name: HeaderName) -> Self {
        self.set(|settings| settings.fingerprint_headers.push(name))
    }

    /// Makes a response header field part of the recorded answer, besides `content-*`, `location`, `etag`,
    /// `last-modified`, `link`, `retry-after`, `cache-control` and `vary`. May be called several times.
    ///
    /// # Errors
    ///
    /// [`ConfigError::HeaderNotReplayable`] for fields of one connection or one moment, such as `connection` or `date`.
    pub fn replay_header(mut self, name: HeaderName) -> Result<Self, ConfigError> {
        Arc::make_mut(&mut self.settings).allow_list.add(name)?;
        Ok(self)
    }

    /// What the `type` of a problem begins with; the rejection's name follows. Point it to your own documentation.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ProblemBase`] unless it is visible ASCII and ends with `/`, `:` or `#`.
    pub fn problem_base(mut self, base: &str) -> Result<Self, ConfigError> {
        Arc::make_mut(&mut self.settings).rejections = RejectionStyle::problem(base)?;
        Ok(self)
    }

    /// Replaces the problem documents by whatever the closure makes of a rejection.
    pub fn on_rejection(self, respond: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.rejections = RejectionStyle::Custom(Arc::new(respond)))
    }

    /// Ends the work of this layer and its clones, for a graceful shutdown: no new claims (503 `shutting-down`), up to
    /// `patience` for what runs, and what still runs then is marked indeterminate, so that nobody waits for its lease.
    ///
    /// Call it after the server has stopped accepting: it also waits for handlers whose clients have left. 30 s is the
    /// usual patience.
    ///
    /// Cancel safety: dropping the future ends the waiting; claims stay refused, nothing is marked.
    pub async fn drain(&self, patience: Duration) -> Drained {
        self.engine.drain(patience).await
    }
}

impl<S> Clone for IdempotencyLayer<S> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine), settings: Arc::clone(&self.settings) }
    }
}

impl<S, Inner> Layer<Inner> for IdempotencyLayer<S> {
    type Service = IdempotencyService<Inner, S>;

    fn layer(&self, inner: Inner) -> Self::Service {
        IdempotencyService::new(inner, Arc::clone(&self.engine), Arc::clone(&self.settings))
    }
}
