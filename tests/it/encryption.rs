//! Answers that are encrypted in their store: by the layer in this process, and by the demo's real server.

use std::path::Path;

use idempotency_store::{KeyRing, Store};
use idempotency_tests::{App, Backend, Bank, Process, Redis, Server, Verb, backend::Embedded, command, on_each_store};
use reqwest::StatusCode;

use crate::DEMO;
use crate::redis_own::{Own, soon};

on_each_store!(
    s55_an_answer_under_a_removed_key_is_refused_and_left_alone,
    an_encrypted_answer_is_replayed_byte_for_byte;
    durable: s55_a_removed_key_raises_an_alarm_until_it_is_back,
    plain_answers_are_served_while_encryption_is_introduced_and_no_longer,
);

/// Keys as they are configured.
const OLD: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "2:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

/// What the alarm about a record says that cannot be opened.
const ALARM: &str = "the record of a key cannot be used";

fn ring(keys: &[&str]) -> KeyRing {
    KeyRing::from_text(&keys.join(",")).unwrap()
}

async fn an_encrypted_answer_is_replayed_byte_for_byte(backend: impl Backend) {
    let app = App::on(&backend).encrypted(ring(&[OLD])).start().await;
    for path in ["/charge", "/binary", "/empty", "/headers", "/fails"] {
        let first = app.send(path, path).await;
        let exec = app.exec();
        let again = app.send(path, path).await;
        assert!(again.is_replay(), "{path}: {again:?}");
        assert_eq!((again.status, &again.body, app.exec()), (first.status, &first.body, exec), "{path}");
    }
}

async fn s55_an_answer_under_a_removed_key_is_refused_and_left_alone(backend: impl Backend) {
    let before = App::on(&backend).encrypted(ring(&[OLD])).start().await;
    let first = before.send("/charge", "key-1").await;
    let key = before.runs()[0].lease.unwrap().key;
    let record = backend.store().inspect(key, soon()).await.unwrap().unwrap().record;

    let removed = App::on(&backend).encrypted(ring(&[NEW])).beside(&before).start().await;
    for _ in 0..2 {
        let refused = removed.send("/charge", "key-1").await;
        refused.expect_rejection(503, "record-corrupt");
        let receipt = first.json()["receipt"].as_str().unwrap().to_owned();
        assert!(!String::from_utf8_lossy(&refused.body).contains(&receipt), "{refused:?}");
        assert_eq!((refused.header("location"), refused.header("retry-after")), (None, None));
    }
    assert_eq!((removed.exec(), removed.downstream.effects()), (0, 1));
    let wrote = [Verb::Complete, Verb::Release, Verb::Abandon, Verb::Renew].map(|verb| removed.faults.called(verb));
    assert_eq!(wrote, [0; 4]);
    assert_eq!(backend.store().inspect(key, soon()).await.unwrap().unwrap().record.state, record.state);
    assert_eq!(removed.send("/charge", "key-2").await.status, StatusCode::CREATED, "other keys are served");

    let back = App::on(&backend).encrypted(ring(&[NEW, OLD])).beside(&before).start().await;
    back.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(back.exec(), 0);
}

/// The demo's server on this store, with these keys.
async fn server(backend: &impl Backend, bank: &Bank, keys: &[&str]) -> Server {
    let options = Server::on(DEMO, &backend.served(), bank.url());
    options.variable("DEMO_ENCRYPTION_KEYS", &keys.join(",")).variable("DEMO_LOG", "trace").start().await
}

/// Ends a server, so that its file is free.
async fn stop(process: Process) {
    process.terminate();
    assert!(process.ended().await.success());
}

async fn s55_a_removed_key_raises_an_alarm_until_it_is_back(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let before = server(&backend, &bank, &[OLD]).await;
    let first = before.pay("order-1").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    stop(before.process).await;

    let removed = server(&backend, &bank, &[NEW]).await;
    removed.pay("order-1").await.expect_rejection(503, "record-corrupt");
    let log = removed.process.logged(ALARM).await;
    let alarm = log.lines().find(|line| line.contains(ALARM)).unwrap();
    assert!(alarm.contains("ERROR") && alarm.contains("the encryption key with id 1 is not in the ring"), "{alarm}");
    for key in [OLD, NEW] {
        assert!(!log.contains(&key[2..]), "a key is in the log");
    }
    stop(removed.process).await;

    let rotated = server(&backend, &bank, &[NEW, OLD]).await;
    rotated.pay("order-1").await.expect_replay_of(&first, &[]);
    assert_eq!(bank.charges().await.len(), 1);
}

/// Everything that a store at this address holds.
async fn plain_answers_are_served_while_encryption_is_introduced_and_no_longer(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let start = || Server::on(DEMO, &backend.served(), bank.url());
    let sealed = || start().variable("DEMO_ENCRYPTION_KEYS", NEW);
    let before = start().start().await;
    let plain = before.pay("order-1").await;
    assert_eq!(plain.status, StatusCode::CREATED, "{plain:?}");
    stop(before.process).await;

    let strict = sealed().start().await;
    strict.pay("order-1").await.expect_rejection(503, "record-corrupt");
    stop(strict.process).await;

    let lenient = sealed().variable("DEMO_ACCEPT_PLAINTEXT", "true").start().await;
    assert!(lenient.process.log().contains("answers that are not encrypted are served"), "{}", lenient.process.log());
    lenient.pay("order-1").await.expect_replay_of(&plain, &[]);
    let first = lenient.pay("order-2").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    stop(lenient.process).await;

    let strict = sealed().start().await;
    strict.pay("order-2").await.expect_replay_of(&first, &[]);
    strict.pay("order-1").await.expect_rejection(503, "record-corrupt");
    assert_eq!(bank.charges().await.len(), 2);
}

