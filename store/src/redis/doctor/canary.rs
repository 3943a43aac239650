//! D7: the life of a key, through the store's own verbs.

use std::time::Duration;

use bytes::Bytes;

use super::finding::{Check, Finding};
use crate::redis::RedisStore;
use crate::{
    Answer, Attempt, Claim, Claimed, Completed, Deadline, Fingerprint, Grant, Key, OnAbandoned, Owner, Recorded,
    Released, Renewed, Store, StoreError, Terms,
};

/// Long enough for a slow server, short enough that nothing is left of it soon.
const LEASE: Duration = Duration::from_secs(5);
const RETENTION: Duration = Duration::from_secs(20);
const ANSWER: Bytes = Bytes::from_static(b"canary");

/// Why the canary did not live.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Reply(&'static str),
}

/// Claims, renews, completes and replays one key, and releases another; both are random, so nobody else's. What is left of
/// them is gone after a minute.
pub(super) async fn sing(store: &RedisStore, deadline: Deadline) -> Option<Finding> {
    let (step, fault) = live(store, deadline).await.err()?;
    let seen = format!("a trial key failed at its {step}: {}", causes(&fault));
    let finding = Finding::error(Check::Canary, seen).so("requests with a key are refused or not replayed");
    Some(finding.remedy("mend what the server says; if other checks found errors, begin with those"))
}

async fn live(store: &RedisStore, deadline: Deadline) -> Result<(), Stopped> {
    let first = claim().at("claim")?;
    let grant = acquire(store, &first, deadline).await.at("claim")?;
    let left = store.snapshot(&first.attempt.key, deadline).await.at("expiry")?.left;
    expect(left > 0, "it has none").at("expiry")?;
    let renewed = store.renew(&grant, deadline).await.at("renewal")?;
    expect(renewed == Renewed::Held, "the lease is lost").at("renewal")?;
    let recorded = store.complete(&grant, &Answer::Kept(ANSWER).into(), deadline).await.at("completion")?;
    expect(recorded == Recorded::Recorded, "the record is lost").at("completion")?;
    replay(store, &first, deadline).await.at("replay")?;
    let second = claim().at("claim")?;
    let grant = acquire(store, &second, deadline).await.at("claim")?;
    let released = store.release(&second.attempt, Some(grant.fence), deadline).await.at("release")?;
    expect(released == Released::Released, "it was not the owner's").at("release")
}

/// Where the canary stopped, and why.
type Stopped = (&'static str, Fault);

trait At<T> {
    fn at(self, step: &'static str) -> Result<T, Stopped>;
}

impl<T, E: Into<Fault>> At<T> for Result<T, E> {
    fn at(self, step: &'static str) -> Result<T, Stopped> {
        self.map_err(|fault| (step, fault.into()))
    }
}

fn claim() -> Result<Claim, Fault> {
    const NO_RANDOM: Fault = Fault::Reply("there are no random bytes");
    let mut digest = [0; 32];
    getrandom::fill(&mut digest).map_err(|_| NO_RANDOM)?;
    let owner = Owner::random().map_err(|_| NO_RANDOM)?;
    let attempt = Attempt { key: Key::new(digest), owner, fingerprint: Fingerprint::new(digest) };
    let terms = Terms::new(LEASE, RETENTION).map_err(|_| Fault::Reply("the trial's terms are none"))?;
    Ok(Claim { attempt, terms, high_water: None, on_abandoned: OnAbandoned::Refuse })
}

async fn acquire(store: &RedisStore, claim: &Claim, deadline: Deadline) -> Result<Grant, Fault> {
    match store.claim(claim, deadline).await? {
        Claimed::Acquired { grant, .. } => Ok(grant),
        _ => Err(Fault::Reply("a key of nobody is taken")),
    }
}

async fn replay(store: &RedisStore, first: &Claim, deadline: Deadline) -> Result<(), Fault> {
    let retry = claim()?;
    let attempt = Attempt { owner: retry.attempt.owner, ..first.attempt };
    match store.claim(&Claim { attempt, ..*first }, deadline).await? {
        Claimed::Completed(Completed { answer: Answer::Kept(bytes), .. }) if bytes == ANSWER => Ok(()),
        _ => Err(Fault::Reply("its answer does not come back")),
    }
}

fn expect(is_so: bool, otherwise: &'static str) -> Result<(), Fault> {
    is_so.then_some(()).ok_or(Fault::Reply(otherwise))
}

/// The error and its causes, in one line.
fn causes(fault: &Fault) -> String {
    let mut line = fault.to_string();
    let mut cause = std::error::Error::source(fault);
    while let Some(error) = cause {
        // Some errors show their cause themselves.
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
