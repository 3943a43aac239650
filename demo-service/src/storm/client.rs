//! A client that pays as a good client does: with this project's own retry layer, and one key per payment.
//!
//! The key is made outside of the layer, before the first try, and the same payment is asked for under it once more when the
//! storm is over. When to ask again, how long to wait and when to stop is the layer's to know, and stands nowhere else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_idempotency::ResponseBody;
use tower_idempotency::client::{Failure, RequestKey, RetryBudget, RetryLayer, RetryPolicy};

use super::answer::{Answer, End};
use super::attempts::{Attempts, Unanswered};
use super::history::{History, Phase};
use super::plan::Plan;
use super::progress::Pulse;
use super::wire::Wire;

/// The windows of the pauses, from the first to the longest: shorter than a real client's, or the storm would be a breeze.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// Faults are what a storm is for, so tries are bounded by patience alone.
const MOST_TRIES: u32 = u32::MAX;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Orders {
    /// In the storm, or afterwards.
    pub(crate) phase: Phase,
    /// Who suffers what.
    pub(crate) plan: Plan,
    /// The card of every payment.
    pub(crate) source: String,
    /// A fresh key with every request instead of one per payment.
    pub(crate) without_key: bool,
    /// How long a client waits for one answer.
    pub(crate) timeout: Duration,
    /// How long one payment is retried.
    pub(crate) patience: Duration,
    /// When the storm began; all times are counted from here.
    pub(crate) began: Instant,
    /// When this phase of it ends, finished or not.
    pub(crate) ends: Instant,
    /// What the progress line shows.
    pub(crate) pulse: Arc<Pulse>,
}

/// One of the clients, with its connections.
#[derive(Debug)]
pub(crate) struct Client {
    orders: Arc<Orders>,
    wire: Arc<Wire>,
}

impl Client {
    pub(crate) fn new(orders: Arc<Orders>, wire: Wire) -> Self {
        Self { orders, wire: Arc::new(wire) }
    }

    /// Makes a payment in the storm, or asks for it once more afterwards, as a client that lost its notes would.
    pub(crate) async fn pay(&self, history: &mut History) {
        let attempts = Attempts::of(history.number, Arc::clone(&self.orders), Arc::clone(&self.wire));
        let end = self.ask(history, &attempts).await.unwrap_or(End::GaveUp);
        history.exchanges.extend(attempts.taken());
        // What the client holds it keeps; the judge compares it with what came later.
        if history.end == End::GaveUp {
            history.end = end;
        }
        self.orders.pulse.settled();
    }

    /// One call of the layer, which is as many tries as it takes. `None` where there was no answer to end with.
    async fn ask(&self, history: &History, attempts: &Attempts) -> Option<End> {
        // No time is no policy: nothing is tried when the storm is over.
        let layer = RetryLayer::new().policy(self.policy()).ok()?.classify(|error| match error.downcast_ref() {
            Some(Unanswered::NotSent) => Failure::NotSent,
            Some(Unanswered::Unknown) | None => Failure::Unknown,
        });
        let response = layer.layer(attempts.clone()).oneshot(self.request(history)?).await.ok()?;
        Some(read(response).await?.end())
    }

    fn policy(&self) -> RetryPolicy {
        let orders = &self.orders;
        let left = orders.ends.saturating_duration_since(Instant::now());
        RetryPolicy::default()
            .max_tries(MOST_TRIES)
            .budget(RetryBudget::unlimited())
            .backoff(BACKOFF.0, BACKOFF.1)
            .longest_retry_after(orders.patience)
            // The wire itself gives up on each of two clicks in time; this is for what it cannot see.
            .try_timeout(orders.timeout.saturating_mul(2))
            .deadline(orders.patience.min(left))
    }

    fn request(&self, history: &History) -> Option<Request<Full<Bytes>>> {
        let body = serde_json::json!({
            "amount": history.amount,
            "currency": "EUR",
            "source": self.orders.source,
            "reference": history.reference,
        });
        let mut request = Request::post("/payments").body(Full::new(body.to_string().into())).ok()?;
        let key = RequestKey::new(self.orders.plan.key(history.number).to_string()).ok()?;
        request.extensions_mut().insert(key);
        Some(request)
    }
}

async fn read(response: Response<ResponseBody<Full<Bytes>>>) -> Option<Answer> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Answer::read(&Response::from_parts(parts, body)))
}
