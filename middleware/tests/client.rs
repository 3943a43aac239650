//! Calls through the retrying layer, to a server that does what its script says, in paused time.

#![cfg(feature = "client")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;
mod script;

use std::collections::HashSet;
use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use script::{Client, Say, Script, answer, post, problem};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tower_idempotency::client::{
    CallError, DownstreamLayer, GaveUp, KeyForm, Outcome, Reason, RequestKey, RetryBudget, RetryLayer, RetryPolicy,
};
use tower_idempotency::{DownstreamError, IDEMPOTENCY_FENCE, Idempotency, LeaseLost};

const SECOND: Duration = Duration::from_secs(1);

fn gave_up(result: Result<script::Read, CallError>) -> GaveUp {
    match result {
        Err(CallError::GaveUp(gave_up)) => gave_up,
        other => panic!("not given up: {other:?}"),
    }
}

/// Everything that may be over soon, one after the other.
fn troubles() -> Vec<Say> {
    let statuses = [408, 425, 429, 502, 503, 504].into_iter().map(answer);
    let errors = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].map(Say::Error);
    let waiting = [problem("in-flight"), problem("in-flight").with("retry-after", "1")];
    statuses
        .chain(errors)
        .chain(waiting)
        .chain([problem("indeterminate").with("retry-after", "1"), Say::Hang])
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_through_every_trouble_with_one_key_and_one_body() {
    let troubles = troubles();
    let tries = troubles.len() + 1;
    let script = Script::of(troubles.into_iter().chain([answer(201)]));
    let client = Client::with(&script, RetryPolicy::default().max_tries(100));
    let answer = client.call(post("pay")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"201"[..]));

    let sent = script.sent();
    assert_eq!(sent.len(), tries);
    let keys: HashSet<_> = sent.iter().map(|request| request.key().expect("a key")).collect();
    assert_eq!(keys.len(), 1, "a key for each try is a payment for each try");
    let key = answer.key.expect("the answer says under which key it came");
    assert_eq!(keys.into_iter().next(), Some(format!("\"{}\"", key.as_str())));
    assert!(sent.iter().all(|request| request.body == "pay" && request.method == Method::POST));
}

#[tokio::test(start_paused = true)]
async fn two_calls_have_two_keys() {
    let script = Script::of([answer(201), answer(201)]);
    let client = Client::new(&script);
    for _ in 0..2 {
        client.call(post("pay")).await.unwrap();
    }
    let sent = script.sent();
    assert_ne!(sent[0].key(), sent[1].key());
}

