//! What is done with an answer: the handler's word, the policies, and the cookies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use common::{Answer, Entries, counted, layer, post, read, secret, send};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::record::{Record, State, Transition};
use tower_idempotency::store::{Answer as Stored, Deadline, ManualClock, MemoryStore, Transact};
use tower_idempotency::{
    Idempotency, IdempotencyLayer, RecordedAnswer, Recording, RecordingPolicy, RequestBody, Retention, RouteSettings,
    Scope,
};

type Handled = Request<RequestBody<Body>>;

fn answering(status: u16, said: Option<Recording>) -> impl Fn(usize, Handled) -> Response<Body> + Clone {
    move |entry, _| {
        let mut response = Response::builder().status(status).body(Body::from(format!("run {entry}"))).unwrap();
        said.map(|said| response.extensions_mut().insert(said));
        response
    }
}

/// What a retry gets after a first answer of this status, under this policy.
async fn retry(policy: RecordingPolicy, status: u16, said: Option<Recording>) -> (Answer, usize) {
    let (layer, entries) = (layer().recording(policy), Entries::default());
    let first = send(&layer, &entries, answering(status, said), post("k")).await;
    assert_eq!((first.status.as_u16(), &first.body[..]), (status, &b"run 1"[..]), "the first client gets it as it is");
    (send(&layer, &entries, answering(status, said), post("k")).await, entries.count())
}

#[tokio::test]
async fn each_preset_keeps_releases_or_doubts_by_the_status() {
    let presets = [
        (RecordingPolicy::everything(), [500, 408, 401], [429, 425]),
        (RecordingPolicy::stripe(), [500, 408, 400], [429, 401]),
        (RecordingPolicy::success_only(), [200, 201, 204], [422, 500]),
        (RecordingPolicy::retry_server_errors(), [200, 408, 422], [500, 503]),
    ];
    for (policy, kept, released) in presets {
        for status in kept {
            let (retry, entries) = retry(policy.clone(), status, None).await;
            assert_eq!((retry.is_replay(), entries), (true, 1), "{policy:?} {status}");
        }
        for status in released {
            let (retry, entries) = retry(policy.clone(), status, None).await;
            assert_eq!((retry.is_replay(), &retry.body[..], entries), (false, &b"run 2"[..], 2), "{policy:?} {status}");
        }
    }
    let (retry, entries) = retry(RecordingPolicy::success_only(), 408, None).await;
    assert_eq!((retry.problem(), entries), ("indeterminate".to_owned(), 1));
}

#[tokio::test]
async fn the_handlers_word_overrules_the_policy() {
    let (retry_, entries) = retry(RecordingPolicy::success_only(), 500, Some(Recording::Keep)).await;
    assert_eq!((retry_.is_replay(), entries), (true, 1));
    let (retry_, entries) = retry(RecordingPolicy::everything(), 201, Some(Recording::NotExecuted)).await;
    assert_eq!((retry_.is_replay(), entries), (false, 2));
}

#[tokio::test]
async fn an_answer_that_is_not_to_be_kept_leaves_its_status_only() {
    let (retry, entries) = retry(RecordingPolicy::everything(), 201, Some(Recording::DoNotKeep)).await;
    assert_eq!((retry.status, retry.problem(), entries), (StatusCode::CONFLICT, "not-replayable".to_owned(), 1));
    assert_eq!(retry.rejection.unwrap().original_status(), Some(StatusCode::CREATED));
}

#[tokio::test]
async fn an_unknown_outcome_is_not_run_again() {
    let (first, entries) = retry(RecordingPolicy::everything(), 500, Some(Recording::Unknown)).await;
    assert_eq!((first.status, first.problem(), entries), (StatusCode::CONFLICT, "indeterminate".to_owned(), 1));
    let doubts = RecordingPolicy::from_fn(|answer| match answer.status {
        StatusCode::REQUEST_TIMEOUT => Recording::Unknown,
        _ => Recording::Keep,
    });
    assert_eq!(retry(doubts.clone(), 408, None).await.0.problem(), "indeterminate");
    assert!(retry(doubts, 500, None).await.0.is_replay());
}

#[tokio::test]
async fn an_answer_that_is_not_to_be_kept_streams_at_once() {
    let (parts, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    parts.send(Bytes::from("first")).await.unwrap();
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|part| (Ok::<_, Infallible>(http_body::Frame::data(part)), receiver))
    });
    let body = std::sync::Mutex::new(Some(Body::new(StreamBody::new(frames))));
    let body = Arc::new(body);
    let service = service_fn(move |_: Handled| {
        let mut response = Response::new(body.lock().unwrap().take().unwrap());
        response.extensions_mut().insert(Recording::DoNotKeep);
        async move { Ok::<_, Infallible>(response) }
    });
    let answer = tokio::time::timeout(Duration::from_secs(30), layer().layer(service).oneshot(post("k"))).await;
    let mut streamed = answer.expect("it does not wait for the end of the stream").unwrap().into_body();
    assert_eq!(streamed.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    parts.send(Bytes::from("second")).await.unwrap();
    assert_eq!(streamed.frame().await.unwrap().unwrap().into_data().unwrap(), "second");
}

