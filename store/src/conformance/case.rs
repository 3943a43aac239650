//! What the laws are written with: a fixture, a fresh key, and verbs that answer or say what went wrong.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use super::Fixture;
use crate::{
    Abandoned, Answer, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completed, Completion, Deadline, Entry,
    Erased, Fence, Fingerprint, Grant, Indeterminate, Key, OnAbandoned, Owner, Reason, Recorded, Released, Renewed,
    Resolution, Resolved, Retention, Seen, Store, StoreError, Terms,
};

pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const RETENTION: Duration = Duration::from_secs(60 * 60);

/// Stores whose time flows on its own are checked this far before and after a deadline.
pub(super) const SLACK: Duration = Duration::from_secs(10);

pub(super) struct Case<F> {
    pub(super) fixture: F,
    pub(super) key: Key,
}

impl<F: Fixture> Case<F> {
    /// An empty store, and a key that nobody has used.
    pub(super) async fn open() -> Self {
        Self { fixture: F::open().await, key: fresh_key() }
    }

    /// The same, and an owner in flight.
    pub(super) async fn started() -> (Self, Grant) {
        let case = Self::open().await;
        let grant = case.acquire(&case.attempt()).await;
        (case, grant)
    }

    /// The same, and its answer recorded.
    pub(super) async fn completed() -> (Self, Grant) {
        let (case, grant) = Self::started().await;
        assert_eq!(case.complete(&grant, "answer").await, Recorded::Recorded, "an owner in flight may complete");
        (case, grant)
    }

    /// The same, abandoned instead.
    pub(super) async fn abandoned() -> (Self, Grant) {
        let (case, grant) = Self::started().await;
        assert_eq!(case.abandon(&grant).await, Abandoned::Abandoned, "an owner in flight may abandon");
        (case, grant)
    }

    /// The same, released instead.
    pub(super) async fn released() -> (Self, Grant) {
        let (case, grant) = Self::started().await;
        assert_eq!(case.release(&grant).await, Released::Released, "an owner in flight may release");
        (case, grant)
    }

    /// The same, lapsed and taken over: the first grant and the second.
    pub(super) async fn taken_over() -> (Self, Grant, Grant) {
        let (case, old) = Self::started().await;
        case.lapse().await;
        let new = case.granted(&reexecute(case.attempt(), 9)).await;
        (case, old, new)
    }

    pub(super) fn store(&self) -> &F::Store {
        self.fixture.store()
    }

    /// A new arrival of the request.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt { key: self.key, owner: fresh_owner(), fingerprint: Fingerprint::new([7; 32]) }
    }

    /// A new arrival of another request under the same key.
    pub(super) fn other_request(&self) -> Attempt {
        Attempt { fingerprint: Fingerprint::new([8; 32]), ..self.attempt() }
    }

    pub(super) async fn advance(&self, duration: Duration) {
        self.fixture.advance(duration).await;
    }

    /// Lets the lease of whoever is in flight lapse.
    pub(super) async fn lapse(&self) {
        self.advance(LEASE).await;
    }

    /// Lets every record expire.
    pub(super) async fn expire(&self) {
        self.advance(RETENTION).await;
    }

    pub(super) async fn claim(&self, claim: &Claim) -> Claimed {
        answered("claim", self.store().claim(claim, soon()).await)
    }

    /// What a new arrival of the request is told.
    pub(super) async fn ask(&self) -> Claimed {
        self.claim(&refuse(self.attempt())).await
    }

    /// The grant that this claim must get.
    pub(super) async fn granted(&self, claim: &Claim) -> Grant {
        self.granted_with_checkpoint(claim).await.0
    }

    pub(super) async fn granted_with_checkpoint(&self, claim: &Claim) -> (Grant, Option<Checkpoint>) {
        match self.claim(claim).await {
            Claimed::Acquired { grant, checkpoint } => {
                assert_eq!(grant.attempt, claim.attempt, "a grant carries the attempt that asked for it");
                (grant, checkpoint)
            }
            other => panic!("this claim must be granted, but the store answered {other:?}"),
        }
    }

    pub(super) async fn acquire(&self, attempt: &Attempt) -> Grant {
        self.granted(&refuse(*attempt)).await
    }

    /// The answer that a new arrival must get.
    pub(super) async fn replayed(&self) -> Completed {
        match self.ask().await {
            Claimed::Completed(completed) => completed,
            other => panic!("a completed key must be replayed, but the store answered {other:?}"),
        }
    }

    pub(super) async fn renew(&self, grant: &Grant) -> Renewed {
        answered("renew", self.store().renew(grant, soon()).await)
    }

    pub(super) async fn complete(&self, grant: &Grant, text: &'static str) -> Recorded {
        self.record(grant, &answer(text)).await
    }

    pub(super) async fn record(&self, grant: &Grant, answer: &Answer) -> Recorded {
        self.record_for(grant, &Completion::from(answer.clone())).await
    }

    /// Records an answer with a retention of its own.
    pub(super) async fn record_for(&self, grant: &Grant, completion: &Completion) -> Recorded {
        answered("complete", self.store().complete(grant, completion, soon()).await)
    }

    pub(super) async fn note(&self, grant: &Grant, text: &'static str) -> Checkpointed {
        answered("checkpoint", self.store().checkpoint(grant, &checkpoint(text), soon()).await)
    }

    pub(super) async fn release(&self, grant: &Grant) -> Released {
        self.give_back(&grant.attempt, Some(grant.fence)).await
    }

    pub(super) async fn give_back(&self, attempt: &Attempt, fence: Option<Fence>) -> Released {
        answered("release", self.store().release(attempt, fence, soon()).await)
    }

    pub(super) async fn abandon(&self, grant: &Grant) -> Abandoned {
        answered("abandon", self.store().abandon(grant, Reason::Panic, soon()).await)
    }

    pub(super) async fn resolve(&self, seen: impl Into<Seen>, resolution: &Resolution) -> Resolved {
        answered("resolve", self.store().resolve(self.key, seen.into(), resolution, soon()).await)
    }

    pub(super) async fn inspect(&self) -> Option<Entry> {
        answered("inspect", self.store().inspect(self.key, soon()).await)
    }

    pub(super) async fn erase(&self, seen: impl Into<Seen>) -> Erased {
        answered("erase", self.store().erase(self.key, seen.into(), soon()).await)
    }

    /// What a new arrival is told of a key that nobody knows about.
    pub(super) async fn unknown(&self) -> Indeterminate {
        match self.ask().await {
            Claimed::Indeterminate(known) => known,
            other => panic!("the key must be indeterminate, but the store answered {other:?}"),
        }
    }

    /// A grant of this key that the store knows nothing of, as recent as one that it has just made.
    pub(super) async fn forgotten(&self) -> Grant {
        let elsewhere = Attempt { key: fresh_key(), ..self.attempt() };
        let recent = self.acquire(&elsewhere).await;
        Grant { attempt: Attempt { key: self.key, ..elsewhere }, ..recent }
    }

    /// The same, granted longer ago than keys are remembered.
    pub(super) async fn forgotten_long_ago(&self) -> Grant {
        older(&self.forgotten().await, RETENTION + SLACK)
    }

    /// Fails unless this grant is in force.
    pub(super) async fn assert_holds(&self, grant: &Grant, law: &str) {
        assert_eq!(self.renew(grant).await, Renewed::Held, "{law}: its owner must still hold the key");
    }

    /// Fails unless new arrivals are told that another attempt is in flight.
    pub(super) async fn assert_in_flight(&self, law: &str) -> Duration {
        match self.ask().await {
            Claimed::InFlight { remaining } => remaining,
            other => panic!("{law}: others must be told that the key is in flight, but the store answered {other:?}"),
        }
    }

    /// Fails unless new arrivals are told that nobody knows whether the attempt of `grant` ran.
    pub(super) async fn assert_indeterminate(&self, grant: &Grant, law: &str) {
        assert_unknown(&self.ask().await, grant, law);
    }
}

