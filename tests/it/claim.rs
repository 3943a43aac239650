//! Claiming: who runs, who gets what is recorded, and who is refused.

use std::time::Duration;

use idempotency_tests::{App, Backend, Reply, Verb, on_each_store, reply};
use reqwest::{Method, StatusCode};
use tokio::task::JoinSet;

on_each_store!(
    s01_first_request_runs_once_and_is_recorded,
    s02_a_retry_gets_the_recorded_answer_byte_for_byte,
    s02_the_quoted_and_the_bare_key_are_one,
    s03_of_100_concurrent_requests_at_4_servers_one_runs,
    s04_another_body_is_refused_while_the_first_is_in_flight,
    s04_another_body_is_refused_after_the_lease_has_lapsed,
    s04_another_body_is_refused_when_the_outcome_is_unknown,
    s04_another_body_is_refused_after_completion,
    s05_another_method_path_query_or_content_type_is_refused,
    s05_the_same_path_under_another_prefix_is_refused,
);

async fn s01_first_request_runs_once_and_is_recorded(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/charge", "key-1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.header("idempotency-status"), None, "{first:?}");
    assert!(!first.is_replay());
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
    assert_eq!((app.faults.applied(Verb::Claim), app.faults.applied(Verb::Complete)), (1, 1));
    // Recorded means that another server, which shares nothing but the store, has the answer.
    let other = App::on(&backend).beside(&app).start().await;
    other.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((other.exec(), app.downstream.effects()), (0, 1));
}

async fn s02_a_retry_gets_the_recorded_answer_byte_for_byte(backend: impl Backend) {
    let app = App::start(&backend).await;
    let exchanges =
        [("/charge", &[][..]), ("/fails", &[]), ("/binary", &[]), ("/headers", &["x-request-id", "traceparent"])];
    for (run, (path, lost)) in exchanges.into_iter().enumerate() {
        let first = app.send(path, path).await;
        for _ in 0..3 {
            app.send(path, path).await.expect_replay_of(&first, lost);
        }
        assert_eq!(app.exec(), run + 1, "{path} ran again");
    }
    let replay = app.send("/headers", "/headers").await;
    assert_eq!(replay.all("link"), [b"</2>; rel=next", b"</9>; rel=last"]);
    assert_eq!(replay.all("content-disposition"), [b"attachment; filename=\"quittung-\xe4.txt\""]);
    assert_eq!(app.send("/binary", "/binary").await.body.len(), 100_000 + r#"{"amount":1000}"#.len() + 1);
}

async fn s02_the_quoted_and_the_bare_key_are_one(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/charge", "\"key-1\"").await;
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}

async fn s03_of_100_concurrent_requests_at_4_servers_one_runs(backend: impl Backend) {
    let first = App::start(&backend).await;
    let beside = || App::on(&backend).beside(&first).start();
    let servers = [&first, &beside().await, &beside().await, &beside().await];
    let mut answers = JoinSet::new();
    for request in 0..100 {
        answers.spawn(reply(servers[request % 4].post("/held-before", "key-1")));
    }
    for _ in 0..99 {
        let answer = next(&mut answers, &first).await;
        answer.expect_rejection(409, "in-flight");
        assert!(["1", "2"].contains(&answer.header("retry-after").unwrap()), "{answer:?}");
    }
    first.gate.open();
    let ran = answers.join_next().await.unwrap().unwrap();
    assert_eq!(ran.status, StatusCode::CREATED);
    assert!(!ran.is_replay());
    assert_eq!((first.downstream.entries().await, first.downstream.effects()), (1, 1));
    for server in servers {
        server.send("/held-before", "key-1").await.expect_replay_of(&ran, &[]);
    }
}

/// The next answer; a second handler at the gate fails the test at once, before its request would be awaited in vain.
async fn next(answers: &mut JoinSet<Reply>, app: &App) -> Reply {
    tokio::select! {
        answer = answers.join_next() => answer.unwrap().unwrap(),
        () = app.gate.arrived(2) => panic!("a second handler runs"),
    }
}

/// The same request with another body.
async fn misuse(app: &App, path: &str) -> Reply {
    reply(app.post(path, "key-1").body(r#"{"amount":2000}"#)).await
}

async fn s04_another_body_is_refused_while_the_first_is_in_flight(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    misuse(&app, "/held-before").await.expect_rejection(422, "key-reused");
    app.gate.open();
    let first = first.await.unwrap();
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}

async fn s04_another_body_is_refused_after_the_lease_has_lapsed(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    backend.advance(Duration::from_secs(31)).await;
    app.send("/held-before", "key-1").await.expect_rejection(409, "indeterminate");
    misuse(&app, "/held-before").await.expect_rejection(422, "key-reused");
    app.gate.open();
    let first = first.await.unwrap();
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}

async fn s04_another_body_is_refused_when_the_outcome_is_unknown(backend: impl Backend) {
    let app = App::start(&backend).await;
    app.send("/panic", "key-1").await.expect_rejection(500, "handler-panicked");
    misuse(&app, "/panic").await.expect_rejection(422, "key-reused");
    app.send("/panic", "key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!(app.exec(), 1);
}

async fn s04_another_body_is_refused_after_completion(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/charge", "key-1").await;
    misuse(&app, "/charge").await.expect_rejection(422, "key-reused");
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s05_another_method_path_query_or_content_type_is_refused(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/charge?page=1", "key-1").await;
    let put =
        app.request(Method::PUT, "/charge?page=1").header("x-merchant", "acme").header("idempotency-key", "key-1");
    let others = [
        put,
        app.post("/charge", "key-1"),
        app.post("/charge?", "key-1"),
        app.post("/charge?page=2", "key-1"),
        app.post("/refund?page=1", "key-1"),
    ];
    for other in others {
        reply(other).await.expect_rejection(422, "key-reused");
    }
    // Set, not added: the usual body comes with a content type of its own.
    let mut other = app.post("/charge?page=1", "key-1").build().unwrap();
    other.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    reply(app.rebuilt(other)).await.expect_rejection(422, "key-reused");
    app.send("/charge?page=1", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s05_the_same_path_under_another_prefix_is_refused(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/v1/charge", "key-1").await;
    app.send("/v2/charge", "key-1").await.expect_rejection(422, "key-reused");
    app.send("/v1/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}
