//! A server of one's own.

use idempotency_tests::{Process, RedisOptions, RedisServer, command, eventually};
use redis::{Script, cmd};
use tokio::net::TcpStream;

#[tokio::test]
async fn what_was_persisted_survives_kill_9_and_what_was_not_does_not() {
    let server = RedisServer::start(RedisOptions::default().append_only("everysec")).await;
    let (address, first) = (server.address(), server.id());
    server.set("key", "value").await;
    server.kill9();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    server.restart().await;
    assert_eq!(server.address(), address);
    assert_ne!(server.id(), first);
    assert_eq!(server.get("key").await.as_deref(), Some(b"value".as_slice()));
    server.restart_empty().await;
    assert_eq!(server.get("key").await, None);

    let forgetful = RedisServer::start(RedisOptions::default()).await;
    forgetful.set("key", "value").await;
    forgetful.restart().await;
    assert_eq!(forgetful.get("key").await, None);
}

#[tokio::test]
async fn a_stopped_server_answers_when_it_goes_on() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let mut connection = server.connection().await;
    server.stop().await;
    let asked = tokio::spawn(async move { cmd("PING").query_async::<String>(&mut connection).await });
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    server.cont();
    assert_eq!(asked.await.unwrap().unwrap(), "PONG");
    assert_eq!(server.info("process_id").await, server.id().to_string());
}

#[tokio::test]
async fn commands_are_counted_and_the_calls_of_scripts_told_apart() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let mut connection = server.connection().await;
    let script = Script::new("return redis.call('incr', KEYS[1])");
    script.prepare_invoke().load_async(&mut connection).await.unwrap();
    let seen = server
        .commands_during(async {
            cmd("SET").arg("a \"] key").arg("lua] ").query_async::<()>(&mut connection).await.unwrap();
            script.key("count").invoke_async::<u64>(&mut connection).await.unwrap()
        })
        .await;
    assert_eq!(seen.output, 1);
    assert_eq!(seen.names(), ["SET", "EVALSHA"]);
    assert_eq!(seen.sent[0], r#""SET" "a \"] key" "lua] ""#);
    assert_eq!(seen.inner_names(), ["INCR"]);
    let stats = server.commandstats().await;
    assert_eq!((stats["set"], stats["evalsha"], stats["incr"]), (1, 1, 1));
}

#[tokio::test]
async fn a_record_can_be_looked_at_and_damaged() {
    let server = RedisServer::start(RedisOptions::default()).await;
    server.ask::<()>(cmd("SET").arg("a:1").arg("whole").arg("PX").arg(100_000)).await;
    server.set("b:1", b"\xff\x00".as_slice()).await;
    assert_eq!(server.keys("a:").await, ["a:1"]);
    assert!((1..=200).contains(&server.memory_usage("a:1").await));
    server.overwrite("a:1", "bro").await;
    assert_eq!(server.get("a:1").await.as_deref(), Some(b"bro".as_slice()));
    assert!((1..=100_000).contains(&server.pttl("a:1").await));
    server.persist("a:1").await;
    assert_eq!((server.pttl("a:1").await, server.pttl("none").await), (-1, -2));
}

#[tokio::test]
async fn settings_and_scripts_change_while_it_runs() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let sha: String = server.ask(cmd("SCRIPT").arg("LOAD").arg("return 1")).await;
    server.script_flush().await;
    let known: Vec<bool> = server.ask(cmd("SCRIPT").arg("EXISTS").arg(sha)).await;
    assert_eq!(known, [false]);
    server.config_set("maxmemory", "1").await;
    let full = cmd("SET").arg("key").arg("value").query_async::<()>(&mut server.connection().await).await;
    assert_eq!(full.unwrap_err().code(), Some("OOM"));
}

#[tokio::test]
async fn passwords_users_and_unix_sockets_are_as_asked_for() {
    let options = RedisOptions::default().password("secret").user("reader", "word", "~* +get").unix_socket();
    let server = RedisServer::start(options).await;
    server.set("key", "value").await;
    let ask = async |url: String, command: &str| {
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        cmd(command).arg("key").query_async::<String>(&mut connection).await
    };
    assert_eq!(ask(server.url_as("reader", "word"), "GET").await.unwrap(), "value");
    assert_eq!(ask(server.url_as("reader", "word"), "DEL").await.unwrap_err().code(), Some("NOPERM"));
    assert!(ask(server.url_as("reader", "wrong"), "GET").await.is_err());
    assert_eq!(ask(server.unix_url(), "GET").await.unwrap_err().code(), Some("NOAUTH"));
}

#[tokio::test]
async fn a_foreign_server_on_the_port_is_a_failure() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let address = server.address();
    server.kill9();
    let foreign = tokio::net::TcpListener::bind(address).await.unwrap();
    let restart = tokio::spawn(async move { server.restart().await });
    let failure = restart.await.unwrap_err().into_panic();
    let message = failure.downcast_ref::<String>().unwrap();
    assert!(message.contains("does not start again") && message.contains("in use"), "{message}");
    drop(foreign);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let address = server.address();
    drop(server);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_server_dies_with_a_killed_test_process() {
    let left_behind = tempfile::TempDir::new().unwrap();
    let mut owner = command(crate::REDIS_OWNER, [""; 0]);
    owner.env("TMPDIR", left_behind.path());
    let owner = Process::start(owner).await;
    let address = owner.address();
    assert!(TcpStream::connect(address).await.is_ok(), "it listens");
    owner.kill().await;
    let gone = || async { TcpStream::connect(address).await.is_err().then_some(()) };
    eventually("the server is gone", gone).await;
}
