//! What becomes of a key whose owner is gone: refused, run again, or asked about.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use common::{Answer, layer, post, post_body, read, secret};
use http::{Request, Response};
use tokio::sync::oneshot;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::{Checkpoint, ManualClock, MemoryStore};
use tower_idempotency::{CheckpointError, ConfigError, Idempotency, IdempotencyLayer, OnAbandoned, RequestBody, Scope};

/// Longer than the default lease.
const LAPSE: Duration = Duration::from_secs(31);

/// Sends one request to a handler that is told its attempt.
async fn run<F>(
    layer: &IdempotencyLayer<MemoryStore>,
    request: Request<Body>,
    work: impl FnOnce(Idempotency) -> F + Clone + Send + 'static,
) -> Answer
where
    F: Future<Output = String> + Send + 'static,
{
    let service = service_fn(move |request: Request<RequestBody<Body>>| {
        let work = work.clone();
        let idempotency = request.extensions().get::<Idempotency>().unwrap().clone();
        async move { Ok::<_, Infallible>(Response::new(Body::from(work(idempotency).await))) }
    });
    read(layer.layer(service).oneshot(request).await.unwrap()).await
}

/// What a handler can tell of its attempt.
async fn attempt(idempotency: Idempotency) -> String {
    let checkpoint = idempotency.checkpoint().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    format!("{} {} {checkpoint:?}", idempotency.attempt(), idempotency.is_takeover())
}

async fn dies(_: Idempotency) -> String {
    panic!("a handler that was asked to panic");
}

async fn notes_and_dies(idempotency: Idempotency) -> String {
    idempotency.save_checkpoint("reserved").await.unwrap();
    panic!("a handler that was asked to panic");
}

fn reexecuting(attempts: u32) -> IdempotencyLayer<MemoryStore> {
    layer().on_abandoned(OnAbandoned::reexecute(attempts).unwrap())
}

#[tokio::test]
async fn by_default_nothing_is_run_again_and_no_retry_is_asked_for() {
    let layer = layer();
    run(&layer, post("k"), dies).await;
    let retry = run(&layer, post("k"), attempt).await;
    assert_eq!((retry.status.as_u16(), retry.problem()), (409, "indeterminate".to_owned()));
    assert!(!retry.headers.contains_key("retry-after"), "the client is to stop");
}

#[tokio::test]
async fn a_taker_over_learns_that_it_is_one_and_what_was_noted() {
    let layer = reexecuting(5);
    assert_eq!(run(&layer, post("k"), notes_and_dies).await.problem(), "handler-panicked");
    assert_eq!(run(&layer, post("k"), attempt).await.body, "2 true Some(\"reserved\")");
    assert!(run(&layer, post("k"), attempt).await.is_replay());
    assert_eq!(run(&layer, post("other"), attempt).await.body, "1 false None");
}

#[tokio::test]
async fn a_checkpoint_outlives_the_attempts_that_leave_none() {
    let layer = reexecuting(5);
    run(&layer, post("k"), notes_and_dies).await;
    run(&layer, post("k"), dies).await;
    assert_eq!(run(&layer, post("k"), attempt).await.body, "3 true Some(\"reserved\")");
}

#[tokio::test]
async fn when_the_attempts_are_spent_the_key_stays_unknown() {
    let layer = reexecuting(3);
    for _ in 0..3 {
        assert_eq!(run(&layer, post("k"), dies).await.problem(), "handler-panicked");
    }
    for _ in 0..2 {
        let refused = run(&layer, post("k"), attempt).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (409, "indeterminate".to_owned()));
        assert!(!refused.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn another_request_with_the_key_takes_nothing_over() {
    let layer = reexecuting(5);
    run(&layer, post("k"), dies).await;
    assert_eq!(run(&layer, post_body("k", "other"), attempt).await.problem(), "key-reused");
}

#[tokio::test]
async fn an_attempt_reads_what_it_saved_and_may_save_as_much_as_fits() {
    let layer = layer();
    let saved = run(&layer, post("k"), |idempotency| async move {
        assert_eq!(idempotency.checkpoint(), None);
        let largest = vec![7; Checkpoint::MAX_LEN];
        idempotency.save_checkpoint(largest.clone()).await.unwrap();
        let too_large = idempotency.save_checkpoint(vec![7; Checkpoint::MAX_LEN + 1]).await.unwrap_err();
        assert!(matches!(too_large, CheckpointError::TooLarge(_)), "{too_large}");
        assert_eq!(idempotency.clone().checkpoint().unwrap(), largest, "what was refused replaces nothing");
        "saved".to_owned()
    });
    assert_eq!(saved.await.body, "saved");
}

/// Two servers on one store, and a first owner that is paused past its lease.
#[tokio::test]
async fn an_owner_that_was_overtaken_saves_nothing_and_its_client_gets_the_winners_answer() {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
    let server = || {
        let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
        layer.on_abandoned(OnAbandoned::reexecute(2).unwrap())
    };
    let (entered, running) = oneshot::channel();
    let (resume, resumed) = oneshot::channel::<()>();
    let work = Arc::new(std::sync::Mutex::new(Some((entered, resumed))));
    let first = server();
    let overtaken = tokio::spawn(async move {
        let answer = run(&first, post("k"), move |idempotency| async move {
            let (entered, resumed) = work.lock().unwrap().take().unwrap();
            entered.send(idempotency.fence()).unwrap();
            resumed.await.unwrap();
            let late = idempotency.save_checkpoint("late").await.unwrap_err();
            assert!(matches!(late, CheckpointError::Lost), "{late}");
            "mine".to_owned()
        });
        answer.await
    });
    let fence = running.await.unwrap();
    clock.advance(LAPSE);
    let second = server();
    let winner = run(&second, post("k"), move |idempotency| async move {
        assert!(idempotency.fence() > fence);
        attempt(idempotency).await
    });
    assert_eq!(winner.await.body, "2 true None");
    resume.send(()).unwrap();
    let overtaken = overtaken.await.unwrap();
    assert_eq!((overtaken.is_replay(), &overtaken.body[..]), (true, &b"2 true None"[..]));
}

#[test]
fn a_policy_that_runs_nothing_again_is_not_called_that() {
    for absurd in [0, 1] {
        let refused = OnAbandoned::reexecute(absurd).unwrap_err();
        assert_eq!(refused, ConfigError::TooFewAttempts(absurd));
        assert!(refused.to_string().contains("at least 2"), "{refused}");
    }
    assert_eq!(format!("{:?}", OnAbandoned::reexecute(OnAbandoned::ATTEMPTS).unwrap()), "Reexecute(5)");
}
