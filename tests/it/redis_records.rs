//! What stands at a key and is not a record that can be used.

use idempotency_tests::{App, Backend, eventually};
use redis::cmd;

use crate::redis_own::Own;

/// The record's version, after the time.
const VERSION: usize = 8;

#[tokio::test]
async fn s18_a_record_that_cannot_be_read_is_left_alone() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    app.send("/charge", "key-1").await;
    let name = own.record().await;
    let record = own.server.get(&name).await.unwrap();
    let mut newer = record.clone();
    newer[VERSION] = 2;
    let mut unknown_state = record.clone();
    unknown_state[VERSION + 1] = 9;
    let cut = |length: usize| record[..length].to_vec();
    let cases = [
        newer,
        unknown_state,
        Vec::new(),
        cut(1),
        cut(8),
        cut(9),
        cut(60),
        cut(103),
        b"garbage".to_vec(),
        vec![0; 4096],
    ];
    for bytes in cases {
        own.server.overwrite(&name, &bytes).await;
        let before = own.server.pttl(&name).await;
        app.send("/charge", "key-1").await.expect_rejection(503, "record-corrupt");
        assert_eq!(own.server.get(&name).await, Some(bytes), "the record was changed");
        assert!((1..=before).contains(&own.server.pttl(&name).await), "its expiry was changed");
    }
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

#[tokio::test]
async fn s18_something_else_at_the_key_is_left_alone() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    app.send("/charge", "key-1").await;
    let name = own.record().await;
    own.server.ask::<()>(cmd("DEL").arg(&name)).await;
    own.server.ask::<()>(cmd("RPUSH").arg(&name).arg("one").arg("two")).await;
    app.send("/charge", "key-1").await.expect_rejection(503, "record-corrupt");
    let list: Vec<String> = own.server.ask(cmd("LRANGE").arg(&name).arg(0).arg(-1)).await;
    assert_eq!(list, ["one", "two"]);
    assert_eq!(own.server.pttl(&name).await, -1);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

#[tokio::test]
async fn s56_the_record_of_another_key_is_never_served() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    let theirs = app.send("/charge", "key-1").await;
    let their_name = own.record().await;
    app.send("/charge", "key-2").await;
    let names = own.records().await;
    let our_name = names.iter().find(|name| **name != their_name).unwrap();
    let foreign = own.server.get(&their_name).await.unwrap();
    own.server.overwrite(our_name, &foreign).await;
    let refused = app.send("/charge", "key-2").await;
    refused.expect_rejection(503, "record-corrupt");
    let receipt = theirs.json()["receipt"].as_str().unwrap().to_owned();
    assert!(!String::from_utf8_lossy(&refused.body).contains(&receipt), "{refused:?}");
    assert!(!refused.headers.iter().any(|(name, _)| name == "location"));
    assert_eq!(own.server.get(our_name).await, Some(foreign));
    app.send("/charge", "key-1").await.expect_replay_of(&theirs, &[]);
    assert_eq!(app.exec(), 2);
}

#[tokio::test]
async fn a_key_in_flight_that_lost_its_expiry_stays_in_flight_and_gets_one_again() {
    let own = Own::open().await;
    let app = App::start(&own).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    let name = own.record().await;
    own.server.persist(&name).await;
    app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    eventually("the expiry is set again", || async { (own.server.pttl(&name).await > 0).then_some(()) }).await;
    app.gate.open();
    let first = first.await.unwrap();
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert!(own.server.pttl(&name).await > 0);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
