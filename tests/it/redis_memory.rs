//! A server that is full.

use idempotency_tests::{App, Backend};
use reqwest::StatusCode;

use crate::redis_own::Own;

#[tokio::test]
async fn s14_a_full_server_takes_no_new_keys_and_still_replays() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    let impatient = own.impatient().await;
    let first = app.send("/charge", "key-1").await;
    let before = own.records().await;
    own.server.config_set("maxmemory", "1").await;
    impatient.send("/charge", "key-2").await.expect_rejection(503, "store-unavailable");
    assert_eq!(impatient.exec(), 0);
    assert_eq!(own.records().await, before, "nothing was written");
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    own.server.config_set("maxmemory", "0").await;
    assert_eq!(app.send("/charge", "key-2").await.status, StatusCode::CREATED);
    assert_eq!((app.exec(), impatient.exec()), (2, 0));
}

#[tokio::test]
async fn s45_a_server_that_is_full_at_completion_records_the_answer() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    let first = app.send_until_held("/held-after", "key-1").await;
    own.server.config_set("maxmemory", "1").await;
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    app.send("/held-after", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
