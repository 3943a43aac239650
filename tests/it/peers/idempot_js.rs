//! idempot-js at fe0486f: a look-up by fingerprint over all keys and callers, a fingerprint of the body alone, and two keys
//! where a client sent one in two spellings.

use idempotency_tests::{App, Backend, on_each_store};
use reqwest::StatusCode;

on_each_store!(
    idempot_js_a_new_key_with_an_earlier_body_was_refused,
    idempot_js_another_path_got_the_first_paths_answer,
    idempot_js_the_quoted_and_the_bare_key_conflicted,
    idempot_js_a_500_was_replayed_as_it_is_here,
);

async fn idempot_js_a_new_key_with_an_earlier_body_was_refused(backend: impl Backend) {
    let app = App::start(&backend).await;
    let (first, second) = (app.send("/charge", "key-1").await, app.send("/charge", "key-2").await);
    assert_eq!((second.status, second.is_replay()), (StatusCode::CREATED, false));
    assert_ne!(first.body, second.body);
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    app.send("/charge", "key-2").await.expect_replay_of(&second, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
}

async fn idempot_js_another_path_got_the_first_paths_answer(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/charge", "key-1").await;
    let refused = app.send("/refund", "key-1").await;
    refused.expect_rejection(422, "key-reused");
    assert_ne!(refused.body, first.body);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn idempot_js_the_quoted_and_the_bare_key_conflicted(backend: impl Backend) {
    let app = App::start(&backend).await;
    for (first, then) in [("bare", "\"bare\""), ("\"quoted\"", "quoted")] {
        let answer = app.send("/charge", first).await;
        app.send("/charge", then).await.expect_replay_of(&answer, &[]);
        app.send("/charge", first).await.expect_replay_of(&answer, &[]);
    }
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
}

/// No defect: it had been executed, and running it again would be a guess.
async fn idempot_js_a_500_was_replayed_as_it_is_here(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/fails", "key-1").await;
    app.send("/fails", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((first.status, app.exec()), (StatusCode::INTERNAL_SERVER_ERROR, 1));
}
