//! Section 5 of the draft: keys that somebody chose to do harm.

use idempotency_tests::{App, Backend, MERCHANT, Reply, on_each_store, raw, reply};
use reqwest::{Method, StatusCode};
use tower_idempotency::IDEMPOTENCY_KEY;

on_each_store!(
    draft_i24_what_is_no_key_is_refused_before_the_store_is_asked,
    draft_i24_delimiters_and_patterns_are_characters_like_any_other,
    draft_i25_the_callers_identity_is_part_of_the_look_up_key,
    draft_i26_guessing_a_key_tells_another_caller_nothing,
);

async fn as_caller(app: &App, caller: &str, path: &str, key: &str) -> Reply {
    reply(app.request(Method::POST, path).header(MERCHANT, caller).header(IDEMPOTENCY_KEY, key)).await
}

async fn draft_i24_what_is_no_key_is_refused_before_the_store_is_asked(backend: impl Backend) {
    let app = App::start(&backend).await;
    let oversized = vec![b'k'; 20_000];
    let odd: [&[u8]; 9] = [b"a\0b", b"a\rb", b"a\nb", b"a\x01b", b"a\x7fb", b"a\tb", b"a b", b"\"a", &oversized];
    for key in odd {
        let mut request = b"POST /charge HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-merchant: acme\r\n".to_vec();
        request.extend_from_slice(b"content-length: 0\r\nidempotency-key: ");
        request.extend_from_slice(key);
        request.extend_from_slice(b"\r\n\r\n");
        let answer = raw::exchange(app.address(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{:?}: {answer}", String::from_utf8_lossy(key));
    }
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
}

async fn draft_i24_delimiters_and_patterns_are_characters_like_any_other(backend: impl Backend) {
    const KEYS: [&str; 14] =
        ["*", "?", "[a-z]", "a:b", "a/b", "../a", "a%00b", "a%0Ab", "a|b", "a;b", "a'b--", "{a}", "${a}", "a\\b"];
    let app = App::start(&backend).await;
    let mut receipts = Vec::new();
    for key in KEYS {
        let first = app.send("/charge", key).await;
        assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false), "{key} met another key");
        app.send("/charge", key).await.expect_replay_of(&first, &[]);
        receipts.push(first.body);
    }
    receipts.sort();
    receipts.dedup();
    assert_eq!((receipts.len(), app.exec()), (KEYS.len(), KEYS.len()));
}

async fn draft_i25_the_callers_identity_is_part_of_the_look_up_key(backend: impl Backend) {
    let app = App::start(&backend).await;
    let mut seen = Vec::new();
    for caller in ["acme", "globex", "ACME", "acme2"] {
        let first = as_caller(&app, caller, "/charge", "key-1").await;
        assert_eq!((first.json()["merchant"].as_str(), first.is_replay()), (Some(caller), false));
        as_caller(&app, caller, "/charge", "key-1").await.expect_replay_of(&first, &[]);
        seen.push(first);
    }
    assert_eq!(app.exec(), seen.len());
}

/// The victim's keys are completed, in flight and indeterminate; a guesser cannot tell any of them from a key that nobody
/// has used.
async fn draft_i26_guessing_a_key_tells_another_caller_nothing(backend: impl Backend) {
    let app = App::start(&backend).await;
    let victim = as_caller(&app, "victim", "/charge", "1").await;
    let secret = victim.json()["receipt"].as_str().unwrap().to_owned();
    as_caller(&app, "victim", "/panic", "2").await.expect_rejection(500, "handler-panicked");
    let held = tokio::spawn({
        let request = app.request(Method::POST, "/held-before").header(MERCHANT, "victim").header(IDEMPOTENCY_KEY, "3");
        reply(request)
    });
    app.gate.arrived(1).await;
    for guess in ["1", "2", "3", "4", "5"] {
        let answer = as_caller(&app, "mallory", "/refund", guess).await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, false), "guess {guess}: {answer:?}");
        let fields: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(fields, ["content-type", "location", "content-length"], "guess {guess}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&secret));
    }
    app.gate.open();
    assert_eq!(held.await.unwrap().status, StatusCode::CREATED);
}
