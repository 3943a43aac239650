//! Answers that cannot be recorded, over real sockets: each reaches its first client as it is, and is never run again.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use idempotency_tests::{App, Backend, MERCHANT, on_each_store, raw, reply, try_reply, within};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

on_each_store!(
    s49_an_answer_over_the_limit_is_streamed_and_not_replayable,
    s49_events_arrive_as_they_happen_and_are_not_replayable,
    s49_an_upgraded_connection_is_not_replayable,
    s49_trailers_are_sent_and_replayed,
    s49_trailers_of_an_answer_over_the_limit_are_sent,
    s50_an_answer_that_breaks_off_breaks_off_at_the_client_and_is_not_replayable,
);

const LARGE: usize = 1024 * 1024 + 1;

/// The same application behind either version of HTTP.
async fn over(backend: &impl Backend, http2: bool) -> App {
    let app = App::on(backend);
    if http2 { app.http2().start().await } else { app.start().await }
}

async fn expect_not_replayable(app: &App, path: &str, key: &str, original: u16) {
    for _ in 0..2 {
        let retry = app.send(path, key).await;
        retry.expect_rejection(409, "not-replayable");
        assert_eq!(retry.json()["original_status"], original);
        assert!(retry.json()["recorded_at"].as_str().unwrap().ends_with(" GMT"), "{retry:?}");
    }
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn s49_an_answer_over_the_limit_is_streamed_and_not_replayable(backend: impl Backend) {
    for (path, http2) in [("/large", false), ("/large", true), ("/grows", false), ("/grows", true)] {
        let (app, key) = (over(&backend, http2).await, format!("{path}-{http2}"));
        let first = app.send(path, &key).await;
        assert_eq!((first.status.as_u16(), first.body.len()), (200, LARGE));
        assert!(first.body.iter().all(|byte| *byte == b'x'));
        expect_not_replayable(&app, path, &key, 200).await;
    }
}

async fn s49_events_arrive_as_they_happen_and_are_not_replayable(backend: impl Backend) {
    for http2 in [false, true] {
        let (app, key) = (over(&backend, http2).await, format!("key-{http2}"));
        let mut first = within("the head", app.post("/events", &key).send()).await.unwrap();
        assert_eq!(within("an event", first.chunk()).await.unwrap().unwrap(), "data: 1\n\n");
        // The stream is not over yet, and its key is settled.
        expect_not_replayable(&app, "/events", &key, 200).await;
        app.gate.open();
        assert_eq!(within("an event", first.chunk()).await.unwrap().unwrap(), "data: 2\n\n");
        assert_eq!(within("the end", first.bytes()).await.unwrap(), "");
    }
}

async fn s49_an_upgraded_connection_is_not_replayable(backend: impl Backend) {
    let app = App::start(&backend).await;
    let asked = b"POST /upgrade HTTP/1.1\r\nhost: test\r\nx-merchant: acme\r\nidempotency-key: key-1\r\nconnection: upgrade\r\n\
        upgrade: hello\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"amount\":1000}";
    let mut connection = raw::begin(app.address(), asked).await;
    let mut answer = Vec::new();
    within("the server hangs up", connection.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    expect_not_replayable(&app, "/upgrade", "key-1", 101).await;
}

/// Sends the usual request by a client that shows trailers.
async fn exchange(app: &App, path: &str, key: &str, http2: bool) -> Response<Incoming> {
    let request = Request::post(format!("http://{}{path}", app.address()))
        .header("host", "test")
        .header(MERCHANT, "acme")
        .header("idempotency-key", key)
        .header("te", "trailers")
        .body(Body::from("{}"))
        .unwrap();
    let io = TokioIo::new(TcpStream::connect(app.address()).await.unwrap());
    if http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        return within("an answer", sender.send_request(request)).await.unwrap();
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    within("an answer", sender.send_request(request)).await.unwrap()
}

async fn read(response: Response<Incoming>) -> (StatusCode, Option<HeaderMap>, Bytes, bool) {
    let (parts, body) = response.into_parts();
    let body = within("the whole body", body.collect()).await.unwrap();
    let (replayed, trailers) = (parts.headers.contains_key("idempotent-replayed"), body.trailers().cloned());
    (parts.status, trailers, body.to_bytes(), replayed)
}

async fn s49_trailers_are_sent_and_replayed(backend: impl Backend) {
    for http2 in [false, true] {
        let (app, key) = (App::start(&backend).await, format!("key-{http2}"));
        for retry in [false, true, true] {
            let (status, trailers, body, replayed) = read(exchange(&app, "/trailers", &key, http2).await).await;
            let trailers = trailers.expect("trailers");
            assert_eq!((status, &body[..], replayed), (StatusCode::OK, &b"message"[..], retry), "HTTP/2: {http2}");
            assert_eq!(
                (&trailers["grpc-status"], &trailers["grpc-message"]),
                (&"0".parse().unwrap(), &"charged".parse().unwrap())
            );
        }
        assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
    }
}

async fn s49_trailers_of_an_answer_over_the_limit_are_sent(backend: impl Backend) {
    for http2 in [false, true] {
        let (app, key) = (App::start(&backend).await, format!("key-{http2}"));
        let (status, trailers, body, _) = read(exchange(&app, "/large-trailers", &key, http2).await).await;
        assert_eq!((status, body.len(), trailers.expect("trailers").len()), (StatusCode::OK, LARGE, 2));
        let (status, _, problem, _) = read(exchange(&app, "/large-trailers", &key, http2).await).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(String::from_utf8_lossy(&problem).contains("not-replayable"));
        assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
    }
}

async fn s50_an_answer_that_breaks_off_breaks_off_at_the_client_and_is_not_replayable(backend: impl Backend) {
    for http2 in [false, true] {
        let (app, key) = (over(&backend, http2).await, format!("key-{http2}"));
        assert!(try_reply(app.post("/breaks", &key)).await.is_err(), "no client takes it for the whole");
        expect_not_replayable(&app, "/breaks", &key, 200).await;
        let other = reply(app.post("/charge", &format!("other-{http2}"))).await;
        assert_eq!(other.status.as_u16(), 201, "the server goes on");
    }
}
