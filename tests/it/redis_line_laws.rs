//! The laws of a store over a line to Redis that breaks all the time. Whoever is told that nobody knows asks again, as
//! the same owner: then every law holds as over a sound line.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use idempotency_store::conformance::{Fixture, history};
use idempotency_store::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, ErrorKind,
    Fence, ForeignCursor, Grant, Key, Page, Query, Reason, Recorded, RedisStore, Released, Renewed, Resolution,
    Resolved, Seen, Store, StoreError,
};
use idempotency_tests::redis_proxy::RedisProxy;
use idempotency_tests::resp::Command;
use idempotency_tests::{Backend, LineFault, Redis};

/// A store whose verbs are asked again until they are answered.
#[derive(Clone, Debug)]
struct Persistent(RedisStore, Sound);

/// Whether the line is sound for now.
type Sound = Arc<AtomicBool>;

async fn persist<T, F>(deadline: Deadline, ask: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut reply = ask().await;
    while !deadline.is_past() && reply.as_ref().is_err_and(may_pass) {
        reply = ask().await;
    }
    reply
}

/// Whether the line is to blame, and not what was asked or what stands there.
fn may_pass(error: &StoreError) -> bool {
    error.kind() != ErrorKind::Corrupt && !error.source().is_some_and(<dyn Error>::is::<ForeignCursor>)
}

#[deny(clippy::missing_trait_methods)]
impl Store for Persistent {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        persist(deadline, || self.0.claim(claim, deadline)).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        persist(deadline, || self.0.renew(grant, deadline)).await
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        note: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        persist(deadline, || self.0.checkpoint(grant, note, deadline)).await
    }

    async fn complete(&self, grant: &Grant, done: &Completion, deadline: Deadline) -> Result<Recorded, StoreError> {
        persist(deadline, || self.0.complete(grant, done, deadline)).await
    }

    async fn release(&self, of: &Attempt, fence: Option<Fence>, deadline: Deadline) -> Result<Released, StoreError> {
        persist(deadline, || self.0.release(of, fence, deadline)).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        persist(deadline, || self.0.abandon(grant, reason, deadline)).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        // It has no owner to be asked again as: who lost its reply is told of a conflict, rightly.
        self.1.store(true, Ordering::SeqCst);
        let resolved = persist(deadline, || self.0.resolve(key, seen, resolution, deadline)).await;
        self.1.store(false, Ordering::SeqCst);
        resolved
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        persist(deadline, || self.0.inspect(key, deadline)).await
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        persist(deadline, || self.0.list(query, deadline)).await
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        persist(deadline, || self.0.erase(key, seen, deadline)).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        persist(deadline, || self.0.ping(deadline)).await
    }
}

/// Longer than the longest verb, which is three commands: breaking at each third could strike every attempt.
const EVERY: usize = 5;

/// A break strikes all who wait on the line, so there must be an end of breaks, or many at once never get through.
const BREAKS: usize = 12;

/// A store behind a line that fails at every fifth of the commands of verbs, a dozen times; with `AFTER`, after the server
/// acted.
struct Broken<const AFTER: bool> {
    server: Redis,
    store: Persistent,
    _line: RedisProxy,
}

impl<const AFTER: bool> Fixture for Broken<AFTER> {
    type Store = Persistent;

    async fn open() -> Self {
        let server = <Redis as Backend>::open().await;
        let url = server.served();
        let (address, database) = url.trim_start_matches("redis://").split_once('/').unwrap();
        let line = RedisProxy::to(address.parse().unwrap()).await;
        let store = RedisStore::connect(&format!("{}/{database}", line.url())).await.unwrap();
        let sound = Sound::default();
        let is_sound = Arc::clone(&sound);
        let seen = AtomicUsize::new(0);
        let breaks = move |command: &Command| {
            let strikes = of_records(command) && !is_sound.load(Ordering::SeqCst);
            let nth = strikes.then(|| seen.fetch_add(1, Ordering::SeqCst) + 1);
            nth.is_some_and(|nth| nth % EVERY == 0 && nth <= EVERY * BREAKS)
        };
        line.set(breaks, if AFTER { LineFault::CutAfter } else { LineFault::CutBefore });
        Self { server, store: Persistent(store, sound), _line: line }
    }

    fn store(&self) -> &Persistent {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        Fixture::advance(&self.server, by).await;
    }
}

/// Commands of verbs, and not those with which a store greets a server.
fn of_records(command: &Command) -> bool {
    command.arguments().iter().any(|argument| argument.starts_with(b"idem:{"))
}

mod cut_before {
    idempotency_store::conformance!(super::Broken<false>);
}

mod cut_after {
    idempotency_store::conformance!(super::Broken<true>);
}

/// Random histories beside the pure model. Only with breaks before the server acts: a verb that is asked again after it
/// took effect rightly answers otherwise than the model, to which it is asked once (`Held` after `Recreated`).
#[tokio::test]
async fn histories_over_a_line_that_breaks_follow_the_model() {
    for seed in 1..=10 {
        let broken = Broken::<false>::open().await;
        let report = history::check(&broken, history::steps(seed).take(500)).await;
        assert_eq!(report.unwrap_or_else(|error| panic!("seed {seed}: {error}")).steps, 500);
    }
}
