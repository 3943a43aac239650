//! What is recorded of an answer, for how long, and what is not.

use std::time::Duration;

use idempotency_tests::{App, Backend, Verb, on_each_store};
use reqwest::StatusCode;
use tower_idempotency::{Recording, RecordingPolicy, Retention};

on_each_store!(
    s51_cookies_and_credentials_reach_the_first_client_only,
    s52_a_500_is_an_outcome_and_is_replayed,
    s52_what_was_not_executed_is_released,
    s53_a_429_is_released,
    s54_a_key_is_remembered_for_its_retention_and_no_longer,
    s54_an_answer_is_kept_for_a_time_of_its_own,
);

async fn s51_cookies_and_credentials_reach_the_first_client_only(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/cookie", "key-1").await;
    assert_eq!(first.all("set-cookie"), [&b"session=secret"[..], b"theme=dark"]);
    assert_eq!(first.header("authorization"), Some("Bearer secret"));
    let replay = app.send("/cookie", "key-1").await;
    assert_eq!(replay.all("set-cookie"), Vec::<&[u8]>::new());
    replay.expect_replay_of(&first, &["set-cookie", "authorization"]);
    assert_eq!(app.exec(), 1);
}

async fn s52_a_500_is_an_outcome_and_is_replayed(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/fails", "key-1").await;
    assert_eq!(first.status, StatusCode::INTERNAL_SERVER_ERROR);
    for _ in 0..3 {
        app.send("/fails", "key-1").await.expect_replay_of(&first, &[]);
    }
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s52_what_was_not_executed_is_released(backend: impl Backend) {
    let app = App::start(&backend).await;
    for runs in 1..=3 {
        let answer = app.send("/not-executed", "key-1").await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::UNPROCESSABLE_ENTITY, false));
        assert_eq!((app.exec(), app.faults.applied(Verb::Release)), (runs, runs));
    }
    assert!(app.fences().is_sorted_by(|earlier, later| earlier < later), "{:?}", app.fences());
    // Released means free: the key may even be used for another request.
    assert_eq!(app.send("/charge", "key-1").await.status, StatusCode::CREATED);
}

async fn s53_a_429_is_released(backend: impl Backend) {
    let app = App::start(&backend).await;
    for runs in 1..=3 {
        let answer = app.send("/busy", "key-1").await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::TOO_MANY_REQUESTS, false));
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(app.exec(), runs);
    }
    assert!(app.fences().is_sorted_by(|earlier, later| earlier < later), "{:?}", app.fences());
}

async fn s54_a_key_is_remembered_for_its_retention_and_no_longer<B: Backend>(backend: B) {
    let app = App::start(&backend).await;
    let first = app.send("/charge", "key-1").await;
    let last = B::DRIFT + Duration::from_millis(1);
    let almost = Duration::from_secs(24 * 60 * 60).saturating_sub(last);
    backend.advance(almost).await;
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    // A replay does not prolong it.
    backend.advance(last).await;
    let second = app.send("/charge", "key-1").await;
    assert_eq!((second.status, second.is_replay()), (StatusCode::CREATED, false));
    assert_ne!(second.body, first.body);
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
    assert!(app.fences()[1] > app.fences()[0]);
}

async fn s54_an_answer_is_kept_for_a_time_of_its_own<B: Backend>(backend: B) {
    let hour = Duration::from_secs(60 * 60);
    for (number, kept) in [hour, hour * 48].into_iter().enumerate() {
        let (retention, key) = (Retention::new(kept).unwrap(), format!("key-{number}"));
        let policy = RecordingPolicy::from_fn(move |_| Recording::KeepFor(retention));
        let app = App::on(&backend).layer(|layer| layer.recording(policy)).start().await;
        let first = app.send("/charge", &key).await;
        let last = B::DRIFT + Duration::from_millis(1);
        backend.advance(kept.saturating_sub(last)).await;
        app.send("/charge", &key).await.expect_replay_of(&first, &[]);
        backend.advance(last).await;
        let second = app.send("/charge", &key).await;
        assert_eq!((second.status, second.is_replay(), app.exec()), (StatusCode::CREATED, false, 2));
        assert!(app.fences()[1] > app.fences()[0]);
    }
}
