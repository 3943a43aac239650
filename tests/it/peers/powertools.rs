//! aws-lambda-powertools 3.37.0: recording an answer dropped what the request was compared by, so that the same request
//! was refused as another one; and without a time limit from outside a key stayed in progress until its record expired.

use std::time::Duration;

use idempotency_tests::{App, Backend, on_each_store, reply};
use reqwest::{RequestBuilder, StatusCode};

on_each_store!(
    powertools_an_identical_retry_was_refused_as_another_request,
    powertools_a_dead_owner_kept_its_key_in_progress_for_the_retention,
);

async fn powertools_an_identical_retry_was_refused_as_another_request(backend: impl Backend) {
    let name = || "x-api-version".parse().unwrap();
    let app = App::on(&backend).layer(move |layer| layer.fingerprint_header(name())).start().await;
    let of = |request: RequestBuilder, version: &'static str| reply(request.header("x-api-version", version));
    let first = of(app.post("/charge", "key-1"), "1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    for _ in 0..3 {
        of(app.post("/charge", "key-1"), "1").await.expect_replay_of(&first, &[]);
        of(app.post("/charge", "key-1"), "2").await.expect_rejection(422, "key-reused");
        of(app.post("/charge", "key-1").body("{}"), "1").await.expect_rejection(422, "key-reused");
    }
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn powertools_a_dead_owner_kept_its_key_in_progress_for_the_retention(backend: impl Backend) {
    let app = App::start(&backend).await;
    let _dead = app.send_until_held("/held-before", "key-1").await;
    backend.advance(Duration::from_secs(31)).await;
    // Known after a lease, not after a day; and neither run again nor called something that is still going on.
    let other = App::on(&backend).start().await;
    other.send("/held-before", "key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!((app.exec(), other.exec()), (1, 0));
}
