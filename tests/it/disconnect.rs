//! Clients that leave: while the handler runs, and while they still send.

use idempotency_tests::{App, Backend, Verb, on_each_store, raw, within};
use reqwest::{StatusCode, Version};
use tower_idempotency::OnDisconnect;

on_each_store!(
    s34_the_handler_finishes_when_its_client_closes_the_connection,
    s34_the_handler_finishes_when_its_client_resets_the_stream,
    s34_a_handler_that_is_cancelled_by_choice_is_not_run_again,
    s35_a_body_that_ends_early_leaves_no_trace,
);

/// The client leaves while the handler is at work, and the server notices before the handler goes on.
async fn leave_midway(app: &App) {
    let answer = app.send_until_held("/held-before", "key-1").await;
    answer.abort();
    within("the server notices that its client has left", app.departed.reached(1)).await;
    app.gate.open();
}

/// The handler has finished, once, and the retry gets its answer.
async fn expect_finished(app: &App) {
    app.until_finished(1).await;
    app.faults.until_applied(Verb::Complete, 1).await;
    let retry = app.send("/held-before", "key-1").await;
    assert_eq!(retry.status, StatusCode::CREATED);
    assert!(retry.is_replay(), "{retry:?}");
    assert!(retry.json()["receipt"].as_str().unwrap().starts_with("1-"), "{retry:?}");
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s34_the_handler_finishes_when_its_client_closes_the_connection(backend: impl Backend) {
    let app = App::start(&backend).await;
    leave_midway(&app).await;
    expect_finished(&app).await;
}

async fn s34_the_handler_finishes_when_its_client_resets_the_stream(backend: impl Backend) {
    let app = App::on(&backend).http2().start().await;
    assert_eq!(app.send("/busy", "other").await.version, Version::HTTP_2);
    leave_midway(&app).await;
    app.until_finished(1).await;
    app.faults.until_applied(Verb::Complete, 1).await;
    let retry = app.send("/held-before", "key-1").await;
    assert!(retry.is_replay(), "{retry:?}");
    assert_eq!(app.downstream.effects(), 1);
}

async fn s34_a_handler_that_is_cancelled_by_choice_is_not_run_again(backend: impl Backend) {
    let app = App::on(&backend).layer(|layer| layer.on_disconnect(OnDisconnect::Cancel)).start().await;
    let answer = app.send_until_held("/held-before", "key-1").await;
    answer.abort();
    app.faults.until_applied(Verb::Abandon, 1).await;
    app.gate.open();
    app.send("/held-before", "key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!((app.exec(), app.downstream.effects()), (1, 0));
}

async fn s35_a_body_that_ends_early_leaves_no_trace(backend: impl Backend) {
    let app = App::start(&backend).await;
    let begun = b"POST /charge HTTP/1.1\r\nhost: test\r\nx-merchant: acme\r\nidempotency-key: key-1\r\n\
        content-type: application/json\r\ncontent-length: 15\r\n\r\n{\"amount\"";
    let upload = raw::begin(app.address(), begun).await;
    drop(upload);
    within("the server gives the upload up", app.ended.reached(1)).await;
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
    let retry = app.send("/charge", "key-1").await;
    assert_eq!(retry.status, StatusCode::CREATED);
    assert!(!retry.is_replay());
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
