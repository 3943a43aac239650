//! The line that fails: each fault does to the client and to the server what it says, and nothing else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use idempotency_tests::redis_proxy::{any, named};
use idempotency_tests::{Gate, LineFault, RedisOptions, RedisProxy, RedisServer, eventually};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, cmd};
use tokio::net::TcpStream;

use super::client::{Raw, cut, ok};

async fn start() -> (RedisServer, RedisProxy) {
    let server = RedisServer::start(RedisOptions::default()).await;
    let proxy = RedisProxy::to(server.address()).await;
    (server, proxy)
}

#[tokio::test]
async fn cut_before_a_command_it_has_no_effect_and_what_came_before_it_is_answered() {
    let (server, proxy) = start().await;
    proxy.next(1, |command| command.arguments().first().is_some_and(|key| key == "b"), LineFault::CutBefore);
    let mut client = Raw::to(proxy.address()).await;
    client.send(&[&["SET", "a", "1"], &["SET", "b", "1"], &["SET", "c", "1"]]).await;
    assert_eq!((client.reply().await, client.reply().await), (ok("+OK\r\n"), cut()));
    assert_eq!(server.keys("").await, ["a"]);
    let mut client = Raw::to(proxy.address()).await;
    assert_eq!(client.ask(&["SET", "b", "1"]).await, ok("+OK\r\n"), "it was the next one only");
}

#[tokio::test]
async fn cut_after_a_command_it_has_its_effect_and_nobody_knows() {
    let (server, proxy) = start().await;
    proxy.next(1, named("incr"), LineFault::CutAfter);
    let mut client = Raw::to(proxy.address()).await;
    client.send(&[&["SET", "a", "1"], &["INCR", "b"], &["SET", "c", "1"]]).await;
    assert_eq!((client.reply().await, client.reply().await), (ok("+OK\r\n"), cut()));
    assert_eq!(server.keys("").await, ["a", "b"]);
    proxy.until_connections(0).await;
}

#[tokio::test]
async fn cut_within_a_reply_so_many_bytes_have_come() {
    let (server, proxy) = start().await;
    server.set("key", "value").await;
    for (allowed, part) in [(0, ""), (5, "$5\r\nv"), (1000, "$5\r\nvalue\r")] {
        proxy.next(1, named("GET"), LineFault::CutMidReply(allowed));
        let mut client = Raw::to(proxy.address()).await;
        assert_eq!(client.ask(&["GET", "key"]).await, Err(part.to_owned()));
    }
}

#[tokio::test]
async fn a_delay_holds_replies_up_and_not_the_commands() {
    let (server, proxy) = start().await;
    let delay = Duration::from_millis(300);
    proxy.next(1, named("SET"), LineFault::Delay(delay));
    let mut client = Raw::to(proxy.address()).await;
    let began = Instant::now();
    client.send(&[&["SET", "a", "1"], &["SET", "b", "1"]]).await;
    eventually("both have their effect", async || (server.keys("").await == ["a", "b"]).then_some(())).await;
    assert_eq!((client.reply().await, client.reply().await), (ok("+OK\r\n"), ok("+OK\r\n")));
    assert!(began.elapsed() >= delay);
}

#[tokio::test]
async fn a_black_hole_is_silent_and_stays_open() {
    let (server, proxy) = start().await;
    for (key, delivered) in [("lost", false), ("delivered", true)] {
        proxy.next(1, named("SET"), LineFault::BlackHole { delivered });
        let mut client = Raw::to(proxy.address()).await;
        client.send(&[&["PING"], &["SET", key, "1"], &["SET", "later", "1"]]).await;
        assert_eq!(client.reply().await, ok("+PONG\r\n"));
        proxy.until_connections(1).await;
        let silent = tokio::time::timeout(Duration::from_millis(50), client.reply()).await;
        assert!(silent.is_err(), "{silent:?}");
        assert_eq!(proxy.connections(), 1);
        drop(client);
        proxy.until_connections(0).await;
    }
    assert_eq!(server.keys("").await, ["delivered"]);
}

