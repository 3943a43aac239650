//! A store that fails, and what may be concluded from that.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use idempotency_tests::{App, Backend, Fault, Faults, Layer, Verb, on_each_store, patient};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tower_idempotency::{OnAbandoned, OnUnavailable, RecordedAnswer, Resolution};

on_each_store!(
    s09_a_lost_claim_reply_is_reclaimed_by_its_owner,
    s10_a_claim_that_nobody_saw_is_given_back,
    s12_without_a_store_nothing_runs,
    s12_a_route_that_fails_open_runs_without_a_store,
    s12_a_claim_that_landed_unseen_is_not_free_after_an_unprotected_run,
    s12_a_route_that_fails_open_does_not_run_what_was_just_resolved,
    s46_a_lost_completion_reply_is_asked_for_again,
    s47_a_store_that_is_down_at_completion_gets_the_answer_later,
);

/// Long enough for a healthy store to be asked again, short enough for a test that wants no answer.
const BRIEFLY: Duration = Duration::from_millis(200);

/// An application that does not wait long for its claims. Whoever expects the store to answer asks at another one.
async fn impatient(backend: &impl Backend) -> App {
    App::on(backend).timing(patient().claim_budget(BRIEFLY)).start().await
}

async fn s09_a_lost_claim_reply_is_reclaimed_by_its_owner(backend: impl Backend) {
    let app = App::start(&backend).await;
    app.faults.next(1, Verb::Claim, Fault::LoseReply);
    let first = app.send("/charge", "key-1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(app.faults.applied(Verb::Claim), 2, "the claim was asked for again");
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s10_a_claim_that_nobody_saw_is_given_back(backend: impl Backend) {
    let app = impatient(&backend).await;
    app.faults.set(Verb::Claim, Fault::LoseReply);
    app.faults.set(Verb::Release, Fault::LoseRequest);
    app.send("/charge", "key-1").await.expect_rejection(503, "store-unavailable");
    assert_eq!(app.exec(), 0);
    app.faults.heal();
    app.faults.until_applied(Verb::Release, 1).await;
    let other = App::on(&backend).beside(&app).start().await;
    let retry = other.send("/charge", "key-1").await;
    assert_eq!((retry.status, retry.is_replay()), (StatusCode::CREATED, false));
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
}

async fn s12_without_a_store_nothing_runs(backend: impl Backend) {
    let app = impatient(&backend).await;
    for down in [Fault::Refuse, Fault::LoseRequest] {
        app.faults.set_all(&down);
        let refused = app.send("/charge", "key-1").await;
        refused.expect_rejection(503, "store-unavailable");
        assert!(refused.header("retry-after").is_some());
        assert_eq!((app.exec(), app.downstream.effects()), (0, 0));
    }
    let other = App::on(&backend).beside(&app).start().await;
    assert_eq!(other.send("/charge", "key-2").await.status, StatusCode::CREATED);
}

/// The same, for routes where an outage costs more than a repetition.
async fn failing_open(backend: &impl Backend) -> App {
    let fail_open = |layer: Layer| {
        let layer = layer.timing(patient().claim_budget(BRIEFLY)).expect("sensible durations");
        layer.on_unavailable(OnUnavailable::FailOpen)
    };
    App::on(backend).layer(fail_open).start().await
}

async fn s12_a_route_that_fails_open_runs_without_a_store(backend: impl Backend) {
    let app = failing_open(&backend).await;
    for (runs, down) in (1..).zip([Fault::Refuse, Fault::LoseRequest]) {
        app.faults.set_all(&down);
        let answer = app.send("/charge", "key-1").await;
        assert_eq!((answer.status, answer.header("idempotency-status")), (StatusCode::CREATED, Some("unprotected")));
        assert!(!answer.is_replay());
        assert_eq!((app.exec(), app.downstream.effects()), (runs, runs));
        assert_eq!(app.layer.counts().unprotected, runs as u64);
        assert_eq!(app.runs().last().unwrap().lease, None);
    }
    // The store's healthy answers may take longer than an impatient application waits.
    let other = App::on(&backend).beside(&app).start().await;
    let first = other.send("/charge", "key-1").await;
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    other.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
}

async fn s12_a_claim_that_landed_unseen_is_not_free_after_an_unprotected_run(backend: impl Backend) {
    let app = failing_open(&backend).await;
    app.faults.set(Verb::Claim, Fault::LoseReply);
    let answer = app.send("/charge", "key-1").await;
    assert_eq!((answer.status, answer.header("idempotency-status")), (StatusCode::CREATED, Some("unprotected")));
    let other = App::on(&backend).beside(&app).start().await;
    other.send("/charge", "key-1").await.expect_rejection(409, "in-flight");
    backend.advance(Duration::from_secs(31)).await;
    other.send("/charge", "key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!((app.exec() + other.exec(), app.downstream.effects()), (1, 1));
    assert_eq!(app.faults.applied(Verb::Release), 0);
}

/// The store has said that the key was held: after that no route runs it unprotected.
async fn s12_a_route_that_fails_open_does_not_run_what_was_just_resolved(backend: impl Backend) {
    let faults = Arc::new(OnceLock::<Faults>::new());
    let down = Arc::clone(&faults);
    let resolve = move || {
        let down = Arc::clone(&down);
        OnAbandoned::resolve(move |_| {
            down.get().expect("the application has started").set(Verb::Claim, Fault::Refuse);
            async {
                let (status, headers) = (StatusCode::CREATED, HeaderMap::new());
                Resolution::Completed(RecordedAnswer { status, headers, body: "found".into(), trailers: None })
            }
        })
    };
    let layer = move |layer: Layer| layer.on_unavailable(OnUnavailable::FailOpen).on_abandoned(resolve());
    let app = App::on(&backend).layer(layer).start().await;
    faults.set(app.faults.clone()).expect("set once");
    app.send("/panic", "key-1").await.expect_rejection(500, "handler-panicked");
    app.send("/panic", "key-1").await.expect_rejection(503, "store-unavailable");
    assert_eq!((app.exec(), app.layer.counts().unprotected), (1, 0));
}

async fn s46_a_lost_completion_reply_is_asked_for_again(backend: impl Backend) {
    let app = App::start(&backend).await;
    app.faults.next(1, Verb::Complete, Fault::LoseReply);
    let first = app.send("/charge", "key-1").await;
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

/// The store goes away while the handler runs and stays away for a minute, longer than the lease lasts.
async fn s47_a_store_that_is_down_at_completion_gets_the_answer_later(backend: impl Backend) {
    let app = App::on(&backend).timing(patient().completion_wait(BRIEFLY)).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    app.faults.set_all(&Fault::Refuse);
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.header("idempotency-status"), Some("unrecorded"));
    app.send("/held-before", "key-1").await.expect_rejection(503, "store-unavailable");
    backend.advance(Duration::from_secs(60)).await;
    app.faults.heal();
    app.faults.until_applied(Verb::Complete, 1).await;
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &["idempotency-status"]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
