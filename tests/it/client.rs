//! The retrying client, the layer and the line between them: whatever the line loses, the client gets the first answer,
//! and the handler was entered once.

use std::time::Duration;

use idempotency_tests::{App, Backend, Cut, Line, MERCHANT, on_each_store, within};
use reqwest::{Body, StatusCode};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error, RequestBuilder};
use tokio::net::TcpListener;
use tower_idempotency::client::reqwest::RetryMiddleware;
use tower_idempotency::client::{CallError, GaveUp, Outcome, Reason, RequestKey, RetryPolicy};

on_each_store!(
    lost_requests_and_replies_are_asked_for_again_and_it_runs_once,
    a_call_that_was_given_up_gets_its_answer_under_the_same_key,
    a_first_request_that_still_runs_is_waited_for,
    an_answer_that_breaks_off_in_the_middle_is_asked_for_again,
    an_outcome_that_nobody_knows_is_told_and_not_asked_for_again,
);

/// A client whose tries do not share connections, so that each meets the line anew.
fn client(policy: RetryPolicy) -> ClientWithMiddleware {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    ClientBuilder::new(client).with(RetryMiddleware::new().policy(policy).expect("sensible")).build()
}

fn soon() -> RetryPolicy {
    RetryPolicy::default().backoff(Duration::from_millis(1), Duration::from_millis(20))
}

/// The usual request, under this key.
fn request(client: &ClientWithMiddleware, url: &str, path: &str, key: &RequestKey) -> RequestBuilder {
    let request = client.post(format!("{url}{path}")).header(MERCHANT, "acme").with_extension(key.clone());
    request.header("content-type", "application/json").body(r#"{"amount":1000}"#)
}

fn gave_up(error: Error) -> GaveUp {
    let Error::Middleware(error) = error else { panic!("not given up: {error:?}") };
    match error.downcast() {
        Ok(CallError::GaveUp(gave_up)) => gave_up,
        other => panic!("not given up: {other:?}"),
    }
}

async fn lost_requests_and_replies_are_asked_for_again_and_it_runs_once(backend: impl Backend) {
    let app = App::start(&backend).await;
    let line = Line::to(app.address()).await;
    line.cut([Cut::Request, Cut::Reply(0), Cut::Reply(20), Cut::Request]);
    let key = RequestKey::v7().unwrap();
    let answer = request(&client(soon()), line.url(), "/charge", &key).send();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["idempotent-replayed"]),
        (StatusCode::CREATED, &"true".parse().unwrap())
    );
    assert_eq!(answer.extensions().get(), Some(&key));
    assert_eq!((app.exec(), app.downstream.effects(), line.connections.get()), (1, 1, 5));
}

async fn a_call_that_was_given_up_gets_its_answer_under_the_same_key(backend: impl Backend) {
    let app = App::start(&backend).await;
    let line = Line::to(app.address()).await;
    line.cut([Cut::Reply(0); 3]);
    let key = RequestKey::v4().unwrap();
    let lost = request(&client(soon().max_tries(3)), line.url(), "/charge", &key).send();
    let gave_up = gave_up(within("it gives up", lost).await.unwrap_err());
    assert_eq!((gave_up.key(), gave_up.outcome(), gave_up.reason()), (&key, Outcome::Unknown, Reason::Tries));
    assert_eq!((app.exec(), line.connections.get()), (1, 3));

    let answer = request(&client(soon()), line.url(), "/charge", gave_up.key()).send();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn a_first_request_that_still_runs_is_waited_for(backend: impl Backend) {
    let app = App::start(&backend).await;
    let key = RequestKey::new("key-1").unwrap();
    let first = app.send_until_held("/held-before", "key-1").await;
    let url = format!("http://{}", app.address());
    let (client, open) = (client(soon()), async {
        // It has been told that the first one is in flight.
        within("the duplicate is answered", app.ended.reached(1)).await;
        app.gate.open();
    });
    let again = request(&client, &url, "/held-before", &key).send();
    let (again, ()) = within("both are answered", async { tokio::join!(again, open) }).await;
    let (first, again) = (first.await.unwrap(), again.unwrap());
    assert_eq!((again.status(), again.bytes().await.unwrap()), (first.status, first.body));
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn an_answer_that_breaks_off_in_the_middle_is_asked_for_again(backend: impl Backend) {
    let app = App::start(&backend).await;
    let line = Line::to(app.address()).await;
    line.cut([Cut::Reply(50_000), Cut::Reply(99_000)]);
    let key = RequestKey::v4().unwrap();
    let answer = request(&client(soon().read_answers(1 << 20)), line.url(), "/binary", &key).send();
    let answer = within("an answer", answer).await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), 100_000 + r#"{"amount":1000}1"#.len());
    assert_eq!((app.exec(), line.connections.get()), (1, 3));
}

async fn an_outcome_that_nobody_knows_is_told_and_not_asked_for_again(backend: impl Backend) {
    let app = App::start(&backend).await;
    let line = Line::to(app.address()).await;
    let (client, key) = (client(soon()), RequestKey::v4().unwrap());
    let panicked = request(&client, line.url(), "/panic", &key).send().await.unwrap();
    assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let unknown = request(&client, line.url(), "/panic", &key).send().await.unwrap();
    assert_eq!((unknown.status(), unknown.url().path()), (StatusCode::CONFLICT, "/panic"));
    let problem: serde_json::Value = serde_json::from_slice(&unknown.bytes().await.unwrap()).unwrap();
    assert!(problem["type"].as_str().unwrap().ends_with("/indeterminate"), "{problem}");
    assert_eq!((app.exec(), line.connections.get()), (1, 2));
}

#[tokio::test]
async fn a_server_that_is_down_executed_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let key = RequestKey::v4().unwrap();
    let gave_up = gave_up(request(&client(soon()), &url, "/charge", &key).send().await.unwrap_err());
    assert_eq!((gave_up.key(), gave_up.outcome(), gave_up.tries()), (&key, Outcome::NotSent, 5));
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_again_is_not_sent_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = Line::to(listener.local_addr().unwrap()).await;
    let stream = Body::wrap(Body::wrap(String::from("a stream, for all that anybody knows")));
    let request = request(&client(soon()), line.url(), "/charge", &RequestKey::v4().unwrap()).body(stream);
    let Error::Middleware(error) = request.send().await.unwrap_err() else { panic!("an error of the client") };
    assert!(matches!(error.downcast(), Ok(CallError::NotRepeatable)));
    assert_eq!(line.connections.get(), 0);
}
