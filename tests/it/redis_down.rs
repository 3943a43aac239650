//! A server that is killed, paused or restarted.

use std::time::Duration;

use idempotency_store::{Claimed, Renewed, Store};
use idempotency_tests::{App, Backend, RedisOptions, Verb, eventually, patient};
use reqwest::StatusCode;

use crate::redis_own::{BRIEFLY, Own, acquire, claim, soon};

#[tokio::test]
async fn s12_an_unreachable_server_runs_nothing() {
    let own = Own::open().await;
    let app = own.impatient().await;
    own.server.kill9();
    for _ in 0..3 {
        let refused = app.send("/charge", "key-1").await;
        refused.expect_rejection(503, "store-unavailable");
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!((app.exec(), app.downstream.effects()), (0, 0));
    own.server.restart().await;
    let other = App::on(&own).beside(&app).start().await;
    assert_eq!(other.send("/charge", "key-1").await.status, StatusCode::CREATED);
    assert_eq!(app.downstream.effects(), 1);
}

#[tokio::test]
async fn s13_a_server_that_forgot_its_scripts_is_told_them_again() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    app.send("/charge", "key-0").await;
    let first = app.send_until_held("/held-before", "key-1").await;
    own.server.script_flush().await;
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
}

#[tokio::test]
async fn s39_a_server_that_is_killed_and_restarted_while_the_handler_runs_still_knows_the_key() {
    let own = Own::with(RedisOptions::default().append_only("everysec")).await;
    let app = App::start(&own).await;
    app.send("/charge", "key-0").await;
    let first = app.send_until_held("/held-after", "key-1").await;
    own.server.restart().await;
    app.send("/held-after", "key-1").await.expect_rejection(409, "in-flight");
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    app.send("/held-after", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
}

#[tokio::test]
async fn s40_a_renewal_writes_a_lost_record_again() {
    let own = Own::open().await;
    let grant = acquire(&own.store, &claim(1)).await;
    own.server.restart_empty().await;
    let renewed = eventually("the store is connected again", || async { own.store.renew(&grant, soon()).await.ok() });
    assert_eq!(renewed.await, Renewed::Recreated);
    let duplicate = own.store.claim(&claim(1), soon()).await.unwrap();
    assert!(matches!(duplicate, Claimed::InFlight { .. }), "{duplicate:?}");
}

#[tokio::test]
async fn s40_a_request_on_a_server_that_restarted_empty_keeps_its_key() {
    let own = Own::open().await;
    let app = App::on(&own).timing(patient().lease(Duration::from_secs(3))).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    own.server.restart_empty().await;
    eventually("a renewal writes the record", || async { own.records().await.first().cloned() }).await;
    app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
    assert_eq!(app.layer.counts().recreated, 1, "the alarm is counted");
}

#[tokio::test]
async fn s47_a_server_that_is_killed_at_completion_gets_the_answer_later() {
    let own = Own::with(RedisOptions::default().append_only("always")).await;
    completes_later(&own, Own::kill, Own::restart).await;
}

#[tokio::test]
async fn s47_a_server_that_is_paused_at_completion_gets_the_answer_later() {
    completes_later(&Own::open().await, Own::pause, Own::resume).await;
}

impl Own {
    async fn kill(&self) {
        self.server.kill9();
    }

    async fn restart(&self) {
        self.server.restart().await;
    }

    async fn pause(&self) {
        self.server.stop().await;
    }

    async fn resume(&self) {
        self.server.cont();
    }
}

async fn completes_later(own: &Own, down: impl AsyncFn(&Own), up: impl AsyncFn(&Own)) {
    let app = App::on(own).timing(patient().completion_wait(BRIEFLY)).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    down(own).await;
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, Some("unrecorded")));
    up(own).await;
    app.faults.until_applied(Verb::Complete, 1).await;
    let other = App::on(own).beside(&app).start().await;
    other.send("/held-before", "key-1").await.expect_replay_of(&first, &["idempotency-status"]);
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
}

#[tokio::test]
async fn s10_a_claim_that_a_paused_server_makes_later_is_given_back() {
    let own = Own::open().await;
    let app = own.impatient().await;
    own.server.stop().await;
    app.send("/charge", "key-1").await.expect_rejection(503, "store-unavailable");
    assert_eq!(app.exec(), 0);
    own.server.cont();
    app.faults.until_applied(Verb::Release, 1).await;
    let other = App::on(&own).beside(&app).start().await;
    let retry = other.send("/charge", "key-1").await;
    assert_eq!((retry.status, retry.is_replay()), (StatusCode::CREATED, false));
    other.send("/charge", "key-1").await.expect_replay_of(&retry, &[]);
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
}
