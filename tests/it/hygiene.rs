//! What must not be in a log: keys, bodies, tokens and secrets, at whatever level.

use idempotency_tests::{Backend, Bank, Relay, Reply, Server, eventually, on_each_store, reply, try_reply};
use reqwest::RequestBuilder;
use serde_json::json;

use crate::DEMO;

on_each_store!(nothing_that_a_client_sends_or_an_operator_hides_is_logged);

/// Words that occur nowhere else.
const TOKEN: &str = "tok-5f1e77aa";
const KEY: &str = "key-9c0ffee1";
const CRASHED: &str = "key-7deadbee";
const MALFORMED: [&str; 3] = ["key-bad1ab1e, key-bad1ab1e", "key-bad2\u{e9}", "\"key-bad3ab1e"];
const REFERENCE: &str = "ref-31415926";
const CARD: &str = "card_slow_17";
const SECRET: &str = "sec-2718281828459045";
const ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What no line may contain. Of a key that is no key, the part that would give it away.
const HIDDEN: [&str; 10] =
    [TOKEN, KEY, CRASHED, "key-bad1", "key-bad2", "key-bad3", REFERENCE, CARD, SECRET, ENCRYPTION_KEY];

fn post(server: &Server, key: &str, amount: u64) -> RequestBuilder {
    let payment = json!({ "amount": amount, "currency": "EUR", "source": CARD, "reference": REFERENCE });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("{}/payments", server.process.url())).bearer_auth(TOKEN).json(&payment);
    request.header("idempotency-key", key.as_bytes())
}

async fn pay(server: &Server, key: &str, amount: u64) -> Reply {
    reply(post(server, key, amount)).await
}

async fn start(backend: &impl Backend, bank: &str) -> Server {
    let options = Server::on(DEMO, &backend.served(), bank).lease("1s").variable("DEMO_LOG", "trace");
    let keys = format!("1:{ENCRYPTION_KEY}");
    options.variable("DEMO_SECRET", SECRET).variable("DEMO_ENCRYPTION_KEYS", &keys).start().await
}

#[track_caller]
fn assert_clean(log: &str) {
    assert!(log.contains("DEBUG"), "it does not log everything:\n{log}");
    for word in HIDDEN {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(word)).collect();
        assert!(lines.is_empty(), "{word} is in the log: {lines:#?}");
    }
}

async fn nothing_that_a_client_sends_or_an_operator_hides_is_logged(backend: impl Backend) {
    let bank = Bank::with(DEMO, &["--log", "trace"]).await;
    let relay = Relay::to(bank.url()).await;
    let server = start(&backend, relay.url()).await;
    let first = pay(&server, KEY, 1000).await;
    assert_eq!(first.status.as_u16(), 201, "{first:?}");
    pay(&server, KEY, 1000).await.expect_replay_of(&first, &[]);
    pay(&server, KEY, 2000).await.expect_rejection(422, "key-reused");
    for key in MALFORMED {
        pay(&server, key, 1000).await.expect_rejection(400, "key-malformed");
    }

    // It dies while the bank's answer is on its way.
    let held = relay.hold_after();
    let unanswered = tokio::spawn(try_reply(post(&server, CRASHED, 1000)));
    held.arrived(1).await;
    let log = server.process.log();
    server.process.kill().await;
    assert!(unanswered.await.unwrap().is_err());
    assert!(log.contains("TRACE"), "it does not log everything:\n{log}");
    assert_clean(&log);

    let next = start(&backend, bank.url()).await;
    // What was in memory is gone with the process, and the key with it.
    let settled = if backend.served() == "memory" { 201 } else { 409 };
    let retry = eventually("the killed server's lease lapses", || async {
        let retry = pay(&next, CRASHED, 1000).await;
        (retry.status.as_u16() == 201 || retry.problem() != "in-flight").then_some(retry)
    });
    assert_eq!(retry.await.status.as_u16(), settled);
    assert_clean(&next.process.log());
    assert_clean(&bank.log());
}
