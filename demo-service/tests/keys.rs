//! `demo-service keys`: a killed server leaves a key, and an operator settles it with the program itself.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use idempotency_store::encrypted::SEALED_OVERHEAD;
use idempotency_store::{
    Answer, Attempt, Checkpoint, Claim, Claimed, Deadline, EmbeddedStore, EncryptedStore, EncryptionKey, Fingerprint,
    Grant, Key, KeyRing, OnAbandoned, Owner, Reason, Store, Terms,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const STORE: &str = "embedded:keys.redb";

/// Runs the program to its end: the objects that it printed, and its status.
fn keys(directory: &Path, args: &[&str]) -> (Vec<Value>, Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-service"));
    command.arg("keys").args(args).current_dir(directory).env_clear();
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    let lines = stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    (lines.map(|line| serde_json::from_slice(line).unwrap()).collect(), status.code(), stderr)
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn digest(key: u8) -> String {
    format!("{key:02x}").repeat(32)
}

async fn claim(store: &EmbeddedStore, key: u8) -> Claimed {
    let attempt =
        Attempt { key: Key::new([key; 32]), owner: Owner::random().unwrap(), fingerprint: Fingerprint::new([7; 32]) };
    let claim = Claim { attempt, terms: Terms::default(), high_water: None, on_abandoned: OnAbandoned::Refuse };
    store.claim(&claim, soon()).await.unwrap()
}

async fn grant(store: &EmbeddedStore, key: u8) -> Grant {
    let Claimed::Acquired { grant, .. } = claim(store, key).await else { panic!("the key is another's") };
    grant
}

/// A store whose owners are gone: key 1 is in flight, 2 completed, 3 abandoned.
async fn store() -> (TempDir, [Grant; 3]) {
    let place = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(place.path().join("keys.redb")).await.unwrap();
    let grants = [grant(&store, 1).await, grant(&store, 2).await, grant(&store, 3).await];
    store.complete(&grants[1], &Answer::Kept("a secret answer".into()).into(), soon()).await.unwrap();
    store.abandon(&grants[2], Reason::Shutdown, soon()).await.unwrap();
    store.close().await;
    (place, grants)
}

#[tokio::test]
async fn lists_in_pages_and_by_standing() {
    let (place, grants) = store().await;
    let (all, status, _) = keys(place.path(), &["list", "--store", STORE]);
    assert_eq!((all.len(), status), (4, Some(0)), "three keys, and where to go on: {all:?}");
    assert_eq!(all[3], json!({"next": null, "unreadable": 0}));
    assert_eq!((&all[1]["key"], &all[1]["standing"]), (&json!(digest(2)), &json!("completed")));
    assert_eq!((&all[1]["answer_len"], &all[1]["fence"]), (&json!(15), &json!(grants[1].fence.get())));

    let (first, ..) = keys(place.path(), &["list", "--store", STORE, "--limit", "2"]);
    let next = first[2]["next"].as_str().expect("there is more").to_owned();
    let (second, ..) = keys(place.path(), &["list", "--store", STORE, "--limit", "2", "--after", &next]);
    let listed: Vec<_> = first[..2].iter().chain(&second[..1]).map(|line| &line["key"]).collect();
    assert_eq!(listed, all[..3].iter().map(|line| &line["key"]).collect::<Vec<_>>());

    let (unknown, ..) = keys(place.path(), &["--store", STORE, "list", "--standing", "indeterminate"]);
    assert_eq!(unknown.len(), 2);
    assert_eq!((&unknown[0]["key"], &unknown[0]["reason"]), (&json!(digest(3)), &json!("shutdown")));
}

#[tokio::test]
async fn inspects_without_showing_the_answer() {
    let (place, _) = store().await;
    let (shown, status, _) = keys(place.path(), &["inspect", &digest(2), "--store", STORE]);
    assert_eq!((&shown[0]["standing"], &shown[0]["answer_len"], status), (&json!("completed"), &json!(15), Some(0)));
    assert!(!shown[0].to_string().contains("secret"));
    let (absent, status, _) = keys(place.path(), &["inspect", &digest(9), "--store", STORE]);
    assert_eq!((absent, status), (vec![json!({"key": digest(9), "result": "absent"})], Some(1)));
}

#[tokio::test]
async fn resolves_what_did_not_run_and_the_next_request_runs() {
    let (place, grants) = store().await;
    let resolve = |fence: u64| {
        let fence = fence.to_string();
        let args = ["resolve", &digest(3), "--not-executed", "--fence", &fence, "--store", STORE];
        let (told, status, _) = keys(place.path(), &args);
        (told[0]["result"].clone(), status)
    };
    let fence = grants[2].fence.get();
    assert_eq!(resolve(fence + 1), (json!("conflict"), Some(1)), "another fence than the one that was seen");
    assert_eq!(resolve(fence), (json!("resolved"), Some(0)));
    assert_eq!(resolve(fence), (json!("conflict"), Some(1)), "it is settled");
    let store = EmbeddedStore::open(place.path().join("keys.redb")).await.unwrap();
    assert!(grant(&store, 3).await.fence > grants[2].fence);
}

#[tokio::test]
async fn erases_an_answer_and_leaves_a_key_in_flight_alone() {
    let (place, grants) = store().await;
    let erase = |key: u8, fence: u64| {
        let (told, status, _) =
            keys(place.path(), &["erase", &digest(key), "--fence", &fence.to_string(), "--store", STORE]);
        (told[0]["result"].clone(), status)
    };
    assert_eq!(erase(1, grants[0].fence.get()), (json!("in-flight"), Some(1)));
    assert_eq!(erase(2, grants[1].fence.get() - 1), (json!("conflict"), Some(1)));
    assert_eq!(erase(9, 1), (json!("absent"), Some(1)));
    for _ in 0..2 {
        assert_eq!(erase(2, grants[1].fence.get()), (json!("erased"), Some(0)), "also when it is asked again");
    }
    let store = EmbeddedStore::open(place.path().join("keys.redb")).await.unwrap();
    assert!(matches!(claim(&store, 1).await, Claimed::InFlight { .. }));
    assert!(grant(&store, 2).await.fence > grants[1].fence, "the next request runs");
}

/// A key of a store whose answers are encrypted, and a completed one, are seen and settled without an encryption key.
#[tokio::test]
async fn an_encrypted_store_is_looked_at_without_its_keys() {
    let place = tempfile::tempdir().unwrap();
    let plain = EmbeddedStore::open(place.path().join("keys.redb")).await.unwrap();
    let ring = KeyRing::new([EncryptionKey::random(1).unwrap()]).unwrap();
    let sealed = EncryptedStore::new(plain.clone(), ring);
    let (done, gone) = (grant(&plain, 1).await, grant(&plain, 2).await);
    sealed.complete(&done, &Answer::Kept("a secret answer".into()).into(), soon()).await.unwrap();
    sealed.checkpoint(&gone, &Checkpoint::new("a secret note").unwrap(), soon()).await.unwrap();
    sealed.abandon(&gone, Reason::Shutdown, soon()).await.unwrap();
    plain.close().await;

    let (all, status, _) = keys(place.path(), &["list", "--store", STORE]);
    assert_eq!(
        (&all[0]["standing"], &all[1]["standing"], status),
        (&json!("completed"), &json!("indeterminate"), Some(0))
    );
    assert_eq!(all[0]["answer_len"], 15 + SEALED_OVERHEAD, "of what is stored");
    let (shown, status, _) = keys(place.path(), &["inspect", &digest(1), "--store", STORE]);
    assert_eq!((&shown[0]["answer_len"], status), (&all[0]["answer_len"], Some(0)));
    let fence = |grant: &Grant| grant.fence.get().to_string();
    let resolve = ["resolve", &digest(2), "--not-executed", "--fence", &fence(&gone), "--store", STORE];
    assert_eq!(keys(place.path(), &resolve).1, Some(0));
    let erase = ["erase", &digest(1), "--fence", &fence(&done), "--store", STORE];
    assert_eq!(keys(place.path(), &erase).1, Some(0));
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_configuration_error() {
    let (place, _) = store().await;
    let one = digest(1);
    let cases: [(&[&str], &str); 5] = [
        (&["list", "--store", "memory"], "--store embedded:PATH"),
        (&["list", "--store", "embedded:nowhere.redb"], "there is no store at nowhere.redb"),
        (&["inspect", "order-42", "--store", STORE], "64 hexadecimal digits"),
        (&["resolve", &one, "--fence", "1", "--store", STORE], "--not-executed"),
        (&["erase", &one, "--store", STORE], "--fence"),
    ];
    for (args, remedy) in cases {
        let (told, status, error) = keys(place.path(), args);
        assert_eq!((told, status), (vec![], Some(2)), "{error}");
        assert!(error.contains(remedy), "{error}");
    }
    assert!(!place.path().join("nowhere.redb").exists(), "looking creates nothing");
    let _open = EmbeddedStore::open(place.path().join("keys.redb")).await.unwrap();
    let (_, status, error) = keys(place.path(), &["list", "--store", STORE]);
    assert_eq!(status, Some(2));
    assert!(error.contains("in use by another process"), "{error}");
}
