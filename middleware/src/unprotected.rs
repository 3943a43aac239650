//! A request that runs without a store, on a route that fails open.

use http::Request;
use idempotency_store::Store;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::answer::Patience;
use crate::body::RequestBody;
use crate::execution::{Answered, Ended, Execution, HttpBody, HttpService, Keyed, LookedAfter, handle};
use crate::headers::{IDEMPOTENCY_STATUS, UNPROTECTED};
use crate::recording::Recording;
use crate::rejection::Rejection;
use crate::reply::rejected;

/// What is done with an answer that no store is told of: it is passed on.
const NOT_TOLD: Recording = Recording::AlreadyRecorded;

impl<Inner, S: Store> Execution<Inner, S> {
    /// The handler without a lease, for a route that does not wait for the store. Nothing is recorded.
    pub(crate) async fn run_unprotected<B, RB>(
        self,
        keyed: Keyed,
        reply: &mut oneshot::Sender<Answered<RB, Inner::Error>>,
    ) -> Answered<RB, Inner::Error>
    where
        Inner: HttpService<RequestBody<B>, RB>,
        B: HttpBody,
        RB: HttpBody,
    {
        let Keyed { mut parts, body, trailers, .. } = keyed;
        parts.extensions.insert(LookedAfter);
        let request = Request::from_parts(parts, RequestBody::gathered(body, trailers));
        let on_disconnect = self.settings.on_disconnect;
        let patience = Patience { until: Instant::now(), limit: 0 };
        let mut response = match handle(self.inner, request, |_| NOT_TOLD, patience, on_disconnect, reply).await {
            Ended::Answered(answer) => answer.into_response(),
            Ended::Failed(error) => return Err(error),
            Ended::Panicked => rejected(&self.settings, Rejection::handler_panicked()),
            Ended::Cancelled => rejected(&self.settings, Rejection::indeterminate()),
        };
        response.headers_mut().insert(IDEMPOTENCY_STATUS, UNPROTECTED);
        Ok(response)
    }
}
