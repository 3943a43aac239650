//! axum-idempotent 0.2.6: no claim before the handler, no fingerprint, a session's cookie as the scope, a header map that
//! forgets repetitions, and a body read that panics.

use idempotency_tests::{App, Backend, MERCHANT, on_each_store, raw, reply};
use reqwest::{Method, StatusCode};
use tower_idempotency::IDEMPOTENCY_KEY;

on_each_store!(
    axum_idempotent_two_at_once_both_ran,
    axum_idempotent_another_path_and_body_got_the_first_paths_answer,
    axum_idempotent_a_retry_without_its_session_cookie_ran_again,
    axum_idempotent_only_the_last_of_two_fields_was_replayed,
    axum_idempotent_a_body_that_cannot_be_read_panicked_the_task,
);

async fn axum_idempotent_two_at_once_both_ran(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false));
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn axum_idempotent_another_path_and_body_got_the_first_paths_answer(backend: impl Backend) {
    let app = App::start(&backend).await;
    let slow = app.send_until_held("/held-before", "key-1").await;
    let other = || reply(app.post("/refund", "key-1").body(r#"{"amount":7}"#));
    other().await.expect_rejection(422, "key-reused");
    app.gate.open();
    let slow = slow.await.unwrap();
    let refused = other().await;
    refused.expect_rejection(422, "key-reused");
    assert_ne!(refused.body, slow.body);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

/// A client that lost its cookies still is who it is: its principal is what counts, and a cookie is part of no digest.
async fn axum_idempotent_a_retry_without_its_session_cookie_ran_again(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = reply(app.post("/charge", "key-1").header("cookie", "session=1")).await;
    assert_eq!(first.status, StatusCode::CREATED);
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    reply(app.post("/charge", "key-1").header("cookie", "session=2")).await.expect_replay_of(&first, &[]);
    // One who is nobody is told so, and runs nothing either.
    let nobody = app.request(Method::POST, "/charge").header(IDEMPOTENCY_KEY, "key-1").header("cookie", "session=1");
    reply(nobody).await.expect_rejection(401, "scope-missing");
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn axum_idempotent_only_the_last_of_two_fields_was_replayed(backend: impl Backend) {
    let app = App::start(&backend).await;
    app.send("/headers", "links").await;
    let links = app.send("/headers", "links").await;
    assert!(links.is_replay());
    assert_eq!(links.all("link"), [b"</2>; rel=next", b"</9>; rel=last"]);

    // Cookies are the first client's: it gets both, and a replay gets none rather than one.
    let first = app.send("/cookie", "cookies").await;
    assert_eq!(first.all("set-cookie").len(), 2);
    assert!(app.send("/cookie", "cookies").await.all("set-cookie").is_empty());
    assert_eq!(app.exec(), 2);
}

async fn axum_idempotent_a_body_that_cannot_be_read_panicked_the_task(backend: impl Backend) {
    let app = App::start(&backend).await;
    let broken = format!(
        "POST /charge HTTP/1.1\r\nhost: test\r\n{MERCHANT}: acme\r\nidempotency-key: key-1\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{{\"amount\r\nno length\r\n"
    );
    let answer = raw::exchange(app.address(), broken.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("/request-unreadable\""), "{answer}");
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
    assert_eq!(app.send("/charge", "key-1").await.status, StatusCode::CREATED);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
