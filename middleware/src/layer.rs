//! The layer and its settings.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Response};
use idempotency_store::Store;
use tower_layer::Layer;

use crate::claim_limit::ClaimLimit;
use crate::config::{ConfigError, OnDisconnect, OnUnavailable, Timing, body_limit};
use crate::counts::Counts;
use crate::engine::{Drained, Engine};
use crate::key::{KeySyntax, MAX_KEY_LEN};
use crate::on_abandoned::OnAbandoned;
use crate::recording_policy::RecordingPolicy;
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

    /// How many bytes a key may have, without quotes and parameters; others get 400 `key-malformed`. Default 1 to 255.
    ///
    /// From 16 on a key cannot be guessed. A client that sends shorter ones is refused, so narrow it before there are any.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeyLength`] unless it is a part of 1 to 255, and not an empty one.
    pub fn key_length(self, bytes: RangeInclusive<usize>) -> Result<Self, ConfigError> {
        let (shortest, longest) = (*bytes.start(), *bytes.end());
        if shortest == 0 || longest > MAX_KEY_LEN || bytes.is_empty() {
            return Err(ConfigError::KeyLength { shortest, longest });
        }
        Ok(self.set(|settings| settings.key_length = bytes))
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
    ///
    /// # Errors
    ///
    /// [`ConfigError::BodyLimit`] for zero, which would refuse every body, and above 256 MiB, since it is held in memory.
    pub fn max_request_body(self, bytes: usize) -> Result<Self, ConfigError> {
        let bytes = body_limit(bytes)?;
        Ok(self.set(|settings| settings.max_request_body = bytes))
    }

    /// The largest answer body that is recorded, in bytes. Default 1 MiB.
    ///
    /// A larger one reaches the first client whole; a retry is told 409 `not-replayable`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BodyLimit`] for zero - [`Recording::DoNotKeep`](crate::Recording::DoNotKeep) says that - and above
    /// 256 MiB, since it is held in memory.
    pub fn max_recorded_answer(self, bytes: usize) -> Result<Self, ConfigError> {
        let bytes = body_limit(bytes)?;
        Ok(self.set(|settings| settings.max_recorded_answer = bytes))
    }

    /// Which answers are recorded, where the handler does not say it itself. Default [`RecordingPolicy::everything`].
    pub fn recording(self, policy: RecordingPolicy) -> Self {
        self.set(|settings| settings.recording = policy)
    }

    /// What happens to the handler when its client leaves. Default [`OnDisconnect::Finish`].
    pub fn on_disconnect(self, on_disconnect: OnDisconnect) -> Self {
        self.set(|settings| settings.on_disconnect = on_disconnect)
    }

    /// What happens while the store cannot be asked. Default [`OnUnavailable::Refuse`]; read the hazards of the other one.
    pub fn on_unavailable(self, on_unavailable: OnUnavailable) -> Self {
        self.set(|settings| settings.on_unavailable = on_unavailable)
    }

    /// What is done about a key whose last owner is gone, nobody knows how far. Default [`OnAbandoned::refuse`].
    pub fn on_abandoned(self, on_abandoned: OnAbandoned) -> Self {
        self.set(|settings| settings.on_abandoned = on_abandoned)
    }

    /// Lets duplicates of a running request wait for its answer. Off by default: they get 409 `in-flight`.
    pub fn wait(self, wait: Wait) -> Self {
        self.set(|settings| settings.wait = Some(wait))
    }

    /// Limits how fast one scope may claim new keys: 429 `too-many-claims` before the store is asked. Off by default.
    ///
    /// Clones of the layer share the buckets.
    pub fn limit_claims(self, limit: ClaimLimit) -> Self {
        self.set(|settings| settings.claim_limit = Some(limit))
    }

    /// Makes a request header field part of what must be equal for a retry to be the same request, an API version for
    /// instance. May be called several times.
    pub fn fingerprint_header(self, name: HeaderName) -> Self {
        self.set(|settings| settings.fingerprint_headers.push(name))
    }

    /// Digests request bodies with XXH3 instead of BLAKE3: for large bodies, where the digest is most of the layer's work. Off
    /// by default. With the feature `fast-fingerprint`.
    ///
    /// - **It is not collision resistant.** A client that makes two bodies with one digest gets the answer of the first for the
    ///   second. Only its own: a key means something only within its scope. Leave it off where several parties share a scope, or
    ///   where somebody can send a client's key with a body of his own making.
    /// - The digest and the body's length go through the keyed BLAKE3 with everything else, so a leaked store gives away as
    ///   little about short bodies as without it. Whoever knows the [`Secret`] can guess them in both cases.
    /// - The two kinds never equal each other. All servers of a store have the same one, and **changing it** makes retries of
    ///   what was recorded before look like other requests: they get 422 `key-reused` for up to the retention. Nothing runs twice.
    ///
    /// Of 64 KiB, XXH3 takes 2 microseconds and BLAKE3 10; below a kilobyte there is nothing to gain.
    ///
    /// ```
    /// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, store::MemoryStore};
    /// # fn main() -> Result<(), ConfigError> {
    /// let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?).fast_fingerprint();
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "fast-fingerprint")]
    pub fn fast_fingerprint(self) -> Self {
        self.set(|settings| settings.body_digest = crate::fingerprint::BodyDigest::Fast)
    }

    /// Makes a response header field part of the recorded answer, besides `content-*`, `location`, `etag`,
    /// `last-modified`, `link`, `retry-after`, `cache-control` and `vary`. May be called several times.
    ///
    /// # Errors
    ///
    /// [`ConfigError::HeaderNotReplayable`] for fields of one connection, moment, server or trace, such as `connection` or
    /// `date`, and for credentials, such as `www-authenticate`. [`ConfigError::SetCookie`] for cookies.
    ///
    /// ```
    /// use http::{HeaderName, header};
    /// use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, store::MemoryStore};
    ///
    /// # fn main() -> Result<(), ConfigError> {
    /// let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
    /// let layer = layer.replay_header(HeaderName::from_static("x-invoice"))?;
    /// assert_eq!(layer.clone().replay_header(header::DATE).err(), Some(ConfigError::HeaderNotReplayable));
    /// assert_eq!(layer.replay_header(header::SET_COOKIE).err(), Some(ConfigError::SetCookie));
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay_header(mut self, name: HeaderName) -> Result<Self, ConfigError> {
        Arc::make_mut(&mut self.settings).allow_list.add(name)?;
        Ok(self)
    }

    /// Makes `set-cookie` part of the recorded answer. By default cookies reach the first client only.
    ///
    /// **Hazard**: the cookies lie in the store for the whole retention, readable by whoever can read it, and every
    /// replay sets them again: at whoever else has the same scope and key, and at a client that has logged out or been given
    /// a newer session meanwhile. A session cookie then works as long as the session itself, so end sessions on the
    /// server. Fit for cookies that are no credentials.
    ///
    /// ```
    /// # use tower_idempotency::{ConfigError, IdempotencyLayer, Scope, Secret, store::MemoryStore};
    /// # fn main() -> Result<(), ConfigError> {
    /// let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?).replay_set_cookie();
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay_set_cookie(self) -> Self {
        self.set(|settings| settings.allow_list.add_cookies())
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

    /// How often something happened that the promise does not cover; for metrics and alarms. Costs a few loads.
    pub fn counts(&self) -> Counts {
        self.engine.counts.snapshot()
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
