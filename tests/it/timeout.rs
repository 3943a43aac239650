//! A timeout layer inside of the layer, and one outside.

use std::time::Duration;

use idempotency_tests::{App, Backend, Verb, on_each_store};
use reqwest::StatusCode;
use tower_http::timeout::TimeoutLayer;
use tower_idempotency::{Recording, RecordingPolicy};

on_each_store!(
    s36_a_timeout_inside_is_an_outcome_and_is_replayed,
    s36_a_timeout_inside_may_be_unknown_instead,
    s36_a_timeout_outside_leaves_the_handler_running,
);

/// The handlers wait at a gate that nobody opens, so that it always passes.
fn soon() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(1))
}

async fn s36_a_timeout_inside_is_an_outcome_and_is_replayed(backend: impl Backend) {
    let app = App::on(&backend).inside(|routes| routes.layer(soon())).start().await;
    let first = app.send("/held-after", "key-1").await;
    assert_eq!((first.status, first.is_replay()), (StatusCode::REQUEST_TIMEOUT, false));
    let (exec, effects) = (app.exec(), app.downstream.effects());
    assert!(exec <= 1 && effects <= 1, "cancelled wherever it was");
    app.gate.open();
    for _ in 0..3 {
        app.send("/held-after", "key-1").await.expect_replay_of(&first, &[]);
    }
    assert_eq!((app.exec(), app.downstream.effects()), (exec, effects), "it was not released");
    assert_eq!(app.faults.applied(Verb::Release), 0);
}

async fn s36_a_timeout_inside_may_be_unknown_instead(backend: impl Backend) {
    let doubts = RecordingPolicy::from_fn(|answer| match answer.status {
        StatusCode::REQUEST_TIMEOUT => Recording::Unknown,
        _ => RecordingPolicy::everything().judge(answer),
    });
    for policy in [doubts, RecordingPolicy::success_only()] {
        let app = App::on(&backend).inside(|routes| routes.layer(soon())).layer(|layer| layer.recording(policy));
        let app = app.start().await;
        let key = format!("{}", app.address());
        assert_eq!(app.send("/held-after", &key).await.status, StatusCode::REQUEST_TIMEOUT);
        let (exec, effects) = (app.exec(), app.downstream.effects());
        app.gate.open();
        for _ in 0..2 {
            app.send("/held-after", &key).await.expect_rejection(409, "indeterminate");
        }
        assert_eq!((app.exec(), app.downstream.effects()), (exec, effects));
        assert_eq!((app.faults.applied(Verb::Abandon), app.faults.applied(Verb::Release)), (1, 0));
    }
}

async fn s36_a_timeout_outside_leaves_the_handler_running(backend: impl Backend) {
    let app = App::on(&backend).outside(|router| router.layer(soon())).start().await;
    assert_eq!(app.send("/held-before", "key-1").await.status, StatusCode::REQUEST_TIMEOUT);
    app.gate.open();
    app.until_finished(1).await;
    app.faults.until_applied(Verb::Complete, 1).await;
    let retry = app.send("/held-before", "key-1").await;
    assert_eq!((retry.status, retry.is_replay()), (StatusCode::CREATED, true));
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
