//! node-idempotency for Express, at 622b33f: an empty answer ran again and called itself a replay, and a store that failed
//! left its client without any answer.

use std::time::Duration;

use idempotency_tests::{App, Backend, Fault, Verb, on_each_store, patient, reply};
use reqwest::StatusCode;

on_each_store!(
    node_idempotency_an_empty_answer_ran_again_under_the_mark_of_a_replay,
    node_idempotency_a_store_that_failed_left_the_client_waiting,
);

async fn node_idempotency_an_empty_answer_ran_again_under_the_mark_of_a_replay(backend: impl Backend) {
    let app = App::start(&backend).await;
    let no_content = app.send("/empty", "key-1").await;
    assert_eq!((no_content.status, no_content.body.len()), (StatusCode::NO_CONTENT, 0));
    let nothing = || reply(app.post("/echo", "key-2").body(""));
    let ok = nothing().await;
    assert_eq!((ok.status, ok.body.len()), (StatusCode::OK, 0));
    for _ in 0..3 {
        app.send("/empty", "key-1").await.expect_replay_of(&no_content, &[]);
        nothing().await.expect_replay_of(&ok, &[]);
    }
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
}

/// An answer comes, whichever verb fails and however; `reply` fails the test if none does.
async fn node_idempotency_a_store_that_failed_left_the_client_waiting(backend: impl Backend) {
    let briefly = Duration::from_millis(300);
    let app = App::on(&backend).timing(patient().claim_budget(briefly).completion_wait(briefly)).start().await;
    let faults = [Fault::Refuse, Fault::LoseRequest, Fault::LoseReply];
    for (at, fault) in faults.iter().enumerate() {
        app.faults.set(Verb::Claim, fault.clone());
        app.send("/charge", &format!("claim-{at}")).await.expect_rejection(503, "store-unavailable");
        app.faults.heal();
    }
    assert_eq!(app.exec(), 0);
    for (at, fault) in faults.iter().enumerate() {
        app.faults.set(Verb::Complete, fault.clone());
        let answer = app.send("/charge", &format!("complete-{at}")).await;
        assert_eq!((answer.status, answer.header("idempotency-status")), (StatusCode::CREATED, Some("unrecorded")));
        app.faults.heal();
    }
    assert_eq!((app.exec(), app.downstream.effects()), (3, 3));
}
