//! The line to the server breaks at the commands that matter.

use idempotency_tests::redis_proxy::named;
use idempotency_tests::{App, LineFault, Verb};
use reqwest::StatusCode;

use crate::redis_own::Own;

#[tokio::test]
async fn s09_a_claim_whose_reply_is_cut_off_is_reclaimed_with_the_same_fence() {
    for fault in [LineFault::CutAfter, LineFault::CutMidReply(2), LineFault::Garble] {
        let (own, line) = Own::behind_a_line().await;
        let app = App::start(&own).await;
        line.next(1, claims, fault);
        let first = app.send_until_held("/held-before", "key-1").await;
        assert_eq!(line.struck.get(), 1);
        let record = own.server.get(&own.record().await).await.unwrap();
        let fence = u64::from_be_bytes(record[16..24].try_into().unwrap());
        assert_eq!(app.fences(), [fence], "the handler runs under the fence that the server took first");
        app.gate.open();
        let first = first.await.unwrap();
        app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
        assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
    }
}

#[tokio::test]
async fn s09_a_claim_that_never_arrived_is_made_again() {
    let (own, line) = Own::behind_a_line().await;
    let app = App::start(&own).await;
    line.next(1, claims, LineFault::CutBefore);
    let first = app.send("/charge", "key-1").await;
    assert_eq!((first.status, line.struck.get()), (StatusCode::CREATED, 1));
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

#[tokio::test]
async fn s10_a_claim_that_nobody_saw_is_given_back_over_a_line_that_came_back() {
    let (own, line) = Own::behind_a_line().await;
    let app = own.impatient().await;
    line.set(claims, LineFault::CutAfter);
    line.set(named("EVALSHA"), LineFault::CutBefore);
    line.set(named("EVAL"), LineFault::CutBefore);
    app.send("/charge", "key-1").await.expect_rejection(503, "store-unavailable");
    assert_eq!(app.exec(), 0);
    assert_eq!(own.records().await.len(), 1, "it had been claimed");
    line.heal();
    app.faults.until_applied(Verb::Release, 1).await;
    let other = App::on(&own).beside(&app).start().await;
    let retry = other.send("/charge", "key-1").await;
    assert_eq!((retry.status, retry.is_replay()), (StatusCode::CREATED, false));
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
}

#[tokio::test]
async fn s46_a_completion_whose_reply_is_cut_off_is_asked_for_again() {
    for fault in [LineFault::CutAfter, LineFault::CutBefore, LineFault::CutMidReply(1), LineFault::Garble] {
        let (own, line) = Own::behind_a_line().await;
        let app = App::start(&own).await;
        app.send("/charge", "key-0").await;
        line.next(1, named("EVALSHA"), fault);
        let first = app.send("/charge", "key-1").await;
        assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
        assert_eq!(line.struck.get(), 1);
        app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
        assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
    }
}

#[tokio::test]
async fn s56_replies_that_are_mixed_up_never_serve_a_foreign_answer() {
    let (own, line) = Own::behind_a_line().await;
    let app = App::start(&own).await;
    let one = app.send("/charge", "key-1").await;
    let other = app.send("/charge", "key-2").await;
    line.next(1, claims, LineFault::SwapReplies);
    let (to_one, to_other) = tokio::join!(app.send("/charge", "key-1"), app.send("/charge", "key-2"));
    assert_eq!(line.struck.get(), 1);
    let corrupt = [&to_one, &to_other].iter().filter(|reply| reply.status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert!(corrupt > 0, "somebody was given a foreign record");
    for (reply, own) in [(to_one, &one), (to_other, &other)] {
        match reply.status {
            StatusCode::SERVICE_UNAVAILABLE => reply.expect_rejection(503, "record-corrupt"),
            _ => reply.expect_replay_of(own, &[]),
        }
    }
    assert_eq!(app.exec(), 2);
    app.send("/charge", "key-1").await.expect_replay_of(&one, &[]);
    app.send("/charge", "key-2").await.expect_replay_of(&other, &[]);
}

/// Claims, and not the trials with which a store greets a server.
fn claims(command: &idempotency_tests::resp::Command) -> bool {
    command.name() == "SET" && command.arguments().first().is_some_and(|key| key.starts_with(b"idem:{"))
}
