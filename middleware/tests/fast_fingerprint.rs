//! Fingerprints with a faster digest of the body: the same rules, and never taken for the others.
#![cfg(feature = "fast-fingerprint")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Entries, counted, layer, post_body, send};
use http::StatusCode;

#[tokio::test]
async fn a_retry_is_replayed_and_another_body_is_refused() {
    let (layer, entries) = (layer().fast_fingerprint(), Entries::default());
    for size in [0, 1, 240, 241, 4096, 200_000] {
        let (key, body) = (format!("key-{size}"), vec![b'x'; size]);
        let first = send(&layer, &entries, counted, post_body(&key, body.clone())).await;
        let again = send(&layer, &entries, counted, post_body(&key, body.clone())).await;
        assert_eq!((again.status, again.is_replay(), &again.body), (StatusCode::CREATED, true, &first.body));
        let longer = send(&layer, &entries, counted, post_body(&key, [&body[..], b"x"].concat())).await;
        assert_eq!(longer.problem(), "key-reused");
        if let Some((_, rest)) = body.split_first() {
            let other = send(&layer, &entries, counted, post_body(&key, [b"y", rest].concat())).await;
            assert_eq!(other.problem(), "key-reused");
        }
    }
    assert_eq!(entries.count(), 6);
}

#[tokio::test]
async fn a_change_of_the_digest_refuses_retries_and_runs_nothing() {
    let (keyed, entries) = (layer(), Entries::default());
    let fast = keyed.clone().fast_fingerprint();
    send(&keyed, &entries, counted, post_body("a", "{}")).await;
    send(&fast, &entries, counted, post_body("b", "{}")).await;
    assert_eq!(send(&fast, &entries, counted, post_body("a", "{}")).await.problem(), "key-reused");
    assert_eq!(send(&keyed, &entries, counted, post_body("b", "{}")).await.problem(), "key-reused");
    assert_eq!(entries.count(), 2);
}
