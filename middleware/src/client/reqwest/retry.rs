//! The middleware: one key per call, and as many tries as it takes.

use std::sync::Arc;

use ::reqwest::{Body, Request, Response, ResponseBuilderExt};
use http::Extensions;
use reqwest_middleware::{Error, Middleware, Next, Result};
use tokio::time::Instant;

use crate::client::answer::{Answer, read, to_be_read};
use crate::client::call::{Tried, Try, drive, key_of};
use crate::client::failure::Failure;
use crate::client::gave_up::CallError;
use crate::client::policy::Course;
use crate::client::settings::{RetryPolicy, RetryPolicyError};

/// Makes calls through reqwest safe to retry, and retries them. See [the module](crate::client) for the rules.
///
/// The key comes by `.with_extension(key)`, or is made. The answer's extensions hold the
/// [`RequestKey`](crate::client::RequestKey). A request whose body is a stream fails with [`CallError::NotRepeatable`]
/// before anything is sent.
///
/// A call that ends without a final answer fails with [`Error::Middleware`] around a [`CallError`], which
/// `downcast_ref` finds. A request without a key - of a safe method - passes through.
///
/// Attach it before a [`DownstreamMiddleware`](super::DownstreamMiddleware). reqwest's own retries repeat only what a
/// server said that it did not look at, and do no harm.
///
/// Cancel safety: dropping the call drops the try that is under way and leaves the outcome unknown. The key is what to
/// keep: make it first.
///
/// ```
/// use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
/// use tower_idempotency::client::{CallError, RequestKey, reqwest::RetryMiddleware};
///
/// fn client() -> ClientWithMiddleware {
///     ClientBuilder::new(reqwest::Client::new()).with(RetryMiddleware::new()).build()
/// }
///
/// async fn pay(client: &ClientWithMiddleware, key: RequestKey) -> reqwest_middleware::Result<String> {
///     let payment = client.post("http://shop/payments").with_extension(key).body(r#"{"amount":1000}"#);
///     match payment.send().await {
///         Ok(answer) => Ok(answer.text().await?),
///         Err(error) => {
///             if let reqwest_middleware::Error::Middleware(error) = &error {
///                 if let Some(CallError::GaveUp(gave_up)) = error.downcast_ref() {
///                     println!("{:?}: ask again with the same key", gave_up.outcome());
///                 }
///             }
///             Err(error)
///         }
///     }
/// }
/// # let _ = client();
/// ```
#[derive(Clone, Debug, Default)]
pub struct RetryMiddleware {
    policy: Arc<RetryPolicy>,
}

impl RetryMiddleware {
    /// A middleware with [`RetryPolicy::default`] and a budget of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// How to retry.
    ///
    /// # Errors
    ///
    /// See [`RetryPolicy::check`]. Nothing is changed then.
    pub fn policy(mut self, policy: RetryPolicy) -> std::result::Result<Self, RetryPolicyError> {
        policy.check()?;
        self.policy = Arc::new(policy);
        Ok(self)
    }
}

#[async_trait::async_trait]
impl Middleware for RetryMiddleware {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let method = request.method().clone();
        let key = key_of(&method, request.headers_mut(), extensions, self.policy.form).map_err(Error::middleware)?;
        let Some(key) = key else { return next.run(request, extensions).await };
        let course = Course::new(&self.policy, Instant::now());
        let mut tries = Tries { request, extensions, next, answer_limit: self.policy.answer_limit };
        if tries.request.try_clone().is_none() {
            return Err(Error::middleware(CallError::NotRepeatable));
        }
        let mut response = drive(&key, course, &mut tries).await.map_err(Error::middleware)?;
        response.extensions_mut().insert(key);
        Ok(response)
    }
}

/// The tries of one call.
struct Tries<'a> {
    request: Request,
    extensions: &'a mut Extensions,
    next: Next<'a>,
    answer_limit: usize,
}

impl Try for Tries<'_> {
    type Response = Response;

    async fn send(&mut self) -> Tried<Response> {
        let Some(request) = self.request.try_clone() else {
            return Tried::Failed(Failure::Refused, CallError::NotRepeatable.into());
        };
        match self.next.clone().run(request, self.extensions).await {
            Ok(response) => look(response, self.answer_limit).await,
            Err(error) => Tried::Failed(failure(&error), error.into()),
        }
    }
}

/// Reads as much of an answer as it takes to judge it, and puts that back.
async fn look(response: Response, limit: usize) -> Tried<Response> {
    if to_be_read(response.status(), response.headers(), limit).is_none() {
        let answer = Answer::of(response.status(), response.headers(), std::time::SystemTime::now());
        return Tried::Answered(answer, response);
    }
    let url = response.url().clone();
    match read(http::Response::<Body>::from(response), limit).await {
        Ok((answer, response)) => {
            let (mut parts, body) = response.into_parts();
            // reqwest keeps the URL beside its own type, and takes it from here on the way back.
            let at = http::Response::builder().url(url).body(()).unwrap_or_default();
            parts.extensions.extend(at.into_parts().0.extensions);
            Tried::Answered(answer, Response::from(http::Response::from_parts(parts, Body::wrap(body))))
        }
        Err(error) => Tried::Failed(Failure::Unknown, error.into()),
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Reqwest(error) if error.is_connect() => Failure::NotSent,
        Error::Reqwest(error) if error.is_builder() => Failure::Refused,
        Error::Reqwest(_) => Failure::Unknown,
        Error::Middleware(error) => Failure::of(error.as_ref()),
    }
}