#[tokio::test]
async fn swapped_replies_come_in_pairs() {
    let (_server, proxy) = start().await;
    let mut client = Raw::to(proxy.address()).await;
    let echo: [&[&str]; 5] = [&["ECHO", "1"], &["ECHO", "2"], &["ECHO", "3"], &["ECHO", "4"], &["ECHO", "5"]];
    for (times, expected) in [(1, ["2", "1", "3", "4", "5"]), (4, ["2", "1", "4", "3", "5"])] {
        proxy.next(times, any, LineFault::SwapReplies);
        client.send(&echo).await;
        for echo in expected {
            assert_eq!(client.reply().await, Ok(format!("$1\r\n{echo}\r\n")));
        }
    }
}

#[tokio::test]
async fn a_reply_is_replaced_or_made_up() {
    let (server, proxy) = start().await;
    proxy.next(1, named("SET"), LineFault::Replace(Bytes::from_static(b"$3\r\nold\r\n")));
    proxy.next(1, named("SET"), LineFault::Answer(Bytes::from_static(b"-READONLY no\r\n")));
    let mut client = Raw::to(proxy.address()).await;
    client.send(&[&["SET", "a", "1"], &["SET", "b", "1"], &["PING"]]).await;
    assert_eq!((client.reply().await, client.reply().await), (ok("$3\r\nold\r\n"), ok("-READONLY no\r\n")));
    assert_eq!(client.reply().await, ok("+PONG\r\n"));
    assert_eq!(server.keys("").await, ["a"]);

    proxy.next(1, named("GET"), LineFault::Garble);
    let mut connection = connect(&proxy.url()).await;
    let nonsense = cmd("GET").arg("a").query_async::<String>(&mut connection).await;
    assert_eq!(nonsense.unwrap_err().kind(), redis::ErrorKind::Parse);
}

#[tokio::test]
async fn a_command_waits_before_the_server_and_its_reply_after() {
    let (server, proxy) = start().await;
    let (before, after) = (Gate::default(), Gate::default());
    proxy.next(1, named("SET"), LineFault::HoldBefore(before.clone()));
    proxy.next(1, named("SET"), LineFault::HoldAfter(after.clone()));
    let mut client = Raw::to(proxy.address()).await;
    client.send(&[&["SET", "a", "1"], &["SET", "b", "1"]]).await;
    before.arrived(1).await;
    assert!(server.keys("").await.is_empty());
    before.open();
    assert_eq!(client.reply().await, ok("+OK\r\n"));
    after.arrived(1).await;
    assert_eq!(server.keys("").await, ["a", "b"]);
    after.open();
    assert_eq!(client.reply().await, ok("+OK\r\n"));
}

#[tokio::test]
async fn a_ghost_is_carried_out_when_its_client_has_long_gone() {
    let (server, proxy) = start().await;
    let (ghost, held) = (Gate::default(), Gate::default());
    proxy.next(1, named("SET"), LineFault::Ghost(ghost.clone()));
    proxy.next(1, named("SET"), LineFault::HoldBefore(held.clone()));
    let mut first = Raw::to(proxy.address()).await;
    assert_eq!(first.ask(&["SET", "ghost", "1"]).await, cut());
    let mut second = Raw::to(proxy.address()).await;
    second.send(&[&["SET", "held", "1"]]).await;
    held.arrived(1).await;
    drop((first, second));
    assert!(server.keys("").await.is_empty());
    ghost.open();
    held.open();
    proxy.until_connections(0).await;
    assert_eq!(server.keys("").await, ["ghost", "held"]);
}

