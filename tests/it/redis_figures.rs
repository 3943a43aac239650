//! What a request costs at the server: commands, bytes, connections.

use bytes::Bytes;
use idempotency_store::{Answer, Recorded, Store};
use idempotency_tests::{App, Backend, Commands, Program, RedisOptions, eventually, reply};
use reqwest::StatusCode;

use crate::redis_own::{Own, acquire, claim, soon};

/// What clients sent, without the clock that the store reads every few seconds.
fn sent<T>(commands: &Commands<T>) -> Vec<String> {
    commands.names().into_iter().filter(|name| name != "TIME").collect()
}

#[tokio::test]
async fn a_first_request_is_two_commands_and_a_replay_is_one() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    // The server learns the script.
    app.send("/charge", "key-0").await;
    let first = own.server.commands_during(app.send("/charge", "key-1")).await;
    assert_eq!((first.output.status, first.output.is_replay()), (StatusCode::CREATED, false));
    assert_eq!(sent(&first), ["SET", "EVALSHA"]);
    let replay = own.server.commands_during(app.send("/charge", "key-1")).await;
    replay.output.expect_replay_of(&first.output, &[]);
    assert_eq!(sent(&replay), ["SET"]);
    assert_eq!(replay.inner, [] as [&str; 0], "a replay does not pass through a script");
    println!("redis: a first request is {} commands, a replay {}", sent(&first).len(), sent(&replay).len());
}

/// Its answer and the script that puts it in place go out together: two round trips, as with a short one.
#[tokio::test]
async fn a_large_answer_is_three_commands_in_two_round_trips() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    let large = |key| app.post("/echo", key).body(vec![b'a'; 5000]);
    let first = own.server.commands_during(async { reply(large("key-1")).await }).await;
    assert_eq!(sent(&first), ["SET", "SET", "EVALSHA"]);
    assert_eq!(first.inner_names(), ["GETRANGE", "RENAME"], "the answer does not pass through the script");
    let replay = own.server.commands_during(async { reply(large("key-1")).await }).await;
    replay.output.expect_replay_of(&first.output, &[]);
    assert_eq!(sent(&replay), ["SET"]);
}

#[tokio::test]
async fn where_the_server_compares_a_first_request_needs_no_script() {
    let own = Own::with(RedisOptions::default().program(Program::Valkey8)).await;
    let app = App::start(&own).await;
    for (key, size) in [("key-1", 10), ("key-2", 5000)] {
        let request = || app.post("/echo", key).body(vec![b'a'; size]);
        let first = own.server.commands_during(async { reply(request()).await }).await;
        assert_eq!((sent(&first), first.inner_names()), (vec!["SET".to_owned(); 2], vec![]));
        let replay = own.server.commands_during(async { reply(request()).await }).await;
        replay.output.expect_replay_of(&first.output, &[]);
        assert_eq!(sent(&replay), ["SET"]);
    }
}

#[tokio::test]
async fn a_key_with_a_short_answer_takes_at_most_600_bytes() {
    let own = Own::open().await;
    let grant = acquire(&own.store, &claim(1)).await;
    let answer = Answer::Kept(Bytes::from(vec![b'a'; 200]));
    assert_eq!(own.store.complete(&grant, &answer.clone().into(), soon()).await.unwrap(), Recorded::Recorded);
    let bytes = own.server.memory_usage(&own.record().await).await;
    println!("redis: a key with an answer of 200 bytes takes {bytes} bytes");
    assert!(bytes <= 600, "{bytes}");
}

#[tokio::test]
async fn a_store_has_one_connection_however_many_use_it() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    let keys: Vec<_> = (0..64).map(|key| format!("key-{key}")).collect();
    futures_util::future::join_all(keys.iter().map(|key| app.send("/charge", key))).await;
    assert_eq!(app.exec(), keys.len());
    // Those that looked whether the server has started are on their way out.
    eventually("nobody but the store is connected", || async {
        let clients: String = own.server.ask(redis::cmd("CLIENT").arg("LIST")).await;
        let others = clients.lines().filter(|client| !client.contains(" cmd=client|list "));
        (others.count() == 1).then_some(())
    })
    .await;
    println!("redis: {} requests at once took 1 connection", keys.len());
}
