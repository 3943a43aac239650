//! A layer that does nothing.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

#[derive(Clone, Debug)]
pub(super) struct Through<S>(S);

impl<S> Layer<S> for Nothing {
    type Service = Through<S>;

    fn layer(&self, inner: S) -> Through<S> {
        Through(inner)
    }
}

impl<R, S: Service<R>> Service<R> for Through<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}
