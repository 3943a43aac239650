//! The tries of one payment, as the service that a client's layers call: each call is one attempt on the hostile wire, suffers
//! what the plan says, and is written into the payment's history whatever becomes of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use thiserror::Error;
use tokio::time::sleep;
use tower::Service;
use tower_idempotency::IDEMPOTENCY_KEY;

use super::answer::{Answer, Meaning};
use super::client::Orders;
use super::history::{Exchange, Fate, Phase};
use super::plan::{Fault, Step};
use super::wire::{Order, Wire};

/// The attempts of one payment. A clone is the same payment.
#[derive(Debug, Clone)]
pub(crate) struct Attempts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    payment: u32,
    orders: Arc<Orders>,
    wire: Arc<Wire>,
    begun: AtomicU32,
    exchanges: Mutex<Vec<Exchange>>,
}

/// The client has no answer to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unanswered {
    /// No connection, so nothing was sent.
    #[error("nobody listens")]
    NotSent,
    /// It was sent, and what became of it is unknown.
    #[error("the answer was lost")]
    Unknown,
}

/// What the client hears of an exchange.
type Heard = Result<Response<Bytes>, Unanswered>;

impl Attempts {
    /// Those of this payment, none so far.
    pub(crate) fn of(payment: u32, orders: Arc<Orders>, wire: Arc<Wire>) -> Self {
        Self(Arc::new(Inner { payment, orders, wire, begun: AtomicU32::new(0), exchanges: Mutex::default() }))
    }

    /// What was exchanged, in the order in which it ended.
    pub(crate) fn taken(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.0.exchanges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Service<Request<Full<Bytes>>> for Attempts {
    type Response = Response<Full<Bytes>>;
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unanswered>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unanswered>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let payment = Arc::clone(&self.0);
        Box::pin(async move { payment.attempt(request).await })
    }
}

impl Inner {
    /// One click, or two that race. The answer that says most is the client's.
    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Unanswered> {
        let attempt = self.begun.fetch_add(1, Ordering::Relaxed);
        if attempt > 0 {
            self.orders.pulse.retried();
        }
        let step = self.step(attempt);
        let [first_key, second_key] = self.keys(&request, attempt);
        let Ok(body) = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let [first_server, second_server] = step.servers;
        let first =
            self.exchange(Order { server: first_server, key: first_key, body: body.clone() }, step.fault, false);
        let Some(gap) = step.second_click else {
            return Ok(first.await?.map(Full::new));
        };
        let second = async {
            sleep(gap).await;
            self.exchange(Order { server: second_server, key: second_key, body }, Fault::Spared, true).await
        };
        let (first, second) = tokio::join!(first, second);
        Ok(louder(first, second)?.map(Full::new))
    }

    fn step(&self, attempt: u32) -> Step {
        match self.orders.phase {
            Phase::Storm => self.orders.plan.step(self.payment, attempt),
            Phase::Recall => self.orders.plan.calm_step(self.payment, attempt),
        }
    }

    /// The key that the client's layer put on the request; or what a client does that has none to keep.
    fn keys(&self, request: &Request<Full<Bytes>>, attempt: u32) -> [String; 2] {
        if self.orders.without_key {
            return self.orders.plan.fresh_keys(self.payment, attempt).map(|key| key.to_string());
        }
        let key = request.headers().get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
        let key = key.unwrap_or_default().to_owned();
        [key.clone(), key]
    }

    async fn exchange(&self, order: Order, fault: Fault, second_click: bool) -> Heard {
        let mut entry = Entry::begin(self, &order.key, second_click);
        let (fate, response) = self.wire.send(&order, fault).await;
        entry.end(fate, response.as_ref());
        match (fate, response) {
            (Fate::Answered, Some(response)) => Ok(response),
            (Fate::NotConnected, _) => Err(Unanswered::NotSent),
            _ => Err(Unanswered::Unknown),
        }
    }
}

/// An exchange on its way into the history, where it comes even if the client drops it half-way: it has been sent.
struct Entry<'a> {
    payment: &'a Inner,
    exchange: Option<Exchange>,
}

impl<'a> Entry<'a> {
    fn begin(payment: &'a Inner, key: &str, second_click: bool) -> Self {
        let (phase, sent) = (payment.orders.phase, payment.orders.began.elapsed());
        let exchange =
            Exchange { key: key.to_owned(), phase, second_click, sent, done: sent, fate: Fate::TimedOut, answer: None };
        Self { payment, exchange: Some(exchange) }
    }

