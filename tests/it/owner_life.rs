//! The life of an owner: it takes long, it pauses, it is overtaken, it panics.

use std::time::Duration;

use idempotency_store::{Deadline, Reason, Resolved, Store};
use idempotency_tests::{App, Backend, Downstream, Fault, Gate, Verb, on_each_store, patient, reply};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tower_idempotency::{Abandoned, OnAbandoned, RecordedAnswer, Resolution};

on_each_store!(
    s21_a_renewed_lease_outlasts_its_term,
    s22_a_paused_owner_may_complete_after_its_lease,
    s23_a_paused_owner_is_neither_overtaken_nor_refused,
    s26_an_overtaken_owner_changes_nothing_and_tells_the_winners_answer,
    s32_a_panic_leaves_the_outcome_unknown,
    s32_whoever_knows_better_may_let_it_run_again,
    s32_a_resolver_that_finds_nothing_lets_the_retry_run,
    s32_a_resolver_that_finds_the_effect_gives_the_retry_its_answer,
    s38_a_runtime_that_is_dropped_leaves_what_ran_in_flight,
);

const LEASE: Duration = Duration::from_secs(30);

/// Says of the first run of `app` that it was not executed.
async fn resolve_as_not_executed(app: &App) -> Resolved {
    let lease = app.runs()[0].lease.unwrap();
    let deadline = Deadline::after(Duration::from_secs(10));
    app.store
        .resolve(lease.key, lease.fence.into(), &idempotency_store::Resolution::NotExecuted, deadline)
        .await
        .unwrap()
}

/// The layer renews at a third of the lease, in real time; between two renewals nearly a whole lease passes for the store,
/// less what passes for it by itself.
async fn s21_a_renewed_lease_outlasts_its_term<B: Backend>(backend: B) {
    let lease = Duration::from_millis(300) + B::DRIFT * 3;
    let nearly = lease.saturating_sub(Duration::from_millis(1) + B::DRIFT * 2);
    let app = App::on(&backend).timing(patient().lease(lease)).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    for _ in 0..5 {
        backend.advance(nearly).await;
        app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
        // One may have been on its way before the time passed; the second came after it.
        app.faults.until_applied(Verb::Renew, app.faults.applied(Verb::Renew) + 2).await;
    }
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED);
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

/// Pauses whoever renews or completes, as a stopped process does.
fn pause(app: &App) -> Gate {
    let resumed = Gate::default();
    app.faults.set(Verb::Renew, Fault::PauseBefore(resumed.clone()));
    app.faults.set(Verb::Complete, Fault::PauseBefore(resumed.clone()));
    resumed
}

async fn s22_a_paused_owner_may_complete_after_its_lease(backend: impl Backend) {
    let app = App::start(&backend).await;
    let resumed = pause(&app);
    let first = tokio::spawn(reply(app.post("/charge", "key-1")));
    resumed.arrived(1).await;
    backend.advance(LEASE * 3).await;
    resumed.open();
    let first = first.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED);
    app.faults.until_applied(Verb::Complete, 1).await;
    app.send("/charge", "key-1").await.expect_replay_of(&first, &["idempotency-status"]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s23_a_paused_owner_is_neither_overtaken_nor_refused(backend: impl Backend) {
    let app = App::start(&backend).await;
    let resumed = pause(&app);
    let first = tokio::spawn(reply(app.post("/charge", "key-1")));
    resumed.arrived(1).await;
    let other = App::on(&backend).beside(&app).start().await;
    other.send("/charge", "key-1").await.expect_rejection(409, "in-flight");
    backend.advance(LEASE * 3).await;
    other.send("/charge", "key-1").await.expect_rejection(409, "indeterminate");
    resumed.open();
    let first = first.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED);
    app.faults.until_applied(Verb::Complete, 1).await;
    other.send("/charge", "key-1").await.expect_replay_of(&first, &["idempotency-status"]);
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
}

/// Without `Reexecute`, the only way past a paused owner is somebody's word that it has not run.
async fn s26_an_overtaken_owner_changes_nothing_and_tells_the_winners_answer(backend: impl Backend) {
    let app = App::start(&backend).await;
    let resumed = pause(&app);
    let overtaken = tokio::spawn(reply(app.post("/charge", "key-1")));
    resumed.arrived(1).await;
    backend.advance(LEASE * 3).await;
    assert_eq!(resolve_as_not_executed(&app).await, Resolved::Resolved);
    let other = App::on(&backend).beside(&app).start().await;
    let winner = reply(other.post("/charge", "key-1")).await;
    assert_eq!((winner.status, winner.is_replay()), (StatusCode::CREATED, false));
    assert!(other.fences()[0] > app.fences()[0]);
    resumed.open();
    overtaken.await.unwrap().expect_replay_of(&winner, &[]);
    other.send("/charge", "key-1").await.expect_replay_of(&winner, &[]);
    assert_eq!(app.downstream.entries().await, 2);
}

