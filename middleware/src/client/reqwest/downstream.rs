//! The middleware that puts a step's key and fence on a call.

use ::reqwest::{Request, Response};
use http::Extensions;
use reqwest_middleware::{Error, Middleware, Next, Result};

use crate::downstream::Downstream;

/// Puts `Idempotency-Key` and `Idempotency-Fence` on the requests that were given a [`Downstream`] by `with_extension`.
/// Others pass through untouched. Attach it **after** a [`RetryMiddleware`](super::RetryMiddleware), so that each try
/// looks at the lease again.
///
/// Where the lease is lost, or the request has another key already, nothing is sent and the call fails with
/// [`Error::Middleware`] around a [`DownstreamError`](crate::DownstreamError), which `downcast_ref` finds.
///
/// Cancel safety: that of the client. It adds no state and no wait.
///
/// ```
/// use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
/// use tower_idempotency::{Idempotency, client::reqwest::DownstreamMiddleware};
///
/// fn client() -> ClientWithMiddleware {
///     ClientBuilder::new(reqwest::Client::new()).with(DownstreamMiddleware::new()).build()
/// }
///
/// async fn charge(bank: &ClientWithMiddleware, idempotency: &Idempotency) -> reqwest_middleware::Result<String> {
///     let charge = bank.post("http://bank/charges").with_extension(idempotency.downstream("charge"));
///     Ok(charge.body(r#"{"amount":1000}"#).send().await?.text().await?)
/// }
/// # let _ = client();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DownstreamMiddleware(());

impl DownstreamMiddleware {
    /// The middleware. There is nothing to set.
    pub const fn new() -> Self {
        Self(())
    }
}

#[async_trait::async_trait]
impl Middleware for DownstreamMiddleware {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        if let Some(downstream) = extensions.get::<Downstream>() {
            downstream.apply(request.headers_mut()).map_err(Error::middleware)?;
        }
        next.run(request, extensions).await
    }
}