    fn end(&mut self, fate: Fate, response: Option<&Response<Bytes>>) {
        if let Some(exchange) = &mut self.exchange {
            (exchange.fate, exchange.answer) = (fate, response.map(Answer::read));
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            let exchange = Exchange { done: self.payment.orders.began.elapsed(), ..exchange };
            self.payment.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
        }
    }
}

/// Of two clicks the client believes the one that was answered, and of two answers the one that says more.
fn louder(one: Heard, other: Heard) -> Heard {
    match (one, other) {
        (Ok(one), Ok(other)) if says(&other) > says(&one) => Ok(other),
        (Ok(one), _) | (Err(_), Ok(one)) => Ok(one),
        (Err(Unanswered::NotSent), Err(Unanswered::NotSent)) => Err(Unanswered::NotSent),
        (Err(_), Err(_)) => Err(Unanswered::Unknown),
    }
}

/// A payment says most, and what settles nothing least.
fn says(response: &Response<Bytes>) -> (bool, bool) {
    let answer = Answer::read(response);
    (answer.meaning == Meaning::Paid, answer.settles())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::storm::base::Base;
    use crate::storm::plan::{Odds, Plan};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn answer(status: u16, problem: &str) -> Response<Bytes> {
        let body = format!(r#"{{"type":"urn:problem/{problem}"}}"#);
        let response = Response::builder().status(status).header("content-type", "application/problem+json");
        response.body(body.into()).unwrap()
    }

    /// The status of the louder one, whichever comes first.
    fn status(one: &dyn Fn() -> Heard, other: &dyn Fn() -> Heard) -> Result<u16, Unanswered> {
        let pairs = [louder(one(), other()), louder(other(), one())];
        let [status, same] = pairs.map(|heard| heard.map(|response| response.status().as_u16()));
        assert_eq!(status, same);
        status
    }

    #[test]
    fn a_payment_outweighs_the_other_click() {
        let paid = || Ok(answer(201, "none"));
        let unknown = || Ok(answer(409, "indeterminate"));
        assert_eq!(status(&paid, &|| Ok(answer(409, "in-flight"))), Ok(201));
        assert_eq!(status(&paid, &unknown), Ok(201));
        assert_eq!(status(&paid, &|| Ok(answer(402, "card-declined"))), Ok(201));
        assert_eq!(status(&unknown, &|| Ok(answer(503, "store-unavailable"))), Ok(409));
        assert_eq!(status(&unknown, &|| Err(Unanswered::Unknown)), Ok(409));
    }

    /// What a payment on this wire would be asked with.
    fn attempts(server: Base) -> Attempts {
        let plan = Plan::new(7, Odds { lose_replies: 0, disconnect: 0, double_click: 0 });
        let orders = Orders {
            phase: Phase::Storm,
            plan,
            source: "card_visa".to_owned(),
            without_key: false,
            timeout: PATIENCE,
            patience: PATIENCE,
            began: Instant::now(),
            ends: Instant::now() + PATIENCE,
            pulse: Arc::default(),
        };
        Attempts::of(3, Arc::new(orders), Arc::new(Wire::new([server].into(), PATIENCE)))
    }

    #[tokio::test]
    async fn what_its_client_drops_half_way_is_in_the_history() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Base::loopback(silent.local_addr().unwrap().port());
        let mut attempts = attempts(server);
        let request = Request::post("/payments").header(IDEMPOTENCY_KEY, "key-1").body(Full::default()).unwrap();
        let call = tokio::spawn(attempts.call(request));
        let (mut arrived, _) = silent.accept().await.unwrap();
        arrived.read_u8().await.unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        let taken = attempts.taken();
        assert_eq!((taken[0].key.as_str(), taken[0].fate, taken.len()), ("key-1", Fate::TimedOut, 1));
    }

    #[test]
    fn nothing_was_sent_only_where_neither_click_was() {
        let (not_sent, unknown) = (|| Err(Unanswered::NotSent), || Err(Unanswered::Unknown));
        assert_eq!(status(&not_sent, &not_sent), Err(Unanswered::NotSent));
        assert_eq!(status(&not_sent, &unknown), Err(Unanswered::Unknown));
    }
}
