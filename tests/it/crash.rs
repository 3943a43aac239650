//! Processes that are killed with SIGKILL at a chosen point, and started again on the same file.

use std::time::Duration;

use idempotency_tests::alone::{Alone, Special};
use idempotency_tests::{
    Backend, Bank, Downstream, Gate, Relay, Reply, Server, eventually, on_each_store, reply, try_reply,
};
use reqwest::StatusCode;

use crate::{APP, DEMO};

on_each_store!(
    durable: s28_killed_before_the_effect_a_retry_within_the_lease_is_in_flight,
    s28_killed_before_the_effect_a_retry_after_the_lease_is_indeterminate,
    s29_killed_after_the_effect_a_retry_within_the_lease_is_in_flight,
    s29_killed_after_the_effect_a_retry_after_the_lease_is_indeterminate,
    s30_an_answer_that_was_recorded_and_never_sent_is_replayed,
    s33_a_panic_that_aborts_the_process_leaves_the_outcome_unknown,
    s48_an_outcome_that_was_never_recorded_stays_unknown,
);

/// A lease that no test outlives, and one that soon lapses.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(500);

/// A real payment service that was killed while its charge was held, and started again.
struct Crashed {
    bank: Bank,
    _relay: Relay,
    server: Server,
}

impl Crashed {
    async fn at(backend: &impl Backend, lease: &str, hold: impl FnOnce(&Relay) -> Gate) -> Self {
        let bank = Bank::start(DEMO).await;
        let relay = Relay::to(bank.url()).await;
        let charge = hold(&relay);
        let start = || Server::on(DEMO, &backend.served(), relay.url()).lease(lease).start();
        let server = start().await;
        let unanswered = tokio::spawn(try_reply(server.payment("order-1", 1000)));
        charge.arrived(1).await;
        server.process.kill().await;
        assert!(unanswered.await.unwrap().is_err(), "it was answered before its charge was");
        let server = start().await;
        Self { bank, _relay: relay, server }
    }

    async fn expect_in_flight(&self) {
        let answer = self.server.pay("order-1").await;
        answer.expect_rejection(409, "in-flight");
        assert!(answer.header("retry-after").is_some());
        reply(self.server.payment("order-1", 2000)).await.expect_rejection(422, "key-reused");
    }

    async fn expect_indeterminate(&self) {
        until_indeterminate(|| self.server.pay("order-1")).await;
        self.server.pay("order-1").await.expect_rejection(409, "indeterminate");
        reply(self.server.payment("order-1", 2000)).await.expect_rejection(422, "key-reused");
    }

    async fn charges(&self) -> usize {
        self.bank.charges().await.len()
    }
}

/// Retries until the lease of the dead owner has lapsed. Until then it is in flight, and never anything else.
pub(crate) async fn until_indeterminate<F: Future<Output = Reply>>(mut send: impl FnMut() -> F) {
    let lapsed = eventually("the lease lapses", || {
        let answer = send();
        async move {
            let answer = answer.await;
            let in_flight = answer.problem() == "in-flight";
            (!in_flight).then_some(answer)
        }
    });
    lapsed.await.expect_rejection(409, "indeterminate");
}

async fn s28_killed_before_the_effect_a_retry_within_the_lease_is_in_flight(backend: impl Backend) {
    let crashed = Crashed::at(&backend, "30s", Relay::hold_before).await;
    crashed.expect_in_flight().await;
    assert_eq!(crashed.charges().await, 0);
}

async fn s28_killed_before_the_effect_a_retry_after_the_lease_is_indeterminate(backend: impl Backend) {
    let crashed = Crashed::at(&backend, "2s", Relay::hold_before).await;
    crashed.expect_indeterminate().await;
    assert_eq!(crashed.charges().await, 0);
}

async fn s29_killed_after_the_effect_a_retry_within_the_lease_is_in_flight(backend: impl Backend) {
    let crashed = Crashed::at(&backend, "30s", Relay::hold_after).await;
    crashed.expect_in_flight().await;
    assert_eq!(crashed.charges().await, 1);
}

async fn s29_killed_after_the_effect_a_retry_after_the_lease_is_indeterminate(backend: impl Backend) {
    let crashed = Crashed::at(&backend, "2s", Relay::hold_after).await;
    crashed.expect_indeterminate().await;
    assert_eq!(crashed.charges().await, 1);
}

async fn s30_an_answer_that_was_recorded_and_never_sent_is_replayed(backend: impl Backend) {
    let downstream = Downstream::start().await;
    let app = Alone::start(APP, &backend.served(), &downstream, LONG, LONG).await;
    app.pause_after_completions().await;
    let unanswered = tokio::spawn(try_reply(app.post("/charge", "key-1")));
    app.until_completed(1).await;
    app.kill().await;
    assert!(unanswered.await.unwrap().is_err(), "an answer left before the process died");

    let app = Alone::start(APP, &backend.served(), &downstream, LONG, LONG).await;
    let retry = app.send("/charge", "key-1").await;
    assert_eq!((retry.status, retry.is_replay()), (StatusCode::CREATED, true));
    assert!(retry.json()["receipt"].as_str().unwrap().starts_with("1-"));
    assert_eq!((downstream.entries().await, downstream.effects()), (1, 1));
}

/// As 29: a build with `panic = "abort"` has nobody left to mark the key.
async fn s33_a_panic_that_aborts_the_process_leaves_the_outcome_unknown(backend: impl Backend) {
    let downstream = Downstream::start().await;
    let start = |lease| {
        let special = [Special::AbortOnPanic];
        let (served, downstream) = (backend.served(), downstream.clone());
        async move { Alone::start_with(APP, &served, &downstream, [lease, LONG], &special).await }
    };
    let app = start(SHORT * 4).await;
    assert!(try_reply(app.post("/panic", "key-1")).await.is_err(), "the process survived its panic");
    let app = start(SHORT * 4).await;
    until_indeterminate(|| app.send("/panic", "key-1")).await;
    app.send("/panic", "key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!((downstream.entries().await, downstream.effects()), (1, 1));
    app.kill().await;

    let app = start(LONG).await;
    assert!(try_reply(app.post("/panic", "key-2")).await.is_err(), "the process survived its panic");
    let app = start(LONG).await;
    app.send("/panic", "key-2").await.expect_rejection(409, "in-flight");
    assert_eq!((downstream.entries().await, downstream.effects()), (2, 2));
}

async fn s48_an_outcome_that_was_never_recorded_stays_unknown(backend: impl Backend) {
    let downstream = Downstream::start().await;
    let app = Alone::start(APP, &backend.served(), &downstream, SHORT, SHORT).await;
    app.refuse_completions().await;
    let first = app.send("/charge", "key-1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.header("idempotency-status"), Some("unrecorded"));
    app.kill().await;

    let app = Alone::start(APP, &backend.served(), &downstream, SHORT, SHORT).await;
    until_indeterminate(|| app.send("/charge", "key-1")).await;
    assert_eq!((downstream.entries().await, downstream.effects()), (1, 1));
}