#[tokio::test]
async fn a_handler_may_complete_its_key_by_itself() {
    let (store, entries) = (MemoryStore::new(), Entries::default());
    let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret());
    let handler = service_fn(move |request: Handled| {
        let (store, lease) = (store.clone(), request.extensions().get::<Idempotency>().unwrap().lease());
        async move {
            let answer = RecordedAnswer {
                status: StatusCode::CREATED,
                headers: HeaderMap::new(),
                body: Bytes::from("recorded by hand"),
                trailers: None,
            };
            let state = State::Completed(Stored::Kept(answer.encode().unwrap()));
            let complete = move |record: Option<&Record>, now| {
                let record =
                    record.filter(|record| (record.owner, record.fence) == (lease.owner, lease.fence)).unwrap();
                Transition { write: Some(Record { state, since: now, ..record.clone() }), reply: () }
            };
            store.transact(lease.key, Deadline::after(Duration::from_secs(30)), complete).await.unwrap();
            let response = Response::builder().status(201).extension(Recording::AlreadyRecorded);
            Ok::<_, Infallible>(response.body(Body::from("of the handler")).unwrap())
        }
    });
    let first = read(layer.layer(handler).oneshot(post("k")).await.unwrap()).await;
    assert_eq!((&first.body[..], first.headers.get("idempotency-status")), (&b"of the handler"[..], None));
    let retry = send(&layer, &entries, counted, post("k")).await;
    assert_eq!((&retry.body[..], retry.is_replay(), entries.count()), (&b"recorded by hand"[..], true, 0));
}

/// What a retry of `request` gets so long after the first answer.
async fn after(waited: Duration, said: Option<Recording>, request: impl Fn() -> Request<Body>) -> Answer {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock));
    let (layer, entries) = (IdempotencyLayer::new(store, Scope::shared(), secret()), Entries::default());
    send(&layer, &entries, answering(201, said), request()).await;
    clock.advance(waited);
    send(&layer, &entries, answering(201, said), request()).await
}

/// Makes one request, as often as it is sent.
type Asked<'a> = &'a dyn Fn() -> Request<Body>;

/// The last moment before that.
const fn almost(time: Duration) -> Duration {
    time.saturating_sub(Duration::from_millis(1))
}

#[tokio::test]
async fn an_answer_may_be_kept_for_a_time_of_its_own() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let hours = |hours: u32| Retention::new(HOUR * hours).unwrap();
    let narrowed = || {
        let mut request = post("k");
        request.extensions_mut().insert(RouteSettings::new().retention(hours(2)));
        request
    };
    let usual = || post("k");
    let short = Some(Recording::KeepFor(hours(1)));
    let long = Some(Recording::KeepFor(hours(240)));
    let cases: [(Option<Recording>, Asked<'_>, u32); 5] =
        [(None, &usual, 24), (short, &usual, 1), (long, &usual, 240), (None, &narrowed, 2), (short, &narrowed, 1)];
    for (said, request, kept) in cases {
        let last = after(almost(HOUR * kept), said, request).await;
        assert_eq!((last.is_replay(), &last.body[..]), (true, &b"run 1"[..]), "{said:?} {kept} h");
        let next = after(HOUR * kept, said, request).await;
        assert_eq!((next.is_replay(), &next.body[..]), (false, &b"run 2"[..]), "{said:?} {kept} h");
    }
    let gone = Some(Recording::DoNotKeep);
    assert_eq!(after(almost(HOUR * 2), gone, narrowed).await.problem(), "not-replayable");
    assert_eq!(after(HOUR * 2, gone, narrowed).await.body, "run 2");
}

#[tokio::test]
async fn a_policy_that_panics_leaves_nobody_knowing() {
    let (layer, entries) = (layer().recording(RecordingPolicy::from_fn(|_| panic!("asked to"))), Entries::default());
    assert_eq!(send(&layer, &entries, counted, post("k")).await.problem(), "handler-panicked");
    assert_eq!(send(&layer, &entries, counted, post("k")).await.problem(), "indeterminate");
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn cookies_are_replayed_by_explicit_choice_only() {
    let handler = |_, _: Handled| {
        let cookies = Response::builder().header("set-cookie", "a=1").header("set-cookie", "b=2");
        cookies.body(Body::empty()).unwrap()
    };
    for (layer, replayed) in [(layer(), 0), (layer().replay_set_cookie(), 2)] {
        let entries = Entries::default();
        let first = send(&layer, &entries, handler, post("k")).await;
        assert_eq!(first.headers.get_all(header::SET_COOKIE).iter().count(), 2);
        let retry = send(&layer, &entries, handler, post("k")).await;
        assert_eq!((retry.is_replay(), retry.headers.get_all(header::SET_COOKIE).iter().count()), (true, replayed));
    }
}

#[tokio::test]
async fn trailers_are_no_way_around_the_list() {
    let layer = layer();
    for (expected, _) in [(2, "first"), (1, "replay")] {
        let service = service_fn(|_: Handled| async {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("set-cookie", "a=1".parse().unwrap());
            let body = Full::new(Bytes::from("x")).with_trailers(async move { Some(Ok(trailers)) });
            Ok::<_, Infallible>(Response::new(Body::new(body)))
        });
        let body = layer.layer(service).oneshot(post("k")).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().trailers().unwrap().len(), expected);
    }
}