async fn stored(served: &str) -> Vec<u8> {
    if let Some(path) = served.strip_prefix("embedded:") {
        return std::fs::read(Path::new(path)).unwrap();
    }
    let client = ::redis::Client::open(served).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let names: Vec<String> = ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut all = Vec::new();
    for name in names {
        let value: Vec<u8> = ::redis::cmd("GET").arg(&name).query_async(&mut connection).await.unwrap();
        all.extend(name.into_bytes().into_iter().chain(value));
    }
    all
}

/// How many of these stand in the bytes.
fn found(bytes: &[u8], needles: &[String]) -> usize {
    let stands = |needle: &&String| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    needles.iter().filter(stands).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_answer_is_in_the_file_in_the_clear() {
    nothing_of_an_answer_is_stored_in_the_clear(Embedded::open().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_answer_is_in_redis_in_the_clear() {
    nothing_of_an_answer_is_stored_in_the_clear(Redis::open().await).await;
}

async fn nothing_of_an_answer_is_stored_in_the_clear(backend: impl Backend) {
    let bank = Bank::start(DEMO).await;
    let sealing = server(&backend, &bank, &[OLD]).await;
    let sealed = sealing.pay("order-1a2b3c").await;
    stop(sealing.process).await;
    let words = |reply: &idempotency_tests::Reply| {
        let body = reply.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        [text("id"), text("charge"), text("reference"), "\"currency\"".into(), "application/json".into()].to_vec()
    };
    let of_sealed = words(&sealed);
    assert_eq!(found(&stored(&backend.served()).await, &of_sealed), 0, "{sealed:?}");

    // The same search finds all of it where nothing is encrypted.
    let plain = Server::on(DEMO, &backend.served(), bank.url()).start().await;
    let clear = plain.pay("order-4d5e6f").await;
    assert_eq!(clear.status, StatusCode::CREATED);
    stop(plain.process).await;
    let of_plain = words(&clear);
    assert_eq!(found(&stored(&backend.served()).await, &of_plain), of_plain.len());
    assert_eq!(found(&stored(&backend.served()).await, &of_sealed[..3]), 0);
}

/// The time and the header that come before the payload of a record in Redis.
const BEFORE_PAYLOAD: usize = 8 + idempotency_store::codec::HEADER_LEN;

/// The header is the key's own, so that nothing but the encryption can tell.
#[tokio::test]
async fn s56_the_encrypted_answer_of_another_key_is_never_served() {
    let own = Own::open().await;
    let app = App::on(&own).encrypted(ring(&[OLD])).start().await;
    let theirs = app.send("/charge", "key-1").await;
    let their_name = own.record().await;
    app.send("/charge", "key-2").await;
    let names = own.records().await;
    let our_name = names.iter().find(|name| **name != their_name).unwrap();
    let (their_record, mut swapped) =
        (own.server.get(&their_name).await.unwrap(), own.server.get(our_name).await.unwrap());
    swapped.truncate(BEFORE_PAYLOAD);
    swapped.extend_from_slice(&their_record[BEFORE_PAYLOAD..]);
    own.server.overwrite(our_name, &swapped).await;

    let refused = app.send("/charge", "key-2").await;
    refused.expect_rejection(503, "record-corrupt");
    let receipt = theirs.json()["receipt"].as_str().unwrap().to_owned();
    assert!(!String::from_utf8_lossy(&refused.body).contains(&receipt), "{refused:?}");
    assert_eq!((own.server.get(our_name).await, app.exec()), (Some(swapped), 2));
    app.send("/charge", "key-1").await.expect_replay_of(&theirs, &[]);
}

/// A server that cannot encrypt as it was told does not start, and does not say what it was told.
#[tokio::test]
async fn keys_that_are_none_are_refused_and_not_shown() {
    for keys in ["", "hunter2-hunter2", "1:aHVudGVyMg==", &format!("{OLD},{OLD}"), &OLD[2..]] {
        let mut serve = command(DEMO, ["serve", "--store", "memory", "--listen", "127.0.0.1:0"]);
        let output = serve.env("DEMO_ENCRYPTION_KEYS", keys).env("DEMO_LOG", "trace").output().await.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("(see --encryption-keys)"), "{said}");
        let secrets = ["hunter2", "aHVudGVyMg", &OLD[2..]];
        assert!(!secrets.iter().any(|secret| said.contains(secret)), "{said}");
    }
    let mut help = command(DEMO, ["serve", "--help"]);
    let output = help.env("DEMO_ENCRYPTION_KEYS", OLD).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("DEMO_ENCRYPTION_KEYS") && !said.contains(&OLD[2..]), "{said}");
}
