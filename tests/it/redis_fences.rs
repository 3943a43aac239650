//! The laws of a fence store on Redis: as it is, boxed, and over a line that breaks all the time; and what is particular
//! to Redis.

use std::sync::Arc;
use std::time::Duration;

use idempotency_store::fence_store::conformance::{Boxed, FenceFixture};
use idempotency_store::fence_store::mark::{Mark, admit};
use idempotency_store::{
    Admitted, BoxFenceStore, Deadline, ErrorKind, Fence, FenceKey, FenceStore, Holder, Owner, RedisFenceStore,
    RedisStore, StoreError, StoreTime,
};
use idempotency_tests::redis_proxy::{RedisProxy, named};
use idempotency_tests::resp::Command;
use idempotency_tests::{LineFault, RedisFences, RedisOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::cmd;

use crate::redis_own::{Own, soon};

const HOUR: Duration = Duration::from_secs(3600);

idempotency_store::fence_conformance!(RedisFences);

mod boxed {
    idempotency_store::fence_conformance!(super::Boxed<super::RedisFences>);
}

mod breaking_line {
    idempotency_store::fence_conformance!(super::BreakingLine);
}

/// A store whose admissions are asked for again until they are answered.
struct Persistent(BoxFenceStore);

impl FenceStore for Persistent {
    async fn admit(
        &self,
        key: &FenceKey,
        holder: Holder,
        retention: Duration,
        deadline: Deadline,
    ) -> Result<Admitted, StoreError> {
        loop {
            let reply = self.0.admit(key, holder, retention, deadline).await;
            if deadline.is_past() || reply.is_ok() {
                return reply;
            }
        }
    }
}

/// Every third script is lost, with or without its effect.
struct BreakingLine {
    fixture: RedisFences,
    store: Persistent,
    _line: Arc<RedisProxy>,
}

/// Of one key, unlike the script that a line is greeted with.
fn is_admission(command: &Command) -> bool {
    command.name() == "EVALSHA" && &*command.arguments()[1] == b"1"
}

impl FenceFixture for BreakingLine {
    type Store = Persistent;

    async fn open() -> Self {
        let fixture = RedisFences::open().await;
        let (server, database) = fixture.url().rsplit_once('/').expect("a database");
        let server = server.trim_start_matches("redis://").parse().expect("an address");
        let line = RedisProxy::to(server).await;
        let store = RedisFenceStore::connect(&format!("{}/{database}", line.url())).await.expect("a sound line");
        line.every(3, is_admission, LineFault::CutAfter);
        line.every(4, is_admission, LineFault::CutBefore);
        Self { fixture, store: Persistent(BoxFenceStore::new(store)), _line: line.into() }
    }

    fn store(&self) -> &Persistent {
        &self.store
    }

    async fn advance(&self, duration: Duration) {
        self.fixture.advance(duration).await;
    }
}

fn key() -> FenceKey {
    FenceKey::new([1; 32])
}

fn holder(fence: u64) -> Holder {
    Holder { fence: Fence::new(fence), owner: Owner::new([7; 16]) }
}

async fn ask(store: &RedisFenceStore, fence: u64) -> Result<Admitted, StoreError> {
    store.admit(&key(), holder(fence), HOUR, soon()).await
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_judges_as_before() {
    let own = Own::with(RedisOptions::default()).await;
    let fences = own.store.fences();
    assert_eq!(ask(&fences, 5).await.unwrap(), Admitted::Admitted);
    own.server.script_flush().await;
    assert_eq!(ask(&fences, 4).await.unwrap(), Admitted::Fenced { highest: Fence::new(5) });
}

#[tokio::test]
async fn an_admission_is_one_command_and_its_key_expires_with_the_retention() {
    let own = Own::with(RedisOptions::default()).await;
    let fences = own.store.fences();
    assert_eq!(ask(&fences, 4).await.unwrap(), Admitted::Admitted);
    let during = own.server.commands_during(async { ask(&fences, 5).await.unwrap() }).await;
    assert_eq!(
        (during.names(), during.inner_names()),
        (vec!["EVALSHA".to_owned()], ["GET", "PTTL", "SET"].map(str::to_owned).to_vec())
    );
    let name = fences.name_of(&key());
    assert_eq!(own.server.keys("idem:fence:").await, std::slice::from_ref(&name));
    assert!((3_590_000..=3_600_000).contains(&own.server.pttl(&name).await));
}

#[tokio::test]
async fn a_fence_that_cannot_be_read_lets_nobody_pass_and_is_left_alone() {
    let own = Own::with(RedisOptions::default()).await;
    let fences = own.store.fences();
    ask(&fences, 5).await.unwrap();
    let name = fences.name_of(&key());
    let stands = own.server.get(&name).await.unwrap();
    let mut newer = stands.clone();
    newer[0] = 2;
    for bytes in [newer, stands[..24].to_vec(), [&stands[..], b"x"].concat(), Vec::new(), b"garbage".to_vec()] {
        own.server.overwrite(&name, &bytes).await;
        for fence in [4, 5, 6] {
            assert_eq!(ask(&fences, fence).await.unwrap_err().kind(), ErrorKind::Corrupt, "{bytes:?}");
        }
        assert_eq!(own.server.get(&name).await, Some(bytes));
    }
    own.server.ask::<()>(cmd("DEL").arg(&name)).await;
    own.server.ask::<()>(cmd("RPUSH").arg(&name).arg("one")).await;
    assert_eq!(ask(&fences, 6).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_fence_that_lost_its_expiry_gets_one_again() {
    let own = Own::with(RedisOptions::default()).await;
    let fences = own.store.fences();
    ask(&fences, 5).await.unwrap();
    let name = fences.name_of(&key());
    own.server.persist(&name).await;
    assert_eq!(ask(&fences, 4).await.unwrap(), Admitted::Fenced { highest: Fence::new(5) });
    assert_eq!(ask(&fences, 5).await.unwrap(), Admitted::Admitted);
    assert!(own.server.pttl(&name).await > 0);
}

#[tokio::test]
async fn a_full_server_lets_nobody_pass() {
    let own = Own::with(RedisOptions::default()).await;
    let fences = own.store.fences();
    ask(&fences, 5).await.unwrap();
    own.server.config_set("maxmemory", "1").await;
    assert_eq!(ask(&fences, 6).await.unwrap_err().kind(), ErrorKind::NotApplied);
    assert_eq!(ask(&fences, 4).await.unwrap(), Admitted::Fenced { highest: Fence::new(5) }, "it can still refuse");
    own.server.config_set("maxmemory", "0").await;
    assert_eq!(ask(&fences, 6).await.unwrap(), Admitted::Admitted);
}

#[tokio::test]
async fn a_reply_that_was_meant_for_another_caller_admits_nobody() {
    let (own, line) = Own::behind_a_line().await;
    let fences = own.store.fences();
    ask(&fences, 5).await.unwrap();
    // What the highest holder is told, and what a script of the other store answers when it has succeeded.
    let stands = own.server.get(&fences.name_of(&key())).await.unwrap();
    let theirs = [b"$25\r\n", &stands[..], b"\r\n"].concat();
    for reply in [theirs, b":1\r\n".to_vec(), b"$-1\r\n".to_vec(), b"+OK\r\n".to_vec()] {
        line.next(1, named("EVALSHA"), LineFault::Replace(reply.clone().into()));
        let answered = ask(&fences, 4).await;
        assert!(!matches!(answered, Ok(Admitted::Admitted)), "{reply:?}: {answered:?}");
        line.next(1, named("EVALSHA"), LineFault::Replace(reply.into()));
        let greater = ask(&fences, 6).await.map_err(|error| error.kind());
        assert!(matches!(greater, Err(ErrorKind::Unknown)), "{greater:?}");
    }
    assert_eq!(ask(&fences, 6).await.unwrap(), Admitted::Admitted, "asked again, the same holder is told");
}

/// The script and the pure decision agree, whatever fences and owners come.
#[tokio::test]
async fn the_script_follows_the_model() {
    const SEED: u64 = 20_261_124;
    let own = Own::with(RedisOptions::default()).await;
    let store = RedisStore::connect(&own.server.url()).await.unwrap().fences();
    let mut random = StdRng::seed_from_u64(SEED);
    let now = StoreTime::from_micros(1_795_521_600_000_000);
    for round in 0..200_u8 {
        let key = FenceKey::new([round; 32]);
        let mut mark: Option<Mark> = None;
        // Neighbours of a random number of random length, so that every byte decides at times.
        let base = random.random::<u64>() >> random.random_range(0..64);
        for step in 0..10 {
            let fence = Fence::new(base.wrapping_add(random.random_range(0..4_u64) << random.random_range(0..56)));
            let holder = Holder { fence, owner: Owner::new([random.random_range(1..4); 16]) };
            let (write, expected) = admit(mark.as_ref(), now, holder, HOUR);
            mark = write.or(mark);
            let said = store.admit(&key, holder, HOUR, soon()).await.unwrap();
            assert_eq!(said, expected, "seed {SEED}, round {round}, step {step}: {holder:?}");
        }
    }
}
