//! The service: which requests concern it, and who carries out the rest.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use idempotency_store::Store;
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody};
use crate::engine::Engine;
use crate::execution::{Execution, LookedAfter};
use crate::key::{IdempotencyKey, KeyError};
use crate::rejection::Rejection;
use crate::route::RouteSettings;
use crate::settings::Settings;

/// The service that [`IdempotencyLayer`](crate::IdempotencyLayer) makes. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct IdempotencyService<Inner, S> {
    inner: Inner,
    engine: Arc<Engine<S>>,
    settings: Arc<Settings>,
}

/// What the layer does about a request, before anything else is known of it.
enum Concern {
    /// Safe methods, requests that carry no key where none is required, that another layer looks after, or that none shall.
    None,
    Keyed(IdempotencyKey, Arc<Settings>),
    Rejected(Response<Bytes>),
}

impl<Inner, S> IdempotencyService<Inner, S> {
    pub(crate) const fn new(inner: Inner, engine: Arc<Engine<S>>, settings: Arc<Settings>) -> Self {
        Self { inner, engine, settings }
    }

    fn concern<B>(&self, request: &Request<B>) -> Concern {
        // A layer met twice would ask for a key that it holds itself, and record its own refusal.
        let (extensions, route) = (request.extensions(), request.extensions().get::<RouteSettings>());
        let passes = extensions.get::<LookedAfter>().is_some() || route.is_some_and(RouteSettings::is_bypass);
        if passes || is_safe(request.method()) {
            return Concern::None;
        }
        let settings = route.map_or_else(|| Arc::clone(&self.settings), |route| route.narrow(&self.settings));
        match settings.syntax.parse_within(request.headers(), &settings.key_length) {
            Ok(key) => Concern::Keyed(key, settings),
            Err(KeyError::Missing) if !settings.required => Concern::None,
            Err(error) => Concern::Rejected(settings.rejections.respond(Rejection::key_malformed(error))),
        }
    }
}

/// RFC 9110, section 9.2.1. PUT and DELETE are idempotent but not safe: a retry would get another answer.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

impl<Inner: Clone, S> Clone for IdempotencyService<Inner, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), engine: Arc::clone(&self.engine), settings: Arc::clone(&self.settings) }
    }
}

impl<Inner, S, B, RB> Service<Request<B>> for IdempotencyService<Inner, S>
where
    Inner: Service<Request<RequestBody<B>>, Response = Response<RB>> + Clone + Send + 'static,
    Inner::Future: Send,
    Inner::Error: Send,
    S: Store,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
    RB: Body<Data = Bytes> + Send + 'static,
    RB::Error: Send,
{
    type Response = Response<ResponseBody<RB>>;
    type Error = Inner::Error;
    type Future = ResponseFuture<Inner::Future, RB, Inner::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.concern(&request) {
            Concern::None => ResponseFuture::passed(self.inner.call(request.map(RequestBody::passed))),
            Concern::Rejected(response) => {
                ResponseFuture::ready(response.map(|body| ResponseBody::gathered(body, None)))
            }
            Concern::Keyed(key, settings) => {
                // The service that was polled ready is the one that is called; its clone waits for the next request.
                let ready = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, ready);
                let execution = Execution::new(inner, Arc::clone(&self.engine), settings);
                ResponseFuture::keyed(execution.answer(key, request))
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`IdempotencyService`].
    ///
    /// Dropping it while the request body is being read leaves no trace. Dropping it later does not stop the handler,
    /// unless [`OnDisconnect::Cancel`](crate::OnDisconnect::Cancel) is set.
    pub struct ResponseFuture<F, RB: Body, E> {
        #[pin]
        kind: Kind<F, RB, E>,
    }
}

type Keyed<RB, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<RB>>, E>> + Send>>;

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<F, RB: Body, E> {
        // Not boxed: a request that does not concern the layer costs no allocation.
        Passed { #[pin] future: F },
        // Boxed, so that the others do not take room for it.
        Ready { response: Option<Box<Response<ResponseBody<RB>>>> },
        Keyed { future: Keyed<RB, E> },
    }
}

impl<F, RB: Body, E> ResponseFuture<F, RB, E> {
    const fn passed(future: F) -> Self {
        Self { kind: Kind::Passed { future } }
    }

    fn ready(response: Response<ResponseBody<RB>>) -> Self {
        Self { kind: Kind::Ready { response: Some(Box::new(response)) } }
    }

    fn keyed(future: impl Future<Output = Result<Response<ResponseBody<RB>>, E>> + Send + 'static) -> Self {
        Self { kind: Kind::Keyed { future: Box::pin(future) } }
    }
}

impl<F, RB, E> Future for ResponseFuture<F, RB, E>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<RB>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Passed { future } => future.poll(cx).map_ok(|response| response.map(ResponseBody::passed)),
            KindProj::Ready { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)))
            }
            KindProj::Keyed { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, RB: Body, E> std::fmt::Debug for ResponseFuture<F, RB, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseFuture(..)")
    }
}
