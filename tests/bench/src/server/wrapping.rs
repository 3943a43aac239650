//! A layer that does nothing but give requests and responses bodies of its own type, as every layer does that looks at bodies.
//! axum puts such bodies into boxes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

#[derive(Clone, Copy, Debug)]
pub(super) struct Wrapping;

#[derive(Clone, Debug)]
pub(super) struct Wrapper<S>(S);

pin_project! {
    pub(super) struct Wrapped { #[pin] body: Body }
}

pin_project! {
    pub(super) struct Answering<F> { #[pin] answering: F }
}

impl<S> Layer<S> for Wrapping {
    type Service = Wrapper<S>;

    fn layer(&self, inner: S) -> Wrapper<S> {
        Wrapper(inner)
    }
}

impl<S> Service<Request<Body>> for Wrapper<S>
where
    S: Service<Request<Wrapped>, Response = Response<Body>>,
{
    type Response = Response<Wrapped>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Answering { answering: self.0.call(request.map(|body| Wrapped { body })) }
    }
}

impl<F, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Wrapped>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().answering.poll(cx));
        Poll::Ready(response.map(|response| response.map(|body| Wrapped { body })))
    }
}

impl http_body::Body for Wrapped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