async fn s32_a_resolver_that_finds_nothing_lets_the_retry_run(backend: impl Backend) {
    let resolve = || OnAbandoned::resolve(|_| async { Resolution::NotExecuted });
    let app = App::on(&backend).layer(move |layer| layer.on_abandoned(resolve())).start().await;
    for run in 1..=3 {
        app.send("/panic", "key-1").await.expect_rejection(500, "handler-panicked");
        assert_eq!((app.exec(), app.faults.applied(Verb::Resolve)), (run, run - 1));
    }
    assert!(app.fences().is_sorted_by(|earlier, later| earlier < later));
}

/// The resolver asks the downstream by the derived key, as a service would.
async fn s32_a_resolver_that_finds_the_effect_gives_the_retry_its_answer(backend: impl Backend) {
    let downstream = Downstream::start().await;
    let asked = downstream.clone();
    let find = move |abandoned: Abandoned| {
        let downstream = asked.clone();
        async move {
            let executed = downstream.keys().await.contains(&abandoned.downstream_key("effect"));
            assert!(executed && abandoned.reason() == Some(Reason::Panic), "{abandoned:?}");
            let (status, headers) = (StatusCode::CREATED, HeaderMap::new());
            Resolution::Completed(RecordedAnswer { status, headers, body: "found".into(), trailers: None })
        }
    };
    let app = App::on(&backend).downstream(&downstream);
    let app = app.layer(move |layer| layer.on_abandoned(OnAbandoned::resolve(find))).start().await;
    app.send("/panic", "key-1").await.expect_rejection(500, "handler-panicked");
    let other = App::on(&backend).beside(&app).start().await;
    for server in [&app, &app, &other] {
        let answer = server.send("/panic", "key-1").await;
        assert_eq!((answer.status, &answer.body[..], answer.is_replay()), (StatusCode::CREATED, &b"found"[..], true));
    }
    assert_eq!((app.exec(), downstream.effects(), app.faults.applied(Verb::Resolve)), (1, 1, 1));
}

/// As 29, in one process: nobody drains, nothing is awaited, and every task is gone.
async fn s38_a_runtime_that_is_dropped_leaves_what_ran_in_flight(backend: impl Backend) {
    let other = App::start(&backend).await;
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let builder = App::on(&backend).beside(&other);
    let app = dying.spawn(builder.start()).await.unwrap();
    let unanswered = app.send_until_held("/held-after", "key-1").await;
    tokio::task::spawn_blocking(move || drop(dying)).await.unwrap();
    // With its runtime its connections are gone.
    assert!(unanswered.await.is_err(), "it was answered after its runtime was gone");
    other.send("/held-after", "key-1").await.expect_rejection(409, "in-flight");
    backend.advance(LEASE * 3).await;
    for _ in 0..2 {
        other.send("/held-after", "key-1").await.expect_rejection(409, "indeterminate");
    }
    assert_eq!((other.downstream.entries().await, other.downstream.effects()), (1, 1));
}

async fn s32_a_panic_leaves_the_outcome_unknown(backend: impl Backend) {
    let app = App::start(&backend).await;
    app.send("/panic", "key-1").await.expect_rejection(500, "handler-panicked");
    assert_eq!(app.faults.applied(Verb::Abandon), 1);
    for _ in 0..3 {
        app.send("/panic", "key-1").await.expect_rejection(409, "indeterminate");
    }
    backend.advance(LEASE * 3).await;
    app.send("/panic", "key-1").await.expect_rejection(409, "indeterminate");
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s32_whoever_knows_better_may_let_it_run_again(backend: impl Backend) {
    let app = App::start(&backend).await;
    app.send("/panic", "key-1").await.expect_rejection(500, "handler-panicked");
    assert_eq!(resolve_as_not_executed(&app).await, Resolved::Resolved);
    app.send("/panic", "key-1").await.expect_rejection(500, "handler-panicked");
    assert_eq!(app.exec(), 2);
    assert!(app.fences()[1] > app.fences()[0]);
    assert_eq!(resolve_as_not_executed(&app).await, Resolved::Conflict, "said of the first run, not of the second");
}
