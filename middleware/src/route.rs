//! Settings that differ from route to route.

use std::sync::Arc;

use idempotency_store::Retention;

use crate::config::{ConfigError, OnDisconnect, OnUnavailable, body_limit};
use crate::on_abandoned::OnAbandoned;
use crate::recording_policy::RecordingPolicy;
use crate::settings::Settings;
use crate::wait::Wait;

/// Settings for one request, by which a middleware outside narrows a layer that looks after many routes. Whatever is not set
/// stays as the layer has it. A request without this extension costs nothing for it.
///
/// Put it into the request's extensions *outside* of the layer. In axum, the layers of routes run after routing, so that such
/// a middleware sees the `MatchedPath`:
///
/// ```
/// use axum::extract::{MatchedPath, Request};
/// use axum::middleware::{Next, from_fn};
/// use axum::{Router, response::Response, routing::post};
/// use tower_idempotency::{IdempotencyLayer, RouteSettings, Scope, Secret, store::MemoryStore};
///
/// async fn narrow(path: MatchedPath, mut request: Request, next: Next) -> Response {
///     let settings = match path.as_str() {
///         "/payments" => RouteSettings::new().required(true),
///         "/uploads" => RouteSettings::new().bypass(),
///         _ => RouteSettings::new(),
///     };
///     request.extensions_mut().insert(settings);
///     next.run(request).await
/// }
///
/// # fn main() -> Result<(), tower_idempotency::ConfigError> {
/// let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// let app: Router = Router::new()
///     .route("/payments", post(|| async { "paid" }))
///     .route("/uploads", post(|| async { "stored" }))
///     .route_layer(layer) // inside ..
///     .route_layer(from_fn(narrow)); // .. of this one: the last layer is outermost
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
///
/// Where a route's settings are known when the router is built, give its method router a clone of the layer instead. Clones
/// share the store and one [`drain`](crate::IdempotencyLayer::drain):
///
/// ```
/// # use axum::{Router, routing::post};
/// # use tower_idempotency::{IdempotencyLayer, RouteSettings, Scope, Secret, store::MemoryStore};
/// # fn main() -> Result<(), tower_idempotency::ConfigError> {
/// let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
/// let app: Router = Router::new()
///     .route("/payments", post(|| async { "paid" }).layer(layer.clone().required()))
///     .route("/notes", post(|| async { "noted" }).layer(layer.max_request_body(64 * 1024)?));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
///
/// Do not do both for one route: of two layers that a request meets, the outer one looks after it and the inner one, with
/// all its settings, passes it through. (An outer one that lets a request pass, because it carries no key, leaves it to the
/// inner one.) A second `RouteSettings` in a request replaces the first.
#[derive(Clone, Debug, Default)]
pub struct RouteSettings {
    bypass: bool,
    required: Option<bool>,
    max_request_body: Option<usize>,
    max_recorded_answer: Option<usize>,
    recording: Option<RecordingPolicy>,
    retention: Option<Retention>,
    on_disconnect: Option<OnDisconnect>,
    on_unavailable: Option<OnUnavailable>,
    on_abandoned: Option<OnAbandoned>,
    wait: Option<Wait>,
}

impl RouteSettings {
    /// Settings that change nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The request is not looked after at all: it passes through untouched and streaming, whatever it carries.
    pub const fn bypass(mut self) -> Self {
        self.bypass = true;
        self
    }

    /// See [`IdempotencyLayer::required`](crate::IdempotencyLayer::required); `false` makes the key optional.
    pub const fn required(mut self, required: bool) -> Self {
        self.required = Some(required);
        self
    }

    /// See [`IdempotencyLayer::max_request_body`](crate::IdempotencyLayer::max_request_body).
    ///
    /// # Errors
    ///
    /// [`ConfigError::BodyLimit`] as there.
    pub fn max_request_body(mut self, bytes: usize) -> Result<Self, ConfigError> {
        self.max_request_body = Some(body_limit(bytes)?);
        Ok(self)
    }

    /// See [`IdempotencyLayer::max_recorded_answer`](crate::IdempotencyLayer::max_recorded_answer).
    ///
    /// # Errors
    ///
    /// [`ConfigError::BodyLimit`] as there.
    pub fn max_recorded_answer(mut self, bytes: usize) -> Result<Self, ConfigError> {
        self.max_recorded_answer = Some(body_limit(bytes)?);
        Ok(self)
    }

    /// See [`IdempotencyLayer::recording`](crate::IdempotencyLayer::recording).
    pub fn recording(mut self, policy: RecordingPolicy) -> Self {
        self.recording = Some(policy);
        self
    }

    /// How long answers are kept, instead of the layer's [retention](crate::Timing::retention). What a handler or policy says by
    /// [`Recording::KeepFor`](crate::Recording::KeepFor) counts more. A key that is not completed keeps the layer's.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_idempotency::{Retention, RouteSettings, store::TermsError};
    ///
    /// let settings = RouteSettings::new().retention(Retention::new(Duration::from_secs(60 * 60))?);
    /// # let _ = settings;
    /// assert_eq!(Retention::new(Duration::ZERO), Err(TermsError::AnswerTooShort));
    /// # Ok::<(), TermsError>(())
    /// ```
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = Some(retention);
        self
    }

    /// See [`IdempotencyLayer::on_disconnect`](crate::IdempotencyLayer::on_disconnect).
    pub const fn on_disconnect(mut self, on_disconnect: OnDisconnect) -> Self {
        self.on_disconnect = Some(on_disconnect);
        self
    }

    /// See [`IdempotencyLayer::on_unavailable`](crate::IdempotencyLayer::on_unavailable).
    pub const fn on_unavailable(mut self, on_unavailable: OnUnavailable) -> Self {
        self.on_unavailable = Some(on_unavailable);
        self
    }

    /// See [`IdempotencyLayer::on_abandoned`](crate::IdempotencyLayer::on_abandoned).
    pub fn on_abandoned(mut self, on_abandoned: OnAbandoned) -> Self {
        self.on_abandoned = Some(on_abandoned);
        self
    }

    /// See [`IdempotencyLayer::wait`](crate::IdempotencyLayer::wait).
    pub const fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    pub(crate) const fn is_bypass(&self) -> bool {
        self.bypass
    }

    /// The layer's settings with what is set here.
    pub(crate) fn narrow(&self, layer: &Settings) -> Arc<Settings> {
        let mut settings = layer.clone();
        set(&mut settings.required, self.required);
        set(&mut settings.max_request_body, self.max_request_body);
        set(&mut settings.max_recorded_answer, self.max_recorded_answer);
        set(&mut settings.recording, self.recording.clone());
        settings.retention = self.retention.or(settings.retention);
        set(&mut settings.on_disconnect, self.on_disconnect);
        set(&mut settings.on_unavailable, self.on_unavailable);
        set(&mut settings.on_abandoned, self.on_abandoned.clone());
        set(&mut settings.wait, self.wait.map(Some));
        Arc::new(settings)
    }
}

fn set<T>(setting: &mut T, to: Option<T>) {
    if let Some(to) = to {
        *setting = to;
    }
}
