//! The embedded store under `kill -9`: a grant that its owner has seen is in the file, whenever the process dies.
#![cfg(feature = "embedded")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking; its child prints"
)]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use idempotency_store::embedded::Refusal;
use idempotency_store::{
    Attempt, Claim, Claimed, Deadline, EmbeddedStore, Fence, Fingerprint, Key, OnAbandoned, Owner, Store, Terms,
};

const FILE: &str = "IDEMPOTENCY_STORE_CRASH_TEST_FILE";

fn claim(number: u128, owner: Owner) -> Claim {
    let digest = [number.to_be_bytes(), number.to_le_bytes()].concat().try_into().unwrap();
    Claim {
        attempt: Attempt { key: Key::new(digest), owner, fingerprint: Fingerprint::new([1; 32]) },
        terms: Terms::new(Duration::from_secs(3600), Duration::from_secs(24 * 3600)).unwrap(),
        high_water: None,
        on_abandoned: OnAbandoned::Refuse,
    }
}

async fn ask(store: &EmbeddedStore, claim: &Claim) -> Claimed {
    store.claim(claim, Deadline::after(Duration::from_secs(60))).await.unwrap()
}

/// Not a test: the process that the test kills. It claims for ever and says what it was granted.
#[test]
fn child() {
    let Some(file) = env::var_os(FILE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(file).await.unwrap();
        let claimers: Vec<_> = (0..8).map(|_| tokio::spawn(claim_for_ever(store.clone()))).collect();
        for claimer in claimers {
            claimer.await.unwrap();
        }
    });
}

async fn claim_for_ever(store: EmbeddedStore) {
    loop {
        let owner = Owner::random().unwrap();
        let number = u128::from_be_bytes(*Owner::random().unwrap().as_bytes());
        let Claimed::Acquired { grant, .. } = ask(&store, &claim(number, owner)).await else {
            panic!("a fresh key was not granted");
        };
        // One write, so that lines of several tasks do not mix.
        println!("\ngranted {number:x} {:x} {}", u128::from_be_bytes(*owner.as_bytes()), grant.fence);
    }
}

fn spawn_child(file: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a line of the child says; `None` for the test harness's own lines and for a line that the kill cut off.
fn parse(line: &str) -> Option<(u128, Owner, Fence)> {
    let mut words = line.strip_prefix("granted ")?.split(' ');
    let number = u128::from_str_radix(words.next()?, 16).ok()?;
    let owner = u128::from_str_radix(words.next()?, 16).ok()?;
    Some((number, Owner::new(owner.to_be_bytes()), Fence::new(words.next()?.parse().ok()?)))
}

/// Lets a child claim until it has said so `enough` times, then kills it. What it said until it died.
async fn killed_after(file: &Path, enough: usize) -> Vec<(u128, Owner, Fence)> {
    let mut child = spawn_child(file);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
    let mut granted = Vec::new();
    while granted.len() < enough {
        granted.extend(parse(&String::from_utf8(lines.next().unwrap().unwrap()).unwrap()));
    }
    // It is in the middle of its work: nobody else gets the file.
    assert_eq!(EmbeddedStore::open(file).await.unwrap_err().refusal(), Refusal::InUse);
    child.kill().unwrap();
    child.wait().unwrap();
    let rest: Vec<Vec<u8>> = lines.map(Result::unwrap).collect();
    // The last line may have been cut in the middle of a number.
    let whole = rest.len().saturating_sub(1);
    granted.extend(rest.iter().take(whole).filter_map(|line| parse(&String::from_utf8_lossy(line))));
    granted
}

#[tokio::test]
async fn no_grant_that_was_seen_is_lost_by_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.redb");
    let mut granted = Vec::new();
    for round in 0..6 {
        granted.extend(killed_after(&file, 1 + round * 23).await);
        let store = EmbeddedStore::open(&file).await.unwrap();
        for &(number, owner, fence) in &granted {
            let stranger = claim(number, Owner::new([1; 16]));
            assert!(
                matches!(ask(&store, &stranger).await, Claimed::InFlight { .. }),
                "round {round}: a grant was lost"
            );
            let Claimed::Acquired { grant, .. } = ask(&store, &claim(number, owner)).await else {
                panic!("round {round}: the owner lost its grant");
            };
            assert_eq!(grant.fence, fence, "round {round}");
        }
        store.close().await;
    }
    assert!(granted.len() >= 6 + 23 * 15);
}
