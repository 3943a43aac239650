//! Whose key it is, and what is no key.

use idempotency_tests::{App, Backend, MERCHANT, on_each_store, raw, reply};
use reqwest::{Method, StatusCode};
use tower_idempotency::{IDEMPOTENCY_KEY, Scope};

on_each_store!(
    s06_another_tenants_key_is_another_key,
    s06_scope_and_key_cannot_be_spelled_alike,
    s07_without_a_principal_the_store_is_not_asked,
    s07_a_principal_that_nobody_established_is_a_wiring_fault,
    s08_a_malformed_key_never_reaches_the_store,
    s08_control_characters_never_reach_the_store,
);

async fn s06_another_tenants_key_is_another_key(backend: impl Backend) {
    let app = App::start(&backend).await;
    let of = |tenant: &'static str| {
        app.request(Method::POST, "/charge").header(MERCHANT, tenant).header(IDEMPOTENCY_KEY, "key-1")
    };
    let (acme, globex) = (reply(of("acme")).await, reply(of("globex")).await);
    assert_eq!((app.exec(), app.downstream.effects()), (2, 2));
    assert!(!globex.is_replay());
    assert_eq!((&acme.json()["merchant"], &globex.json()["merchant"]), (&"acme".into(), &"globex".into()));
    assert_ne!(acme.json()["receipt"], globex.json()["receipt"]);
    assert_ne!(acme.header("location"), globex.header("location"));
    let keys = app.downstream.keys().await;
    assert_ne!(keys[0], keys[1], "two tenants share a key downstream");
    reply(of("acme")).await.expect_replay_of(&acme, &[]);
    reply(of("globex")).await.expect_replay_of(&globex, &[]);
    assert_eq!(app.exec(), 2);
}

async fn s06_scope_and_key_cannot_be_spelled_alike(backend: impl Backend) {
    let app = App::start(&backend).await;
    for (tenant, key) in [("a", "bc"), ("ab", "c"), ("a:b", "c"), ("a", "b:c"), ("abc", "abc")] {
        let request = app.request(Method::POST, "/charge").header(MERCHANT, tenant).header(IDEMPOTENCY_KEY, key);
        assert_eq!(reply(request).await.json()["merchant"], tenant, "{tenant}/{key}");
    }
    assert_eq!(app.exec(), 5);
}

async fn s07_without_a_principal_the_store_is_not_asked(backend: impl Backend) {
    let app = App::start(&backend).await;
    let nobody = || app.request(Method::POST, "/charge").header(IDEMPOTENCY_KEY, "key-1");
    for request in [nobody(), nobody().header(MERCHANT, ""), nobody().header(MERCHANT, "a").header(MERCHANT, "b")] {
        reply(request).await.expect_rejection(401, "scope-missing");
    }
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
}

async fn s07_a_principal_that_nobody_established_is_a_wiring_fault(backend: impl Backend) {
    #[derive(Clone)]
    struct Principal(String);
    let scope = Scope::extension(|principal: &Principal| principal.0.as_bytes());
    let app = App::on(&backend).scope(scope).start().await;
    app.send("/charge", "key-1").await.expect_rejection(500, "scope-missing");
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
}

async fn s08_a_malformed_key_never_reaches_the_store(backend: impl Backend) {
    let app = App::start(&backend).await;
    let keyless = || app.request(Method::POST, "/charge").header(MERCHANT, "acme");
    reply(keyless()).await.expect_rejection(400, "key-missing");
    reply(app.post("/charge", "key-1").header(IDEMPOTENCY_KEY, "key-2")).await.expect_rejection(400, "key-malformed");
    reply(app.post("/charge", "key-1").header(IDEMPOTENCY_KEY, "key-1")).await.expect_rejection(400, "key-malformed");
    let malformed: [&[u8]; 8] =
        [b"", b"\"\"", &[b'k'; 256], b"a\tb", b"a b", b"a,b", b"\"unterminated", b"schl\xc3\xbcssel"];
    for key in malformed {
        let reply = reply(keyless().header(IDEMPOTENCY_KEY, key)).await;
        reply.expect_rejection(400, "key-malformed");
        assert!(!String::from_utf8_lossy(&reply.body).contains("schl"), "the answer repeats what was sent");
    }
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
    assert_eq!(reply(keyless().header(IDEMPOTENCY_KEY, "k".repeat(255))).await.status, StatusCode::CREATED);
}

async fn s08_control_characters_never_reach_the_store(backend: impl Backend) {
    let app = App::start(&backend).await;
    for control in [0x00, 0x01, 0x1f, 0x7f] {
        let mut request = b"POST /charge HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-merchant: acme\r\n".to_vec();
        request.extend_from_slice(b"content-length: 0\r\nidempotency-key: a");
        request.push(control);
        request.extend_from_slice(b"b\r\n\r\n");
        let answer = raw::exchange(app.address(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{control:#x}: {answer}");
    }
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
}