#[tokio::test]
async fn faults_strike_the_next_each_nth_or_by_chance_until_healed() {
    let (_server, proxy) = start().await;
    let made_up = || LineFault::Answer(Bytes::from_static(b"+made up\r\n"));
    let mut client = Raw::to(proxy.address()).await;
    let mut struck = async |commands: usize| {
        let mut struck = Vec::new();
        for number in 1..=commands {
            if client.ask(&["PING"]).await == ok("+made up\r\n") {
                struck.push(number);
            }
        }
        struck
    };
    proxy.next(2, named("PING"), made_up());
    assert_eq!(struck(4).await, [1, 2]);
    proxy.every(3, any, made_up());
    assert_eq!(struck(7).await, [3, 6]);
    proxy.heal();
    proxy.set(named("GET"), made_up());
    assert!(struck(2).await.is_empty());
    proxy.set(named("PING"), made_up());
    assert_eq!(struck(2).await, [1, 2]);
    proxy.heal();
    proxy.chance(0.5, any, made_up());
    assert!((1..200).contains(&struck(200).await.len()));
    proxy.heal();
    assert!(struck(2).await.is_empty());
    assert_eq!((proxy.accepted.get(), proxy.commands.get(), proxy.seen("ping")), (1, 217, 217));
}

#[tokio::test]
async fn connections_are_refused_and_cut_as_a_whole() {
    let (server, proxy) = start().await;
    let mut early = Raw::to(proxy.address()).await;
    assert_eq!(early.ask(&["PING"]).await, ok("+PONG\r\n"));
    proxy.refuse_connections().await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(early.ask(&["PING"]).await, ok("+PONG\r\n"), "those that there were stay");
    proxy.cut_all().await;
    assert_eq!((early.reply().await, proxy.connections()), (cut(), 0));
    proxy.accept_connections().await;
    let mut late = Raw::to(proxy.address()).await;
    assert_eq!(late.ask(&["PING"]).await, ok("+PONG\r\n"));
    assert_eq!(proxy.accepted.get(), 2);

    server.kill9();
    assert_eq!(late.reply().await, cut(), "the client learns that the server is gone");
    assert_eq!(Raw::to(proxy.address()).await.reply().await, cut());
    server.restart().await;
    assert_eq!(Raw::to(proxy.address()).await.ask(&["PING"]).await, ok("+PONG\r\n"));
}

/// A real client, patient and without a second try.
async fn connect(url: &str) -> MultiplexedConnection {
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_clients_notice_nothing_of_a_healthy_line() {
    let (_server, proxy) = start().await;
    for protocol in ["", "?protocol=resp3"] {
        let mut connection = connect(&format!("{}/{protocol}", proxy.url())).await;
        let large = vec![b'\r'; 5 << 20];
        cmd("SET").arg("large").arg(&large).query_async::<()>(&mut connection).await.unwrap();
        let asked = (0..500).map(|number| {
            let mut connection = connection.clone();
            tokio::spawn(async move { cmd("ECHO").arg(number).query_async::<i32>(&mut connection).await })
        });
        for (number, answer) in (0..).zip(asked.collect::<Vec<_>>()) {
            assert_eq!(answer.await.unwrap().unwrap(), number);
        }
        let back: Vec<u8> = cmd("GET").arg("large").query_async(&mut connection).await.unwrap();
        assert!(back == large, "{} bytes", back.len());
        let nested = "return {1, {'a', {}, {2, false}}, 'b'}";
        let nested = cmd("EVAL").arg(nested).arg(0).query_async::<redis::Value>(&mut connection).await.unwrap();
        assert!(format!("{nested:?}").contains("nil"), "{nested:?}");
    }
}

#[tokio::test]
async fn a_real_client_is_told_that_it_cannot_know() {
    let (server, proxy) = start().await;
    proxy.next(1, named("SET"), LineFault::CutAfter);
    let mut connection = connect(&proxy.url()).await;
    let unknown = cmd("SET").arg("key").arg("value").query_async::<()>(&mut connection).await.unwrap_err();
    assert!(unknown.is_connection_dropped() && unknown.code().is_none(), "{unknown:?}");
    assert_eq!(server.get("key").await.as_deref(), Some(b"value".as_slice()));
    assert_eq!((proxy.struck.get(), proxy.seen("SET")), (1, 1));
}
