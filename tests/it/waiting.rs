//! Duplicates that wait for the answer of a running request, at several servers.

use std::time::Duration;

use idempotency_tests::{App, Backend, Fault, Gate, Layer, Reply, Verb, on_each_store, reply};
use reqwest::StatusCode;
use tokio::task::JoinSet;
use tower_idempotency::Wait;

on_each_store!(
    s03_of_100_concurrent_requests_at_4_servers_that_wait_all_get_the_one_answer,
    s64_when_the_owner_dies_all_who_wait_learn_it_and_none_runs,
    s64_one_more_than_may_wait_is_refused_at_once,
);

const LEASE: Duration = Duration::from_secs(30);

/// Longer than a test takes.
fn waits(layer: Layer) -> Layer {
    layer.wait(Wait::new(Duration::from_secs(60)).unwrap())
}

/// Sends `requests` to the servers in turn, and returns once each was told that the first is in flight, or runs.
async fn send(requests: usize, path: &'static str, servers: &[&App]) -> JoinSet<Reply> {
    let claims: Vec<usize> = servers.iter().map(|server| server.faults.applied(Verb::Claim)).collect();
    let mut answers = JoinSet::new();
    for request in 0..requests {
        answers.spawn(reply(servers[request % servers.len()].post(path, "key-1")));
    }
    for (server, before) in servers.iter().zip(claims) {
        server.faults.until_applied(Verb::Claim, before + requests / servers.len()).await;
    }
    answers
}

async fn s03_of_100_concurrent_requests_at_4_servers_that_wait_all_get_the_one_answer(backend: impl Backend) {
    let first = App::on(&backend).layer(waits).start().await;
    let beside = || App::on(&backend).layer(waits).beside(&first).start();
    let servers = [&first, &beside().await, &beside().await, &beside().await];
    let mut answers = send(100, "/held-before", &servers).await;
    first.gate.arrived(1).await;
    first.gate.open();
    let mut replies = Vec::new();
    while let Some(answer) = answers.join_next().await {
        replies.push(answer.unwrap());
    }
    let (replays, ran): (Vec<_>, Vec<_>) = replies.into_iter().partition(Reply::is_replay);
    let [ran] = &ran[..] else { panic!("{} ran", ran.len()) };
    assert_eq!((ran.status, replays.len()), (StatusCode::CREATED, 99));
    for replay in replays {
        replay.expect_replay_of(ran, &[]);
    }
    assert_eq!((first.downstream.entries().await, first.downstream.effects()), (1, 1));
}

/// The owner stands still, as far as anybody can tell for ever.
async fn s64_when_the_owner_dies_all_who_wait_learn_it_and_none_runs(backend: impl Backend) {
    let owner = App::start(&backend).await;
    let dead = Gate::default();
    owner.faults.set(Verb::Renew, Fault::PauseBefore(dead.clone()));
    owner.faults.set(Verb::Complete, Fault::PauseBefore(dead.clone()));
    let unanswered = tokio::spawn(reply(owner.post("/charge", "key-1")));
    dead.arrived(1).await;

    let other = App::on(&backend).layer(waits).beside(&owner).start().await;
    let mut answers = send(50, "/charge", &[&other]).await;
    assert!(answers.try_join_next().is_none(), "the lease holds, and they wait");
    backend.advance(LEASE * 3).await;
    while let Some(answer) = answers.join_next().await {
        let answer = answer.unwrap();
        answer.expect_rejection(409, "indeterminate");
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!((other.exec(), owner.downstream.entries().await, owner.downstream.effects()), (0, 1, 1));
    unanswered.abort();
}

async fn s64_one_more_than_may_wait_is_refused_at_once(backend: impl Backend) {
    let app = App::on(&backend)
        .layer(|layer| layer.wait(Wait::new(Duration::from_secs(60)).and_then(|wait| wait.waiters(50)).unwrap()));
    let app = app.start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    let mut answers = send(51, "/held-before", &[&app]).await;
    let refused = answers.join_next().await.unwrap().unwrap();
    refused.expect_rejection(409, "in-flight");
    assert!(refused.header("retry-after").is_some());
    app.gate.open();
    let first = first.await.unwrap();
    while let Some(answer) = answers.join_next().await {
        answer.unwrap().expect_replay_of(&first, &[]);
    }
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
