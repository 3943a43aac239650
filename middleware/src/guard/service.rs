//! The service: asks, and calls the inner service or answers instead.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use idempotency_store::FenceStore;
use tower_service::Service;

use super::check::{Concern, Guard};
use crate::body::ResponseBody;

/// The service that [`FenceGuardLayer`](super::FenceGuardLayer) makes. See the [module's documentation](super).
#[derive(Debug)]
pub struct FenceGuardService<Inner, F> {
    inner: Inner,
    guard: Arc<Guard<F>>,
}

impl<Inner, F> FenceGuardService<Inner, F> {
    pub(super) const fn new(inner: Inner, guard: Arc<Guard<F>>) -> Self {
        Self { inner, guard }
    }
}

impl<Inner: Clone, F> Clone for FenceGuardService<Inner, F> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), guard: Arc::clone(&self.guard) }
    }
}

impl<Inner, F, B, RB> Service<Request<B>> for FenceGuardService<Inner, F>
where
    Inner: Service<Request<B>, Response = Response<RB>> + Clone + Send + 'static,
    Inner::Future: Send,
    F: FenceStore,
    B: Send + 'static,
    RB: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<RB>>;
    type Error = Inner::Error;
    type Future = GuardFuture<Inner::Future, RB, Inner::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.guard.concern(&parts) {
            Concern::None => GuardFuture::passed(self.inner.call(Request::from_parts(parts, body))),
            Concern::Rejected(rejection) => GuardFuture::ready(answered(self.guard.respond(rejection))),
            Concern::Fence(key, fence) => {
                // The service that was polled ready is the one that is called; its clone waits for the next request.
                let ready = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, ready);
                let guard = Arc::clone(&self.guard);
                GuardFuture::guarded(async move {
                    if let Err(rejection) = guard.admit(key, fence).await {
                        return Ok(answered(guard.respond(rejection)));
                    }
                    parts.extensions.insert(fence);
                    inner
                        .call(Request::from_parts(parts, body))
                        .await
                        .map(|response| response.map(ResponseBody::passed))
                })
            }
        }
    }
}

/// The guard's own answer as the body that every answer has.
fn answered<RB: Body>(response: Response<Bytes>) -> Response<ResponseBody<RB>> {
    response.map(|body| ResponseBody::gathered(body, None))
}

pin_project_lite::pin_project! {
    /// The future of [`FenceGuardService`].
    ///
    /// Dropping it before the store has answered means that the inner service is not called; later, it drops the inner
    /// service's future.
    pub struct GuardFuture<Running, RB: Body, E> {
        #[pin]
        kind: Kind<Running, RB, E>,
    }
}

type Guarded<RB, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<RB>>, E>> + Send>>;

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<Running, RB: Body, E> {
        // Not boxed: a request that does not concern the guard costs no allocation.
        Passed { #[pin] running: Running },
        Ready { response: Option<Response<ResponseBody<RB>>> },
        Guarded { future: Guarded<RB, E> },
    }
}

impl<Running, RB: Body, E> GuardFuture<Running, RB, E> {
    const fn passed(running: Running) -> Self {
        Self { kind: Kind::Passed { running } }
    }

    const fn ready(response: Response<ResponseBody<RB>>) -> Self {
        Self { kind: Kind::Ready { response: Some(response) } }
    }

    fn guarded(future: impl Future<Output = Result<Response<ResponseBody<RB>>, E>> + Send + 'static) -> Self {
        Self { kind: Kind::Guarded { future: Box::pin(future) } }
    }
}

impl<Running, RB, E> Future for GuardFuture<Running, RB, E>
where
    Running: Future<Output = Result<Response<RB>, E>>,
    RB: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<RB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Passed { running } => running.poll(cx).map_ok(|response| response.map(ResponseBody::passed)),
            KindProj::Ready { response } => response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            KindProj::Guarded { future } => future.as_mut().poll(cx),
        }
    }
}

impl<Running, RB: Body, E> fmt::Debug for GuardFuture<Running, RB, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardFuture(..)")
    }
}
