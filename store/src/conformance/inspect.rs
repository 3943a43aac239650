//! Laws of [`Store::inspect`](crate::Store::inspect).

use super::Fixture;
use super::case::{Case, LEASE, RETENTION, SLACK, answer, checkpoint};
use crate::record::State;
use crate::{Entry, Grant, Reason, Standing};

async fn seen<F: Fixture>(case: &Case<F>) -> Entry {
    case.inspect().await.expect("a key that was used is there to be seen")
}

fn of(entry: &Entry) -> (Standing, u64, u32, Option<Reason>) {
    (entry.standing(), entry.fence().get(), entry.record.attempts, entry.reason())
}

fn is(standing: Standing, grant: &Grant, reason: Option<Reason>) -> (Standing, u64, u32, Option<Reason>) {
    (standing, grant.fence.get(), grant.number, reason)
}

/// In flight, inspect: whose it is, on which terms, what was noted, and the time left.
pub async fn inspect_shows_a_key_in_flight<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.note(&grant, "half way").await;
    let entry = seen(&case).await;
    assert_eq!((entry.key, of(&entry)), (case.key, is(Standing::InFlight, &grant, None)));
    let record = &entry.record;
    assert_eq!((record.owner, record.fingerprint), (grant.attempt.owner, grant.attempt.fingerprint));
    assert_eq!(record.terms, grant.terms);
    assert_eq!(record.state, State::InFlight { checkpoint: Some(checkpoint("half way")) });
    let left = entry.remaining();
    assert!(left <= LEASE && left > LEASE - SLACK, "the time left of a fresh lease was {left:?}");
    assert!(entry.expires_in() <= RETENTION && entry.expires_in() > RETENTION - SLACK);
}

/// Lapsed, inspect: indeterminate, of nobody's saying, and quiet since the lease began.
pub async fn inspect_shows_a_lapsed_key<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    let entry = seen(&case).await;
    assert_eq!(of(&entry), is(Standing::Indeterminate, &grant, None));
    assert!(entry.remaining().is_zero(), "a lapsed lease has no time left");
    let quiet = entry.quiet_for();
    assert!(quiet >= LEASE && quiet < LEASE + SLACK, "it was quiet for {quiet:?}");
}

/// Marked indeterminate, inspect: why, and quiet since the mark.
pub async fn inspect_shows_an_abandoned_key<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE - SLACK).await;
    case.abandon(&grant).await;
    let entry = seen(&case).await;
    assert_eq!(of(&entry), is(Standing::Indeterminate, &grant, Some(Reason::Panic)));
    assert!(entry.remaining().is_zero(), "a marked key has no lease");
    assert!(entry.quiet_for() < SLACK, "it was marked just now, not {:?} ago", entry.quiet_for());
}

/// Completed, inspect: the answer.
pub async fn inspect_shows_a_completed_key<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    let entry = seen(&case).await;
    assert_eq!(of(&entry), is(Standing::Completed, &grant, None));
    assert_eq!(entry.record.state, State::Completed(answer("answer")));
    assert!(entry.remaining().is_zero(), "a completed key has no lease");
}

/// Released, inspect: released. Absent or expired, inspect: nothing.
pub async fn inspect_shows_nothing_of_an_absent_key<F: Fixture>() {
    let case = Case::<F>::open().await;
    assert_eq!(case.inspect().await, None, "nobody has used this key");
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(of(&seen(&case).await), is(Standing::Released, &grant, None));
    case.expire().await;
    assert_eq!(case.inspect().await, None, "what has expired is not there");
}

/// Looking makes no lease longer and keeps no record alive.
pub async fn inspect_writes_nothing<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE - SLACK).await;
    for _ in 0..3 {
        assert!(seen(&case).await.remaining() <= SLACK, "a look has made the lease longer");
    }
    case.advance(SLACK).await;
    case.assert_indeterminate(&grant, "looked at before its lease lapsed").await;
    case.assert_holds(&grant, "looked at").await;
    let (case, _) = Case::<F>::completed().await;
    case.advance(RETENTION / 2).await;
    let left = seen(&case).await.expires_in();
    assert!(left <= RETENTION / 2, "half of its retention has passed, but {left:?} were left");
    case.advance(RETENTION / 2).await;
    assert_eq!(case.inspect().await, None, "a look has kept the record alive");
    case.acquire(&case.attempt()).await;
}
