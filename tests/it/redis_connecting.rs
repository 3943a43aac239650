//! Servers that a store cannot be connected to: each has its own error, which names cause and remedy.

use std::error::Error;
use std::net::SocketAddr;

use idempotency_store::{RedisConnectError, RedisStore};
use idempotency_tests::{App, Bank, LineFault, RedisOptions, RedisProxy, RedisServer, Server, command, within};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::DEMO;
use crate::redis_own::Own;

/// The error, with what it and its causes say.
async fn refused(url: &str) -> (RedisConnectError, String) {
    let error = within("an attempt to connect ends", RedisStore::connect(url)).await.expect_err("no store there");
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    (error, text)
}

/// A listener that answers whatever comes with these bytes.
async fn answering(bytes: &'static [u8]) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut read = [0; 4096];
                while matches!(stream.read(&mut read).await, Ok(1..)) && stream.write_all(bytes).await.is_ok() {}
            });
        }
    });
    (format!("redis://{address}"), task)
}

#[tokio::test]
async fn credentials_that_are_not_taken_are_named() {
    let server = RedisServer::start(RedisOptions::default().password("right").user("app", "pass", "~* +@all")).await;
    let none = format!("redis://{}", server.address());
    let urls = [none, server.url_as("", "wrong"), server.url_as("nobody", "right"), server.url_as("app", "wrong")];
    for url in urls {
        let (error, text) = refused(&url).await;
        assert!(matches!(error, RedisConnectError::Credentials(_)), "{url}: {error:?}");
        assert!(text.contains("check user and password"), "{text}");
        assert!(!text.contains("wrong") && !text.contains("right"), "a password is shown: {text}");
    }
    RedisStore::connect(&server.url()).await.unwrap();
    RedisStore::connect(&server.url_as("app", "pass")).await.unwrap();
}

#[tokio::test]
async fn a_user_who_may_not_write_is_refused() {
    let server =
        RedisServer::start(RedisOptions::default().user("reader", "pass", "~* +@read +@connection +info")).await;
    let (error, text) = refused(&server.url_as("reader", "pass")).await;
    assert!(matches!(error, RedisConnectError::Credentials(_)), "{error:?}");
    assert!(text.contains("ACL"), "{text}");
}

#[tokio::test]
async fn a_database_that_there_is_not_is_named() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (error, text) = refused(&format!("{}/99", server.url())).await;
    assert!(matches!(error, RedisConnectError::Database(_)), "{error:?}");
    assert!(text.contains("database"), "{text}");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_unreachable() {
    let (error, text) = refused("redis://127.0.0.1:1").await;
    assert!(matches!(error, RedisConnectError::Unreachable(_)), "{error:?}");
    assert!(text.contains("is the server running"), "{text}");
    let (error, _) = refused("unix:///nowhere/redis.socket").await;
    assert!(matches!(error, RedisConnectError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_silent() {
    let (url, _task) = answering(b"").await;
    let (error, text) = refused(&url).await;
    assert!(matches!(error, RedisConnectError::Silent), "{error:?}");
    assert!(text.contains("does not answer"), "{text}");

    let server = RedisServer::start(RedisOptions::default()).await;
    server.stop().await;
    let (error, _) = refused(&server.url()).await;
    assert!(matches!(error, RedisConnectError::Silent), "{error:?}");
    server.cont();
}

#[tokio::test]
async fn a_server_that_talks_something_else_is_no_redis() {
    let http = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    for bytes in [&b"nonsense\r\n"[..], http, b"\0\0\0\0\r\n"] {
        let (url, _task) = answering(bytes).await;
        let (error, text) = refused(&url).await;
        assert!(matches!(error, RedisConnectError::Unreachable(_)), "{error:?}");
        assert!(text.contains("is the address right"), "{text}");
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_not_tried() {
    for url in ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://127.0.0.1/database"] {
        let (error, text) = refused(url).await;
        assert!(matches!(error, RedisConnectError::Url(_)), "{url}: {error:?}");
        assert!(text.contains("redis://"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_named_with_its_version() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let line = RedisProxy::to(server.address()).await;
    line.set(
        |command| command.name() == "INFO",
        LineFault::Answer(bytes::Bytes::from_static(b"$21\r\nredis_version:6.2.7\r\n\r\n")),
    );
    let (error, text) = refused(&line.url()).await;
    assert!(matches!(error, RedisConnectError::TooOld { .. }), "{error:?}");
    assert!(text.contains("Redis 6.2") && text.contains("7.0"), "{text}");
    assert_eq!(server.keys("").await, [] as [&str; 0], "nothing was written");
}

#[tokio::test]
async fn a_server_whose_claims_do_not_claim_is_foreign() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let line = RedisProxy::to(server.address()).await;
    line.set(|command| command.name() == "SET", LineFault::Answer(bytes::Bytes::from_static(b"+OK\r\n")));
    let (error, text) = refused(&line.url()).await;
    assert!(matches!(error, RedisConnectError::Foreign { .. }), "{error:?}");
    assert!(text.contains("NX and GET"), "{text}");
}

#[tokio::test]
async fn a_unix_socket_is_as_good_as_a_port() {
    let server = RedisServer::start(RedisOptions::default().unix_socket()).await;
    let store = RedisStore::connect(&server.unix_url()).await.unwrap();
    let own = Own { server, store };
    let app = App::start(&own).await;
    let first = app.send("/charge", "key-1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}

#[tokio::test]
async fn the_service_ends_at_once_if_its_server_is_not_there() {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--store", "redis://127.0.0.1:1"];
    let ended = command(DEMO, arguments).output();
    let output = within("the service ends", ended).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: ")).expect("an error");
    assert!(error.contains("is the server running"), "{said}");
}

#[tokio::test]
async fn the_service_waits_for_its_server_if_it_is_told_to() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let line = RedisProxy::to(server.address()).await;
    server.kill9();
    let bank = Bank::start(DEMO).await;
    let tried = line.accepted.clone();
    let options = Server::on(DEMO, &line.url(), bank.url()).variable("DEMO_WAIT_FOR_STORE", "60s");
    let (service, ()) = tokio::join!(options.start(), async {
        within("the service tries twice", tried.reached(2)).await;
        server.restart().await;
    });
    assert_eq!(service.pay("key-1").await.status, StatusCode::CREATED);
    assert_eq!(bank.charges().await.len(), 1);
}
