//! The wall clock, which decides nothing.

use idempotency_tests::faketime::{WallClock, until_off};
use idempotency_tests::{Backend, Bank, Relay, Server, on_each_store, reply, try_reply};
use reqwest::StatusCode;

use crate::DEMO;
use crate::crash::until_indeterminate;

on_each_store!(
    s61_stepping_the_wall_clock_of_a_running_server_changes_no_decision;
    durable: s61_a_server_that_starts_a_day_in_the_past_still_replays,
    s61_a_dead_owners_lease_lapses_in_time_though_the_clock_was_set_back,
);

async fn s61_stepping_the_wall_clock_of_a_running_server_changes_no_decision(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let relay = Relay::to(bank.url()).await;
    let clock = WallClock::at("+0d");
    let server = clock.start(Server::on(DEMO, &backend.served(), relay.url())).await;
    let done = server.pay("done").await;
    assert_eq!(done.status, StatusCode::CREATED, "{done:?}");
    let held = relay.hold_after();
    let running = tokio::spawn(reply(server.payment("running", 1000)));
    held.arrived(1).await;

    for (offset, days) in [("+1d", 1), ("-1d", -1)] {
        clock.step(offset);
        until_off(&server.process, days, || server.pay("done")).await;
        server.pay("done").await.expect_replay_of(&done, &[]);
        reply(server.payment("done", 2000)).await.expect_rejection(422, "key-reused");
        let duplicate = server.pay("running").await;
        duplicate.expect_rejection(409, "in-flight");
        assert!(["1", "2"].contains(&duplicate.header("retry-after").unwrap()), "{duplicate:?}");
        reply(server.payment("running", 2000)).await.expect_rejection(422, "key-reused");
    }
    held.open();
    let running = running.await.unwrap();
    assert_eq!((running.status, running.is_replay()), (StatusCode::CREATED, false));
    server.pay("running").await.expect_replay_of(&running, &[]);
    assert_eq!(bank.charges().await.len(), 2);
}

async fn s61_a_server_that_starts_a_day_in_the_past_still_replays(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let server = Server::on(DEMO, &backend.served(), bank.url()).start().await;
    let first = server.pay("order-1").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    server.process.kill().await;

    let clock = WallClock::at("-1d");
    let server = clock.start(Server::on(DEMO, &backend.served(), bank.url())).await;
    until_off(&server.process, -1, || server.pay("order-1")).await;
    server.pay("order-1").await.expect_replay_of(&first, &[]);
    assert_eq!(bank.charges().await.len(), 1);
}

async fn s61_a_dead_owners_lease_lapses_in_time_though_the_clock_was_set_back(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let relay = Relay::to(bank.url()).await;
    let held = relay.hold_after();
    let server = Server::on(DEMO, &backend.served(), relay.url()).lease("2s").start().await;
    let unanswered = tokio::spawn(try_reply(server.payment("order-1", 1000)));
    held.arrived(1).await;
    server.process.kill().await;
    assert!(unanswered.await.unwrap().is_err(), "it was answered before its charge was");

    // On a clock that went back with the wall, the lease would last for a day and two seconds.
    let clock = WallClock::at("-1d");
    let server = clock.start(Server::on(DEMO, &backend.served(), relay.url())).await;
    until_off(&server.process, -1, || server.pay("order-1")).await;
    until_indeterminate(|| server.pay("order-1")).await;
    assert_eq!(bank.charges().await.len(), 1);
}
