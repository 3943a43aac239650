//! The end of a server in good order.

use std::time::Duration;

use idempotency_tests::{App, Backend, Bank, Relay, Server, eventually, on_each_store, reply, try_reply};
use reqwest::StatusCode;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tower_idempotency::Drained;

use crate::DEMO;

on_each_store!(
    s37_a_drain_waits_for_what_runs_and_records_it,
    s37_a_drain_marks_what_it_cannot_wait_for,
    s37_what_was_marked_may_still_be_completed;
    durable: s37_a_server_that_is_told_to_end_completes_what_runs,
    s37_a_server_that_may_not_wait_marks_what_runs,
);

/// Begins to drain, and returns once the application claims nothing any more.
async fn drain(app: &App, patience: Duration) -> JoinHandle<Drained> {
    let layer = app.layer.clone();
    let drained = tokio::spawn(async move { layer.drain(patience).await });
    let refused = eventually("new claims are refused", || async {
        let answer = app.send("/charge", "another").await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    });
    let refused = refused.await;
    refused.expect_rejection(503, "shutting-down");
    assert!(refused.header("retry-after").is_some());
    drained
}

async fn s37_a_drain_waits_for_what_runs_and_records_it(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    let drained = drain(&app, Duration::from_secs(50)).await;
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(drained.await.unwrap().abandoned, 0);
    let next = App::on(&backend).beside(&app).start().await;
    next.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(next.exec(), 0);
}

async fn s37_a_drain_marks_what_it_cannot_wait_for(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    let drained = drain(&app, Duration::from_millis(50)).await;
    assert_eq!(drained.await.unwrap().abandoned, 1);
    // The store's clock has not moved: nobody waits for the lease.
    let next = App::on(&backend).beside(&app).start().await;
    next.send("/held-before", "key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!(next.exec(), 0);
    first.abort();
}

async fn s37_what_was_marked_may_still_be_completed(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    assert_eq!(drain(&app, Duration::from_millis(50)).await.await.unwrap().abandoned, 1);
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED);
    let next = App::on(&backend).beside(&app).start().await;
    next.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((next.exec(), app.downstream.effects()), (0, 1));
}

async fn s37_a_server_that_is_told_to_end_completes_what_runs(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let relay = Relay::to(bank.url()).await;
    let held = relay.hold_before();
    let server = Server::on(DEMO, &backend.served(), relay.url()).drain("50s").start().await;
    let first = tokio::spawn(reply(server.payment("order-1", 1000)));
    held.arrived(1).await;
    server.process.terminate();
    let refused = || async { TcpStream::connect(server.process.address()).await.err() };
    eventually("new connections are refused", refused).await;
    held.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false));
    assert!(server.process.ended().await.success());

    let server = Server::on(DEMO, &backend.served(), bank.url()).start().await;
    server.pay("order-1").await.expect_replay_of(&first, &["connection"]);
    assert_eq!(bank.charges().await.len(), 1);
}

async fn s37_a_server_that_may_not_wait_marks_what_runs(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let relay = Relay::to(bank.url()).await;
    let held = relay.hold_before();
    let server = Server::on(DEMO, &backend.served(), relay.url()).drain("200ms").start().await;
    let unanswered = tokio::spawn(try_reply(server.payment("order-1", 1000)));
    held.arrived(1).await;
    server.process.terminate();
    assert!(server.process.ended().await.success());
    assert!(unanswered.await.unwrap().is_err(), "it was answered before its charge was");

    // The lease of 30 s has not lapsed: the mark speaks.
    let server = Server::on(DEMO, &backend.served(), bank.url()).start().await;
    server.pay("order-1").await.expect_rejection(409, "indeterminate");
    assert_eq!(bank.charges().await.len(), 0);
}
