//! Panics of a handler, caught where they end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project_lite::pin_project! {
    /// A future whose panic is an error. It must not be polled again after one.
    pub(crate) struct Caught<F> {
        #[pin]
        future: F,
    }
}

/// The future panicked. What it panicked with went to the panic hook and is not repeated: it may contain input.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Catches a panic of `future`.
///
/// The future is dropped after a panic and never polled again, so nothing can observe what the panic left half done.
pub(crate) const fn caught<F: Future>(future: F) -> Caught<F> {
    Caught { future }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}
