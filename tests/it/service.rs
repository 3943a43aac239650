//! The demo's real payment service and real bank, with the bank's ledger as the judge.

use std::time::Duration;

use idempotency_tests::{Backend, Bank, Options, Relay, Server, let_pass, on_each_store, reply, try_reply};
use reqwest::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::DEMO;

on_each_store!(
    s02_a_paid_payment_is_paid_once,
    s03_of_100_concurrent_payments_one_is_charged,
    s03_waiting_all_get_the_answer_of_the_one_that_is_charged,
    s21_a_payment_that_takes_longer_than_three_leases_stays_in_flight,
    s22_a_server_that_was_stopped_past_its_lease_completes,
    s34_a_payment_whose_client_left_is_charged_once_and_replayed,
);

/// A service, its bank, and the line between them.
struct Ground {
    bank: Bank,
    relay: Relay,
    server: Server,
}

impl Ground {
    async fn with_lease(backend: &impl Backend, lease: &str) -> Self {
        Self::with(backend, |server| server.lease(lease)).await
    }

    async fn with(backend: &impl Backend, options: impl FnOnce(Options) -> Options) -> Self {
        let bank = Bank::start(DEMO).await;
        let relay = Relay::to(bank.url()).await;
        let server = options(Server::on(DEMO, &backend.served(), relay.url())).start().await;
        Self { bank, relay, server }
    }

    /// Fails unless there is one charge, the one that these answers are about.
    async fn expect_one_charge(&self, answer: &idempotency_tests::Reply) {
        let charges = self.bank.charges().await;
        assert_eq!(charges.len(), 1, "{charges:?}");
        assert_eq!(answer.json()["charge"], charges[0].id.as_str());
        assert!(charges[0].key.is_some() && charges[0].fence.is_some(), "{charges:?}");
    }
}

async fn s02_a_paid_payment_is_paid_once(backend: impl Backend) {
    let on = Ground::with_lease(&backend, "30s").await;
    let first = on.server.pay("order-1").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    on.server.pay("order-1").await.expect_replay_of(&first, &[]);
    reply(on.server.payment("order-1", 2000)).await.expect_rejection(422, "key-reused");
    on.expect_one_charge(&first).await;
}

async fn s03_of_100_concurrent_payments_one_is_charged(backend: impl Backend) {
    let on = Ground::with_lease(&backend, "30s").await;
    let held = on.relay.hold_before();
    let mut answers = JoinSet::new();
    for _ in 0..100 {
        answers.spawn(reply(on.server.payment("order-1", 1000)));
    }
    for _ in 0..99 {
        let answer = tokio::select! {
            answer = answers.join_next() => answer.unwrap().unwrap(),
            () = held.arrived(2) => panic!("a second charge is on its way"),
        };
        answer.expect_rejection(409, "in-flight");
        assert!(answer.header("retry-after").is_some());
    }
    held.open();
    let first = answers.join_next().await.unwrap().unwrap();
    assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false));
    on.server.pay("order-1").await.expect_replay_of(&first, &[]);
    on.expect_one_charge(&first).await;
}

async fn s03_waiting_all_get_the_answer_of_the_one_that_is_charged(backend: impl Backend) {
    // Longer than a test may take, so that nobody is sent away before the charge is let through.
    let on = Ground::with(&backend, |server| server.lease("30s").wait("2m")).await;
    let held = on.relay.hold_before();
    let mut answers = JoinSet::new();
    for _ in 0..50 {
        answers.spawn(reply(on.server.payment("order-1", 1000)));
    }
    held.arrived(1).await;
    held.open();
    let answers = answers.join_all().await;
    let first = answers.iter().find(|answer| !answer.is_replay()).expect("one that ran");
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (StatusCode::CREATED, &first.body));
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_replay()).count(), 49);
    on.expect_one_charge(first).await;
}

async fn s21_a_payment_that_takes_longer_than_three_leases_stays_in_flight(backend: impl Backend) {
    let on = Ground::with_lease(&backend, "2s").await;
    let held = on.relay.hold_after();
    let began = Instant::now();
    let first = tokio::spawn(reply(on.server.payment("order-1", 1000)));
    held.arrived(1).await;
    while began.elapsed() < Duration::from_secs(7) {
        on.server.pay("order-1").await.expect_rejection(409, "in-flight");
        let_pass(Duration::from_millis(100)).await;
    }
    held.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false));
    on.server.pay("order-1").await.expect_replay_of(&first, &[]);
    on.expect_one_charge(&first).await;
}

async fn s22_a_server_that_was_stopped_past_its_lease_completes(backend: impl Backend) {
    let on = Ground::with_lease(&backend, "2s").await;
    let held = on.relay.hold_after();
    let first = tokio::spawn(reply(on.server.payment("order-1", 1000)));
    held.arrived(1).await;
    on.server.process.pause().await;
    let_pass(Duration::from_secs(5)).await;
    held.open();
    on.server.process.resume();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false), "{first:?}");
    on.server.pay("order-1").await.expect_replay_of(&first, &[]);
    on.expect_one_charge(&first).await;
}

async fn s34_a_payment_whose_client_left_is_charged_once_and_replayed(backend: impl Backend) {
    let on = Ground::with_lease(&backend, "30s").await;
    let held = on.relay.hold_before();
    let left = tokio::spawn(try_reply(on.server.payment("order-1", 1000)));
    held.arrived(1).await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    on.server.pay("order-1").await.expect_rejection(409, "in-flight");
    held.open();
    let retry = loop {
        let retry = on.server.pay("order-1").await;
        if retry.status != StatusCode::CONFLICT {
            break retry;
        }
        retry.expect_rejection(409, "in-flight");
    };
    assert_eq!((retry.status, retry.is_replay()), (StatusCode::CREATED, true));
    on.expect_one_charge(&retry).await;
}
