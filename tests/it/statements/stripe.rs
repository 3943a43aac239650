//! What Stripe's documentation of its first API says about idempotent requests.

use std::time::Duration;

use idempotency_tests::{App, Backend, on_each_store, reply};
use reqwest::{Method, StatusCode};

on_each_store!(
    stripe_s03_status_and_body_are_stored_whether_it_succeeded_or_not,
    stripe_s04_what_fails_validation_is_not_stored,
    stripe_s04_a_request_that_conflicts_with_a_concurrent_one_is_not_stored,
    stripe_s06_a_400_after_execution_began_is_replayed,
    stripe_s09_replays_are_marked_and_first_answers_are_not,
    stripe_s10_after_24_hours_the_key_is_a_new_request,
);

async fn stripe_s03_status_and_body_are_stored_whether_it_succeeded_or_not(backend: impl Backend) {
    let app = App::start(&backend).await;
    for status in [200, 402, 500] {
        let path = format!("/status/{status}");
        let first = app.send(&path, &path).await;
        for _ in 0..2 {
            let retry = app.send(&path, &path).await;
            assert_eq!((retry.status.as_u16(), &retry.body), (status, &first.body));
        }
    }
    assert_eq!((app.exec(), app.downstream.effects()), (3, 3));
}

async fn stripe_s04_what_fails_validation_is_not_stored(backend: impl Backend) {
    let app = App::start(&backend).await;
    // The layer's own validation.
    reply(app.post("/charge", "key-1").header("idempotency-key", "key-2")).await.expect_rejection(400, "key-malformed");
    // The handler's, which says that it executed nothing.
    for runs in 1..=2 {
        assert_eq!(app.send("/not-executed", "key-1").await.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(app.exec(), runs);
    }
    let corrected = app.send("/charge", "key-1").await;
    assert_eq!((corrected.status, corrected.is_replay()), (StatusCode::CREATED, false));
    assert_eq!((app.exec(), app.downstream.effects()), (3, 1));
}

async fn stripe_s04_a_request_that_conflicts_with_a_concurrent_one_is_not_stored(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    app.gate.open();
    let first = first.await.unwrap();
    let retry = app.send("/held-before", "key-1").await;
    retry.expect_replay_of(&first, &[]);
    assert_eq!((retry.status, app.exec()), (StatusCode::CREATED, 1), "the conflict was stored");
}

async fn stripe_s06_a_400_after_execution_began_is_replayed(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/status/400", "key-1").await;
    assert_eq!(first.status, StatusCode::BAD_REQUEST);
    app.send("/status/400", "key-1").await.expect_replay_of(&first, &[]);
    // The corrected request is another one, and needs a key of its own.
    let corrected = |key| app.post("/status/400", key).body(r#"{"amount":1}"#);
    reply(corrected("key-1")).await.expect_rejection(422, "key-reused");
    assert_eq!(app.exec(), 1);
    assert!(!reply(corrected("key-2")).await.is_replay());
    assert_eq!(app.exec(), 2);
}

async fn stripe_s09_replays_are_marked_and_first_answers_are_not(backend: impl Backend) {
    let app = App::start(&backend).await;
    for path in ["/charge", "/fails", "/empty", "/status/404"] {
        assert_eq!(app.send(path, path).await.header("idempotent-replayed"), None, "{path}");
        for _ in 0..2 {
            assert_eq!(app.send(path, path).await.header("idempotent-replayed"), Some("true"), "{path}");
        }
    }
    let passed = reply(app.request(Method::GET, "/charge").header("idempotency-key", "/charge")).await;
    assert_eq!((passed.status, passed.header("idempotent-replayed")), (StatusCode::CREATED, None));
}

async fn stripe_s10_after_24_hours_the_key_is_a_new_request<B: Backend>(backend: B) {
    let app = App::start(&backend).await;
    let first = app.send("/charge", "key-1").await;
    let day = Duration::from_secs(24 * 60 * 60);
    backend.advance(day.saturating_sub(B::DRIFT + Duration::from_secs(1))).await;
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    backend.advance(B::DRIFT + Duration::from_secs(1)).await;
    let new = reply(app.post("/charge", "key-1").body(r#"{"amount":2}"#)).await;
    assert_eq!((new.status, new.is_replay()), (StatusCode::CREATED, false));
    assert_ne!(new.body, first.body);
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
}
