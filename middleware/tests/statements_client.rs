//! draft-ietf-httpapi-idempotency-key-header-07, section 2.2, on the client's side: what its keys are.

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;

use axum::body::Body;
use common::{Entries, counted, layer, send};
use http::{Request, StatusCode};
use tower_idempotency::client::RequestKey;
use tower_idempotency::{IDEMPOTENCY_KEY, KeySyntax};

/// Version and variant of a UUID (RFC 9562, sections 4.1 and 4.2).
fn kind(uuid: &str) -> (u8, u8) {
    let groups: Vec<&str> = uuid.split('-').collect();
    assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
    assert!(groups.concat().bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)), "{uuid}");
    (groups[2].as_bytes()[0], groups[3].as_bytes()[0])
}

#[test]
fn draft_i10_the_clients_keys_are_uuids_of_version_4_or_7() {
    for (make, version) in [(RequestKey::v4 as fn() -> _, b'4'), (RequestKey::v7, b'7')] {
        let keys: HashSet<String> = (0..10_000).map(|_| make().unwrap().as_str().to_owned()).collect();
        assert_eq!(keys.len(), 10_000, "a key came twice");
        for key in &keys {
            let (is, variant) = kind(key);
            assert_eq!((is, b"89ab".contains(&variant)), (version, true), "{key}");
        }
    }
}

#[tokio::test]
async fn draft_i10_a_strict_server_takes_them() {
    let (layer, entries) = (layer().key_syntax(KeySyntax::Strict).required(), Entries::default());
    for key in [RequestKey::v4().unwrap(), RequestKey::v7().unwrap()] {
        for is_replay in [false, true] {
            let request = Request::post("/pay").header(IDEMPOTENCY_KEY, format!("\"{}\"", key.as_str()));
            let answer = send(&layer, &entries, counted, request.body(Body::from("{}")).unwrap()).await;
            assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, is_replay));
        }
    }
    assert_eq!(entries.count(), 2);
}
