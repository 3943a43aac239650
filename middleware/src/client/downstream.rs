//! A tower layer around a client: turns a [`Downstream`] in a request's extensions into header fields.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::BoxError;
use crate::downstream::{Downstream, DownstreamError};

/// Puts `Idempotency-Key` and `Idempotency-Fence` on the requests that carry a [`Downstream`] in their extensions. Others
/// pass through untouched.
///
/// The lease is looked at when the request comes by: where it is lost, the call fails with [`DownstreamError::LeaseLost`]
/// and nothing is sent. Put it **inside** a [`RetryLayer`](super::RetryLayer), so that each try looks again.
///
/// Errors are boxed, as tower's own layers do: the client's as it is, or a [`DownstreamError`].
///
/// Cancel safety: that of the client. It adds no state and no wait.
///
/// ```
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_idempotency::{IDEMPOTENCY_FENCE, IDEMPOTENCY_KEY, Idempotency, client::DownstreamLayer};
///
/// async fn charge(idempotency: Idempotency) -> Result<Response<()>, tower::BoxError> {
///     let bank = ServiceBuilder::new().layer(DownstreamLayer::new()).service(service_fn(bank));
///     let mut request = Request::post("http://bank/charges").body(())?;
///     request.extensions_mut().insert(idempotency.downstream("charge"));
///     bank.oneshot(request).await
/// }
///
/// async fn bank(request: Request<()>) -> Result<Response<()>, tower::BoxError> {
///     assert!(request.headers().contains_key(IDEMPOTENCY_KEY));
///     assert!(request.headers().contains_key(IDEMPOTENCY_FENCE));
///     Ok(Response::new(()))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DownstreamLayer(());

impl DownstreamLayer {
    /// The layer. There is nothing to set.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<C> Layer<C> for DownstreamLayer {
    type Service = DownstreamService<C>;

    fn layer(&self, client: C) -> DownstreamService<C> {
        DownstreamService { client }
    }
}

/// The service that [`DownstreamLayer`] makes.
#[derive(Clone, Debug)]
pub struct DownstreamService<C> {
    client: C,
}

impl<C, B> Service<Request<B>> for DownstreamService<C>
where
    C: Service<Request<B>>,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = DownstreamFuture<C::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let applied = match request.extensions().get::<Downstream>().cloned() {
            Some(downstream) => downstream.apply(request.headers_mut()),
            None => Ok(()),
        };
        match applied {
            Ok(()) => DownstreamFuture { kind: Kind::Sent { future: self.client.call(request) } },
            Err(error) => DownstreamFuture { kind: Kind::Refused { error: Some(error) } },
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`DownstreamService`].
    #[derive(Debug)]
    pub struct DownstreamFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<F> {
        Sent { #[pin] future: F },
        Refused { error: Option<DownstreamError> },
    }
}

impl<F, R, E> Future for DownstreamFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Sent { future } => Poll::Ready(ready!(future.poll(cx)).map_err(Into::into)),
            KindProj::Refused { error } => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error.into()))),
        }
    }
}