/// Fails unless the reply says that nobody knows whether the attempt of `grant` ran.
pub(super) fn assert_unknown(claimed: &Claimed, grant: &Grant, law: &str) {
    match claimed {
        Claimed::Indeterminate(known) => {
            assert_eq!((known.fence, known.attempts), (grant.fence, grant.number), "{law}: of another attempt");
        }
        other => panic!("{law}: the key must be indeterminate, but the store answered {other:?}"),
    }
}

/// Grants like `grant` that nobody was given: of another owner, and with a greater and a lower fence.
pub(super) fn forgeries(grant: &Grant) -> [(&'static str, Grant); 3] {
    let fence = grant.fence.get();
    let stranger = Attempt { owner: fresh_owner(), ..grant.attempt };
    [
        ("another owner", Grant { attempt: stranger, ..*grant }),
        ("a greater fence", Grant { fence: Fence::new(fence + 1), ..*grant }),
        ("a lower fence", Grant { fence: Fence::new(fence - 1), ..*grant }),
    ]
}

/// The same grant, as if it had been made `ago`.
pub(super) fn older(grant: &Grant, ago: Duration) -> Grant {
    let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
    Grant { fence: Fence::new(grant.fence.get().saturating_sub(micros)), ..*grant }
}

pub(super) fn refuse(attempt: Attempt) -> Claim {
    Claim { attempt, terms: terms(LEASE, RETENTION), high_water: None, on_abandoned: OnAbandoned::Refuse }
}

pub(super) fn reexecute(attempt: Attempt, max_attempts: u32) -> Claim {
    let max_attempts = NonZeroU32::new(max_attempts).unwrap_or(NonZeroU32::MIN);
    Claim { on_abandoned: OnAbandoned::Reexecute { max_attempts }, ..refuse(attempt) }
}

pub(super) fn terms(lease: Duration, retention: Duration) -> Terms {
    Terms::new(lease, retention).expect("the suite's own terms are valid")
}

pub(super) fn answer(text: &'static str) -> Answer {
    Answer::Kept(Bytes::from_static(text.as_bytes()))
}

/// An answer that is kept for as long as this.
pub(super) fn kept_for(retention: Duration, text: &'static str) -> Completion {
    let retention = Retention::new(retention).expect("the suite's own retentions are valid");
    Completion { answer: answer(text), retention: Some(retention) }
}

pub(super) fn checkpoint(text: &'static str) -> Checkpoint {
    Checkpoint::new(text).expect("the suite's own checkpoints are short")
}

pub(super) fn fresh_owner() -> Owner {
    Owner::random().expect("the system has random bytes")
}

/// A key that no other test draws, so that many can share one server.
pub(super) fn fresh_key() -> Key {
    let mut digest = [0; 32];
    getrandom::fill(&mut digest).expect("the system has random bytes");
    Key::new(digest)
}

/// Far enough that no healthy store misses it.
pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub(super) fn answered<T: Debug>(verb: &str, reply: Result<T, StoreError>) -> T {
    reply.unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        panic!("`{verb}` must answer on a healthy store, but failed: {error}: {cause}")
    })
}
