//! A client that pays as a good client does: one key per payment, kept over all its attempts.
//!
//! It retries what leaves the outcome open and what says "later", waits longer each time with full jitter and at least as long as
//! the server asked, and stops at an answer that another attempt cannot change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::answer::{Advice, End};
use super::history::{Exchange, History, Phase, advice};
use super::plan::{Fault, Plan, Step};
use super::progress::Pulse;
use super::wire::{Order, Wire};

/// The window of the first pause; it doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// Where the window stops growing.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// As long as this service ever asks; a server that asks for an hour does not get to end the storm.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Bounds the loop where pauses happen to be short; patience ends it long before.
const MOST_ATTEMPTS: u32 = 10_000;

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
    wire: Wire,
}

/// One payment in the making.
#[derive(Debug)]
struct Payment {
    number: u32,
    key: Uuid,
    body: Bytes,
}

impl Client {
    pub(crate) fn new(orders: Arc<Orders>, wire: Wire) -> Self {
        Self { orders, wire }
    }

    /// Makes a payment in the storm, or asks for it once more afterwards, as a client that lost its notes would.
    pub(crate) async fn pay(&self, history: &mut History) {
        let payment = self.payment(history);
        let (exchanges, end) = self.retry(&payment).await;
        history.exchanges.extend(exchanges);
        // What the client holds it keeps; the judge compares it with what came later.
        if history.end == End::GaveUp {
            history.end = end;
        }
        self.orders.pulse.settled();
    }

    fn payment(&self, history: &History) -> Payment {
        let body = serde_json::json!({
            "amount": history.amount,
            "currency": "EUR",
            "source": self.orders.source,
            "reference": history.reference,
        });
        // Outside of the retry loop: a key made inside of it protects nobody.
        let key = self.orders.plan.key(history.number);
        Payment { number: history.number, key, body: body.to_string().into() }
    }

    async fn retry(&self, payment: &Payment) -> (Vec<Exchange>, End) {
        let gives_up = self.orders.ends.min(Instant::now() + self.orders.patience);
        let mut exchanges = Vec::new();
        let mut paused = Duration::ZERO;
        for attempt in 0..MOST_ATTEMPTS {
            if Instant::now() + paused >= gives_up {
                break;
            }
            sleep(paused).await;
            let step = self.step(payment, attempt);
            let came_back = self.attempt(payment, attempt, &step).await;
            let advice = advice(&came_back);
            exchanges.extend(came_back);
            match advice {
                Advice::Stop(end) => return (exchanges, end),
                Advice::Retry(retry_after) => paused = pause(attempt, step.jitter, retry_after),
            }
            self.orders.pulse.retried();
        }
        (exchanges, End::GaveUp)
    }

    fn step(&self, payment: &Payment, attempt: u32) -> Step {
        match self.orders.phase {
            Phase::Storm => self.orders.plan.step(payment.number, attempt),
            Phase::Recall => self.orders.plan.calm_step(payment.number, attempt),
        }
    }

    /// One click, or two that race.
    async fn attempt(&self, payment: &Payment, attempt: u32, step: &Step) -> Vec<Exchange> {
        let [first_server, second_server] = step.servers;
        let [first_key, second_key] = self.keys(payment, attempt);
        let first = self.exchange(payment, first_server, first_key, step.fault);
        let Some(gap) = step.second_click else {
            return vec![first.await];
        };
        let second = async {
            sleep(gap).await;
            let exchange = self.exchange(payment, second_server, second_key, Fault::Spared).await;
            Exchange { second_click: true, ..exchange }
        };
        let (first, second) = tokio::join!(first, second);
        vec![first, second]
    }

    fn keys(&self, payment: &Payment, attempt: u32) -> [Uuid; 2] {
        if self.orders.without_key { self.orders.plan.fresh_keys(payment.number, attempt) } else { [payment.key; 2] }
    }

    async fn exchange(&self, payment: &Payment, server: u32, key: Uuid, fault: Fault) -> Exchange {
        let order = Order { server, key, body: payment.body.clone() };
        let sent = self.orders.began.elapsed();
        let (fate, answer) = self.wire.send(&order, fault).await;
        let done = self.orders.began.elapsed();
        Exchange { key, phase: self.orders.phase, second_click: false, sent, done, fate, answer }
    }
}

/// Exponential backoff with full jitter, and at least what the server asked for.
fn pause(attempt: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
    let window = FIRST_PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    window.mul_f64(jitter.clamp(0.0, 1.0)).max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_start_anywhere_in_their_window() {
        assert_eq!(pause(0, 1.0, None), FIRST_PAUSE);
        assert_eq!(pause(1, 1.0, None), FIRST_PAUSE * 2);
        assert_eq!(pause(3, 0.5, None), FIRST_PAUSE * 4);
        assert_eq!(pause(0, 0.0, None), Duration::ZERO);
        for attempt in [6, 10, 40, u32::MAX] {
            assert_eq!(pause(attempt, 1.0, None), LONGEST_PAUSE);
        }
    }

    #[test]
    fn a_server_is_waited_for_but_not_for_ever() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(0, 0.3, Some(second)), second);
        assert_eq!(pause(0, 0.3, Some(second * 3_600)), LONGEST_RETRY_AFTER);
    }
}