#[tokio::test(start_paused = true)]
async fn final_answers_come_through_whole_after_one_try() {
    let conflicts = ["indeterminate", "not-replayable", "fenced", "something-else"].map(problem);
    let plain = [200, 201, 204, 302, 400, 401, 402, 404, 409, 410, 422, 500, 501, 505].map(answer);
    let replays = [408, 429, 500, 503].map(|status| answer(status).with("idempotent-replayed", "true"));
    let advised = [answer(503).with("stripe-should-retry", "false")];
    let late = answer(409).with("retry-after", "1");
    for say in conflicts.into_iter().chain(plain).chain(replays).chain(advised).chain([late]) {
        let script = Script::of([say.clone()]);
        let answer = Client::new(&script).call(post("pay")).await.unwrap();
        let Say::Answer { status, fields, body } = say else { unreachable!() };
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()));
        assert!(fields.iter().all(|(name, value)| answer.headers[*name] == value), "{answer:?}");
        assert_eq!(script.sent().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_advice_to_retry_is_taken() {
    let script = Script::of([answer(400).with("stripe-should-retry", "true"), answer(201)]);
    assert_eq!(Client::new(&script).call(post("pay")).await.unwrap().status, 201);
    assert_eq!(script.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_next_try_comes_no_earlier_than_it_was_asked_to() {
    let date = "Tue, 24 Nov 2026 12:00:00 GMT";
    let asks = [
        answer(503).with("retry-after", "7"),
        problem("in-flight").with("retry-after", "7"),
        answer(429).with("date", date).with("retry-after", "Tue, 24 Nov 2026 12:00:07 GMT"),
    ];
    for ask in asks {
        let script = Script::of([ask, answer(201)]);
        Client::new(&script).call(post("pay")).await.unwrap();
        let pause = script.sent()[1].at - script.sent()[0].at;
        assert!(7 * SECOND <= pause && pause <= 7 * SECOND + SECOND / 4, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_request_that_still_runs_is_waited_for_longer_than_failures_are() {
    let in_flight = std::iter::repeat_n(problem("in-flight").with("retry-after", "2"), 20);
    let script = Script::of(in_flight.chain([answer(201).with("idempotent-replayed", "true")]));
    let answer = Client::new(&script).call(post("pay")).await.unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(script.sent().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_try_without_an_answer_is_dropped_in_time_and_asked_for_again() {
    let script = Script::of([Say::Hang, answer(201)]);
    let began = Instant::now();
    let policy = RetryPolicy::default().try_timeout(3 * SECOND);
    Client::with(&script, policy).call(post("pay")).await.unwrap();
    let took = began.elapsed();
    assert!(3 * SECOND <= took && took < 4 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn giving_up_tells_the_key_and_that_nobody_knows() {
    let script =
        Script::of([Say::Error(ErrorKind::ConnectionRefused), answer(503).with("retry-after", "3"), Say::Hang]);
    let key = RequestKey::new("order-42").unwrap();
    let mut request = post("pay");
    request.extensions_mut().insert(key.clone());
    let gave_up = gave_up(Client::with(&script, RetryPolicy::default().max_tries(3)).call(request).await);
    assert_eq!((gave_up.key(), gave_up.outcome(), gave_up.reason()), (&key, Outcome::Unknown, Reason::Tries));
    assert_eq!((gave_up.tries(), gave_up.last_status(), gave_up.ask_again_after()), (3, None, None));
    assert!(gave_up.source().unwrap().to_string().contains("no answer within"), "{gave_up:?}");
    assert!(!format!("{gave_up:?} {gave_up}").contains("order-42"));

    // A second run, a process later, under the key that was kept.
    let script = Script::of([answer(201).with("idempotent-replayed", "true")]);
    let mut request = post("pay");
    request.extensions_mut().insert(gave_up.key().clone());
    assert_eq!(Client::new(&script).call(request).await.unwrap().status, 201);
    assert_eq!(script.sent()[0].key().as_deref(), Some("\"order-42\""));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_never_reached_executed_nothing() {
    let script = Script::of(std::iter::repeat_n(Say::Error(ErrorKind::ConnectionRefused), 5));
    let gave_up = gave_up(Client::new(&script).call(post("pay")).await);
    assert_eq!((gave_up.outcome(), gave_up.reason(), gave_up.tries()), (Outcome::NotSent, Reason::Tries, 5));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_even_if_a_try_could_go_on() {
    let script = Script::of([Say::Hang, Say::Hang]);
    let policy = RetryPolicy::default().try_timeout(8 * SECOND).deadline(10 * SECOND);
    let began = Instant::now();
    let gave_up = gave_up(Client::with(&script, policy).call(post("pay")).await);
    assert_eq!((gave_up.outcome(), gave_up.reason(), gave_up.tries()), (Outcome::Unknown, Reason::Deadline, 2));
    assert_eq!(began.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn more_patience_than_there_is_is_not_begun() {
    let began = Instant::now();
    for (asked, reason) in [("31", Reason::RetryAfter), ("99999999999999999999", Reason::RetryAfter)] {
        let script = Script::of([answer(503).with("retry-after", asked)]);
        let gave_up = gave_up(Client::new(&script).call(post("pay")).await);
        assert_eq!((gave_up.reason(), gave_up.last_status()), (reason, Some(StatusCode::SERVICE_UNAVAILABLE)));
        assert!(gave_up.ask_again_after() >= Some(31 * SECOND));
    }
    let script = Script::of([answer(503).with("retry-after", "20")]);
    let gave_up = gave_up(Client::with(&script, RetryPolicy::default().deadline(10 * SECOND)).call(post("pay")).await);
    assert_eq!(gave_up.reason(), Reason::Deadline);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_multiplied() {
    const CALLS: usize = 1_000;
    let script = Script::always(answer(503));
    let client = Client::with(&script, RetryPolicy::default().budget(RetryBudget::new(100).per_second(1)));
    let began = Instant::now();
    let calls = join_all((0..CALLS).map(|_| client.call(post("pay")))).await;
    let given_up = calls.into_iter().map(gave_up).filter(|gave_up| gave_up.reason() == Reason::Budget).count();
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let tries = script.sent().len();
    assert!(tries <= CALLS + 100 + seconds, "{tries} tries in {seconds} s");
    assert!(tries >= CALLS + 100, "{tries} tries: the budget is there to be used");
    assert!(given_up > 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_could_not_reach_it_can_say_so() {
    use tower_idempotency::client::Failure;
    let script = Script::of([Say::Error(ErrorKind::TimedOut)]);
    let layer = RetryLayer::new().classify(|_| Failure::NotSent).policy(RetryPolicy::default().max_tries(1)).unwrap();
    let gave_up = gave_up(Client::behind(&script, &layer).call(post("pay")).await);
    assert_eq!(gave_up.outcome(), Outcome::NotSent);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_the_callers_unless_answers_are_read() {
    let script = Script::of([Say::Break(201), answer(201).with("idempotent-replayed", "true")]);
    let client = Client::with(&script, RetryPolicy::default().read_answers(1024));
    let whole = client.call(post("pay")).await.unwrap();
    assert_eq!((&whole.body[..], script.sent().len()), (&b"201"[..], 2));

    let script = Script::of([Say::Break(201)]);
    let mut service = Client::new(&script).service();
    let response = service.ready().await.unwrap().call(post("pay")).await.unwrap();
    assert!(response.extensions().get::<RequestKey>().is_some(), "to ask again under");
    assert!(script::read(response).await.is_err());
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_larger_than_what_is_read_comes_through_whole() {
    let script = Script::of([answer(201).saying(&"x".repeat(5_000))]);
    let client = Client::with(&script, RetryPolicy::default().read_answers(1_000));
    assert_eq!(client.call(post("pay")).await.unwrap().body.len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn safe_requests_pass_through_without_a_key_and_without_retries() {
    let script = Script::of([answer(503), Say::Error(ErrorKind::ConnectionReset)]);
    let client = Client::new(&script);
    let get = || {
        let mut request = post("");
        *request.method_mut() = Method::GET;
        request
    };
    assert_eq!(client.call(get()).await.unwrap().status, 503);
    assert!(matches!(client.call(get()).await, Err(CallError::Client(_))));
    assert!(script.sent().iter().all(|request| request.key().is_none()));

    let script = Script::of([answer(503), answer(200)]);
    let mut keyed = get();
    keyed.extensions_mut().insert(RequestKey::v4().unwrap());
    assert_eq!(Client::new(&script).call(keyed).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_spelled_as_the_server_wants_it() {
    let script = Script::of([answer(201)]);
    let mut request = post("pay");
    request.extensions_mut().insert(RequestKey::new("order-42").unwrap());
    Client::with(&script, RetryPolicy::default().key_form(KeyForm::Bare)).call(request).await.unwrap();
    assert_eq!(script.sent()[0].key().as_deref(), Some("order-42"));
}

#[tokio::test(start_paused = true)]
async fn two_keys_in_one_request_send_nothing() {
    let script = Script::of([]);
    let mut request = post("pay");
    request.headers_mut().insert("idempotency-key", "another".parse().unwrap());
    request.extensions_mut().insert(RequestKey::new("order-42").unwrap());
    assert!(matches!(Client::new(&script).call(request).await, Err(CallError::KeyConflict)));
}

/// The step of a handler, which may be over by the time it is used.
async fn attempt() -> (Idempotency, tokio::sync::oneshot::Sender<()>) {
    let (entered, found) = tokio::sync::oneshot::channel();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let once = std::sync::Mutex::new(Some((entered, finished)));
    let once = std::sync::Arc::new(once);
    let service = tower::service_fn(move |request: http::Request<tower_idempotency::RequestBody<axum::body::Body>>| {
        let (entered, finished) = once.lock().unwrap().take().expect("entered once");
        assert!(entered.send(request.extensions().get::<Idempotency>().unwrap().clone()).is_ok());
        async move {
            let _ = finished.await;
            Ok::<_, std::convert::Infallible>(http::Response::new(axum::body::Body::empty()))
        }
    });
    tokio::spawn(common::layer().layer(service).oneshot(common::post("k")));
    (found.await.unwrap(), finish)
}

#[tokio::test(start_paused = true)]
async fn a_handlers_step_is_retried_under_its_own_key_and_fence() {
    let (idempotency, _running) = attempt().await;
    let script = Script::of([answer(503), Say::Error(ErrorKind::ConnectionReset), answer(201)]);
    let mut client = RetryLayer::new().layer(DownstreamLayer::new().layer(script.clone()));
    let step = idempotency.downstream("charge");
    let mut request = post("pay");
    request.extensions_mut().insert(step.clone());
    client.ready().await.unwrap().call(request).await.unwrap();
    let sent = script.sent();
    assert_eq!(sent.len(), 3);
    for request in sent {
        assert_eq!(request.key(), Some(format!("\"{}\"", step.key())));
        assert_eq!(request.headers[IDEMPOTENCY_FENCE], step.fence().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_lease() {
    let (idempotency, running) = attempt().await;
    // The lease is not renewed past the handler, so it lapses while the bank asks for patience.
    let script = Script::of([answer(503).with("retry-after", "30")]);
    let mut client = RetryLayer::new().layer(DownstreamLayer::new().layer(script.clone()));
    let mut request = post("pay");
    request.extensions_mut().insert(idempotency.downstream("charge"));
    running.send(()).unwrap();
    let refused = client.ready().await.unwrap().call(request).await.unwrap_err();
    let CallError::GaveUp(gave_up) = refused else { panic!("{refused:?}") };
    assert_eq!((gave_up.reason(), gave_up.outcome()), (Reason::Refused, Outcome::Unknown));
    let cause = gave_up.source().unwrap().downcast_ref::<DownstreamError>();
    assert_eq!(cause, Some(&DownstreamError::LeaseLost(LeaseLost)));
    assert_eq!(script.sent().len(), 1);
}

#[test]
fn absurd_policies_are_refused() {
    assert!(RetryLayer::new().policy(RetryPolicy::default().max_tries(0)).is_err());
    assert!(RetryLayer::new().policy(RetryPolicy::default()).is_ok());
}
