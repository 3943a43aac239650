//! idempotent 0.3.0, its scripts on Redis: several keys in one script, and a counter that `FLUSHALL` starts again.

use std::time::Duration;

use idempotency_tests::{App, Backend, RedisOptions, RedisServer, Verb, eventually, free_port, patient};
use redis::cmd;
use reqwest::StatusCode;

use crate::redis_own::Own;

#[tokio::test]
async fn idempotent_after_flushall_a_zombie_completed_over_its_successor() {
    let own = Own::open().await;
    let zombie = App::start(&own).await;
    let theirs = zombie.send_until_held("/held-before", "key-1").await;
    own.server.ask::<()>(&cmd("FLUSHALL")).await;

    // A store that forgets lets the key run again (scenario 40); what it must not do is to believe the first one then.
    let successor = App::on(&own).start().await;
    let ours = successor.send_until_held("/held-before", "key-1").await;
    assert!(successor.fences()[0] > zombie.fences()[0], "the fence started again");
    zombie.gate.open();
    let told = theirs.await.unwrap();
    told.expect_rejection(409, "in-flight");
    successor.gate.open();
    let ours = ours.await.unwrap();
    assert_eq!((ours.status, ours.header("idempotency-status")), (StatusCode::CREATED, None));
    zombie.send("/held-before", "key-1").await.expect_replay_of(&ours, &[]);
}

#[tokio::test]
async fn idempotent_a_server_in_cluster_mode_answered_crossslot() {
    let bus = free_port().await.to_string();
    let options = RedisOptions::default().set("cluster-enabled", "yes").set("cluster-port", &bus);
    let server = RedisServer::start(options).await;
    server.ask::<()>(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383)).await;
    let is_ok = |info: String| info.contains("cluster_state:ok").then_some(());
    eventually("the cluster has all slots", || async { is_ok(server.ask(cmd("CLUSTER").arg("INFO")).await) }).await;
    let own = Own::at(server).await;

    // Claim, renewal, completion of an answer that is large, release, abandoning, and what finds each of them.
    let app = App::start(&own).await;
    let timing = patient().lease(Duration::from_millis(900));
    let brief = App::on(&own).beside(&app).timing(timing).start().await;
    let renewed = brief.send_until_held("/held-before", "renewed").await;
    brief.faults.until_applied(Verb::Renew, 1).await;
    brief.gate.open();
    let renewed = renewed.await.unwrap();
    app.send("/held-before", "renewed").await.expect_replay_of(&renewed, &[]);
    for path in ["/charge", "/binary", "/empty", "/fails"] {
        let first = app.send(path, path).await;
        assert_eq!(first.header("idempotency-status"), None, "{path}: {first:?}");
        app.send(path, path).await.expect_replay_of(&first, &[]);
    }
    for _ in 0..2 {
        assert_eq!(app.send("/busy", "busy").await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    app.send("/panic", "panic").await.expect_rejection(500, "handler-panicked");
    app.send("/panic", "panic").await.expect_rejection(409, "indeterminate");
    assert_eq!(app.exec() + brief.exec(), 1 + 4 + 2 + 1);
    let errors: String = own.server.ask(cmd("INFO").arg("errorstats")).await;
    assert!(!errors.contains("CROSSSLOT"), "a command over two slots: {errors}");
}
