//! What a handler and its client learn when the lease goes to somebody else while the handler runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use common::{Answer, Entries, counted, post, read, secret, send};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::{Deadline, Lease, ManualClock, MemoryStore, Resolution, Resolved, Store};
use tower_idempotency::{Idempotency, IdempotencyLayer, RecordedAnswer, RequestBody, Scope, Timing, store};
use tracing::Instrument;

const LEASE: Duration = Duration::from_millis(300);

struct Setup {
    clock: Arc<ManualClock>,
    store: MemoryStore,
    layer: IdempotencyLayer<MemoryStore>,
}

fn setup() -> Setup {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
    Setup { clock, store, layer: layer.timing(Timing::default().lease(LEASE)).unwrap() }
}

/// Runs a handler that tells its lease and answers only when it is lost, while `meanwhile` happens to that lease.
async fn run_until_lost<F: Future<Output = ()>>(setup: &Setup, meanwhile: impl FnOnce(Lease) -> F) -> Answer {
    let (entered, mut leases) = mpsc::channel(1);
    let handler = service_fn(move |request: Request<RequestBody<Body>>| {
        let (idempotency, entered) = (request.extensions().get::<Idempotency>().unwrap().clone(), entered.clone());
        async move {
            entered.send(idempotency.lease()).await.unwrap();
            idempotency.lost().await;
            assert!(idempotency.is_lost());
            Ok::<_, Infallible>(Response::new(Body::from("mine")))
        }
    });
    let answer = setup.layer.layer(handler).oneshot(post("k"));
    let meanwhile = async { meanwhile(leases.recv().await.unwrap()).await };
    let (answer, ()) = tokio::join!(answer, meanwhile);
    read(answer.unwrap()).await
}

async fn resolve(setup: &Setup, lease: Lease, resolution: Resolution) {
    let deadline = Deadline::after(Duration::from_secs(1));
    // A renewal may come in between: the lease is lapsed again then, and asked again.
    loop {
        setup.clock.advance(LEASE);
        match setup.store.resolve(lease.key, lease.fence.into(), &resolution, deadline).await.unwrap() {
            Resolved::Resolved => return,
            Resolved::Conflict => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_lost_lease_reaches_the_handler_and_its_late_answer_is_not_recorded() {
    let setup = setup();
    let answer = run_until_lost(&setup, |lease| resolve(&setup, lease, Resolution::NotExecuted)).await;
    assert_eq!((answer.status, answer.problem()), (StatusCode::CONFLICT, "indeterminate".to_owned()));
    let next = send(&setup.layer, &Entries::default(), counted, post("k")).await;
    assert_eq!((next.is_replay(), &next.body[..]), (false, &b"run 1"[..]), "the resolution counts");
}

#[tokio::test]
async fn the_client_of_a_superseded_attempt_gets_the_recorded_answer() {
    let setup = setup();
    let theirs = RecordedAnswer {
        status: StatusCode::ACCEPTED,
        headers: HeaderMap::new(),
        body: "theirs".into(),
        trailers: None,
    };
    let resolution = Resolution::Completed(store::Answer::Kept(theirs.encode().unwrap()));
    let answer = run_until_lost(&setup, |lease| resolve(&setup, lease, resolution)).await;
    assert_eq!((answer.status, &answer.body[..], answer.is_replay()), (StatusCode::ACCEPTED, &b"theirs"[..], true));
}

#[tokio::test]
async fn renewals_end_with_the_maximal_execution_and_the_late_answer_counts_all_the_same() {
    let mut setup = setup();
    setup.layer = setup.layer.timing(Timing::default().lease(LEASE).max_execution(LEASE)).unwrap();
    let answer = run_until_lost(&setup, |_| async { setup.clock.advance(LEASE * 2) }).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"mine"[..]));
    assert!(send(&setup.layer, &Entries::default(), counted, post("k")).await.is_replay());
}

#[tokio::test]
async fn the_handler_runs_in_the_span_of_its_request() {
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry());
    let handler = |_, _: Request<RequestBody<Body>>| {
        Response::new(Body::from(tracing::Span::current().metadata().map_or("none", |span| span.name())))
    };
    let setup = setup();
    let entries = Entries::default();
    let answer = send(&setup.layer, &entries, handler, post("k")).instrument(tracing::info_span!("request")).await;
    assert_eq!(answer.body, "request");
}
