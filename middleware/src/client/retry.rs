//! The tower layer: one key per call, and as many tries as it takes.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::BoxError;
use super::answer::read;
use super::call::{Tried, Try, drive, key_of};
use super::failure::Failure;
use super::gave_up::CallError;
use super::key::RequestKey;
use super::policy::Course;
use super::settings::{RetryPolicy, RetryPolicyError};
use crate::body::ResponseBody;

/// Makes calls through a client safe to retry, and retries them. See [the module](super) for the rules.
///
/// The client is any `Clone` service over HTTP requests whose body is [`Clone`]: use `http_body_util::Full<Bytes>`, of
/// which a clone is a reference. Each try is a clone of the whole request, extensions included.
///
/// The answer's extensions hold the [`RequestKey`], for callers who have to ask for a broken body again.
///
/// Cancel safety: dropping the call drops the try that is under way and leaves the outcome unknown. The key is what to
/// keep: make it first, and put it into the request's extensions.
#[derive(Clone)]
pub struct RetryLayer {
    policy: Arc<RetryPolicy>,
    classify: Arc<Classify>,
}

type Classify = dyn Fn(&(dyn Error + 'static)) -> Failure + Send + Sync;

impl RetryLayer {
    /// A layer with [`RetryPolicy::default`] and a budget of its own.
    pub fn new() -> Self {
        Self { policy: Arc::default(), classify: Arc::new(Failure::of) }
    }

    /// How to retry.
    ///
    /// # Errors
    ///
    /// See [`RetryPolicy::check`]. Nothing is changed then.
    pub fn policy(mut self, policy: RetryPolicy) -> Result<Self, RetryPolicyError> {
        policy.check()?;
        self.policy = Arc::new(policy);
        Ok(self)
    }

    /// What an error of the client means. Default [`Failure::of`], which takes little for certain; a client that knows when
    /// it had no connection can say so.
    ///
    /// ```
    /// use tower_idempotency::client::{Failure, RetryLayer};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("no connection")]
    /// struct NoConnection;
    ///
    /// let layer = RetryLayer::new().classify(|error| match error.downcast_ref::<NoConnection>() {
    ///     Some(NoConnection) => Failure::NotSent,
    ///     None => Failure::of(error),
    /// });
    /// # let _ = layer;
    /// ```
    pub fn classify(mut self, classify: impl Fn(&(dyn Error + 'static)) -> Failure + Send + Sync + 'static) -> Self {
        self.classify = Arc::new(classify);
        self
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RetryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<C> Layer<C> for RetryLayer {
    type Service = RetryService<C>;

    fn layer(&self, client: C) -> RetryService<C> {
        RetryService { client, layer: self.clone() }
    }
}

/// The service that [`RetryLayer`] makes.
#[derive(Clone, Debug)]
pub struct RetryService<C> {
    client: C,
    layer: RetryLayer,
}

impl<C, B, RB> Service<Request<B>> for RetryService<C>
where
    C: Service<Request<B>, Response = Response<RB>> + Clone + Send + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
    B: Clone + Send + 'static,
    RB: Body<Data = Bytes> + Send + 'static,
    RB::Error: Into<BoxError> + Send,
{
    type Response = Response<ResponseBody<RB>>;
    type Error = CallError;
    type Future = RetryFuture<RB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.client.poll_ready(cx).map_err(|error| CallError::Client(error.into()))
    }

    fn call(&mut self, request: Request<B>) -> RetryFuture<RB> {
        // The service that was polled ready is the one that is called; its clone waits for the next request.
        let idle = self.client.clone();
        let ready = std::mem::replace(&mut self.client, idle.clone());
        RetryFuture(Box::pin(call(ready, idle, request, self.layer.clone())))
    }
}

async fn call<C, B, RB>(mut ready: C, idle: C, request: Request<B>, layer: RetryLayer) -> Called<RB>
where
    C: Service<Request<B>, Response = Response<RB>> + Clone + Send,
    C::Error: Into<BoxError>,
    C::Future: Send,
    B: Clone + Send,
    RB: Body<Data = Bytes> + Send,
    RB::Error: Into<BoxError> + Send,
{
    let (mut parts, body) = request.into_parts();
    let key = key_of(&parts.method, &mut parts.headers, &parts.extensions, layer.policy.form)?;
    let request = Request::from_parts(parts, body);
    let Some(key) = key else {
        let response = ready.call(request).await.map_err(|error| CallError::Client(error.into()))?;
        return Ok(response.map(ResponseBody::passed));
    };
    let course = Course::new(&layer.policy, Instant::now());
    let mut tries = Tries { ready: Some(ready), idle, request, layer };
    let mut response = drive(&key, course, &mut tries).await?;
    response.extensions_mut().insert::<RequestKey>(key);
    Ok(response)
}

/// The tries of one call.
struct Tries<C, B> {
    /// For the first one.
    ready: Option<C>,
    idle: C,
    request: Request<B>,
    layer: RetryLayer,
}

impl<C, B, RB> Try for Tries<C, B>
where
    C: Service<Request<B>, Response = Response<RB>> + Clone + Send,
    C::Error: Into<BoxError>,
    C::Future: Send,
    B: Clone + Send,
    RB: Body<Data = Bytes> + Send,
    RB::Error: Into<BoxError> + Send,
{
    type Response = Response<ResponseBody<RB>>;

    async fn send(&mut self) -> Tried<Self::Response> {
        let mut client = match self.ready.take() {
            Some(ready) => ready,
            None => match ready(self.idle.clone()).await {
                Ok(client) => client,
                // A service that failed while it got ready fails for ever (tower's contract).
                Err(error) => return Tried::Failed(Failure::Refused, error.into()),
            },
        };
        let response = match client.call(self.request.clone()).await {
            Ok(response) => response,
            Err(error) => {
                let error: BoxError = error.into();
                return Tried::Failed((self.layer.classify)(&*error), error);
            }
        };
        match read(response, self.layer.policy.answer_limit).await {
            Ok((answer, response)) => Tried::Answered(answer, response),
            Err(error) => Tried::Failed(Failure::Unknown, error.into()),
        }
    }
}

async fn ready<C: Service<R>, R>(mut client: C) -> Result<C, C::Error> {
    poll_fn(|cx| client.poll_ready(cx)).await.map(|()| client)
}

/// The future of [`RetryService`].
///
/// Dropping it drops the try that is under way, whose outcome is unknown then.
pub struct RetryFuture<RB: Body>(Pin<Box<dyn Future<Output = Called<RB>> + Send>>);

/// What a call comes to.
type Called<RB> = Result<Response<ResponseBody<RB>>, CallError>;

impl<RB: Body> Future for RetryFuture<RB> {
    type Output = Called<RB>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<RB: Body> fmt::Debug for RetryFuture<RB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryFuture(..)")
    }
}
