//! Laws of many at once, of deadlines and of dropped verbs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::Fixture;
use super::case::{Case, answer, fresh_key, reexecute, refuse, soon};
use crate::{Attempt, Claim, Claimed, Deadline, ErrorKind, Grant, Recorded, Released, Store};

const TASKS: usize = 64;

/// What the store tells so many claims that are made at once.
async fn at_once<F: Fixture>(case: &Arc<Case<F>>, claims: impl IntoIterator<Item = Claim>) -> Vec<Claimed> {
    let tasks: Vec<_> = claims
        .into_iter()
        .map(|claim| {
            let case = Arc::clone(case);
            tokio::spawn(async move { case.claim(&claim).await })
        })
        .collect();
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await.expect("a claim panicked"));
    }
    replies
}

fn grants(replies: &[Claimed]) -> Vec<Grant> {
    replies
        .iter()
        .filter_map(|reply| if let Claimed::Acquired { grant, .. } = reply { Some(*grant) } else { None })
        .collect()
}

/// Many claims of one key at once: one is granted, all others are told that it is in flight.
pub async fn one_of_many_claims_is_granted<F: Fixture>() {
    let case = Arc::new(Case::<F>::open().await);
    let claims: Vec<_> = (0..TASKS).map(|_| refuse(case.attempt())).collect();
    let replies = at_once(&case, claims).await;
    let granted = grants(&replies);
    assert_eq!(granted.len(), 1, "{TASKS} claims of one key at once got {} grants", granted.len());
    let refused = replies.iter().filter(|reply| matches!(reply, Claimed::InFlight { .. })).count();
    assert_eq!(refused, TASKS - 1, "the others must be told that it is in flight");
    case.assert_holds(granted.first().expect("one was granted"), "one of many").await;
}

/// Many take-overs of one lapsed key at once: one is granted.
pub async fn one_of_many_takeovers_is_granted<F: Fixture>() {
    let (case, old) = Case::<F>::started().await;
    case.lapse().await;
    let case = Arc::new(case);
    let claims: Vec<_> = (0..TASKS).map(|_| reexecute(case.attempt(), 99)).collect();
    let granted = grants(&at_once(&case, claims).await);
    assert_eq!(granted.len(), 1, "{TASKS} take-overs of one key at once got {} grants", granted.len());
    assert!(granted.iter().all(|grant| grant.fence > old.fence && grant.number == 2));
}

/// Many claims of one released key at once: one is granted.
pub async fn one_of_many_claims_after_a_release_is_granted<F: Fixture>() {
    let (case, _) = Case::<F>::released().await;
    let case = Arc::new(case);
    let claims: Vec<_> = (0..TASKS).map(|_| refuse(case.attempt())).collect();
    let granted = grants(&at_once(&case, claims).await);
    assert_eq!(granted.len(), 1, "{TASKS} claims of a released key at once got {} grants", granted.len());
}

/// One owner that asks many times at once holds one fence.
pub async fn one_owner_holds_one_fence<F: Fixture>() {
    let case = Arc::new(Case::<F>::open().await);
    let claim = refuse(case.attempt());
    let granted = grants(&at_once(&case, [claim; 16]).await);
    assert_eq!(granted.len(), 16, "every copy of an owner's claim is granted");
    assert!(granted.windows(2).all(|pair| pair.first() == pair.last()), "one owner got several grants: {granted:?}");
}

/// Claims of different keys at once: all are granted.
pub async fn different_keys_are_granted_side_by_side<F: Fixture>() {
    let case = Arc::new(Case::<F>::open().await);
    let claims: Vec<_> = (0..TASKS).map(|_| refuse(Attempt { key: fresh_key(), ..case.attempt() })).collect();
    assert_eq!(grants(&at_once(&case, claims).await).len(), TASKS);
}

/// Completing and taking over at once: one of them wins, and everybody agrees which.
pub async fn a_completion_and_a_takeover_agree<F: Fixture>() {
    for _ in 0..8 {
        let (case, old) = Case::<F>::started().await;
        case.lapse().await;
        let case = Arc::new(case);
        let rival = Arc::clone(&case);
        let takeover = tokio::spawn(async move { rival.claim(&reexecute(rival.attempt(), 9)).await });
        let recorded = case.complete(&old, "old").await;
        match (recorded, takeover.await.expect("a claim panicked")) {
            (Recorded::Recorded, Claimed::Completed(completed)) => assert_eq!(completed.answer, answer("old")),
            (Recorded::Lost(_), Claimed::Acquired { grant, .. }) => case.assert_holds(&grant, "it took over").await,
            both => panic!("a completion and a take-over both won or both lost: {both:?}"),
        }
    }
}

/// A verb whose deadline is past is refused, and does nothing.
pub async fn a_verb_past_its_deadline_does_nothing<F: Fixture>() {
    let case = Case::<F>::open().await;
    let past = Deadline::after(Duration::ZERO);
    let error = case.store().claim(&refuse(case.attempt()), past).await.expect_err("its deadline was past");
    assert_eq!(error.kind(), ErrorKind::NotApplied, "a verb that was never tried is certainly not applied");
    let grant = case.acquire(&case.attempt()).await;
    let error = case.store().complete(&grant, &answer("late").into(), past).await.expect_err("its deadline was past");
    assert_eq!(error.kind(), ErrorKind::NotApplied);
    case.assert_holds(&grant, "a completion past its deadline").await;
}

/// A healthy store answers a ping, and a ping changes nothing.
pub async fn a_ping_answers<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.store().ping(soon()).await.expect("a healthy store answers a ping");
    case.assert_holds(&grant, "a ping changes nothing").await;
}

/// A verb whose future was dropped may or may not be carried out. Asked again by the same owner, it tells.
pub async fn a_dropped_verb_can_be_asked_again<F: Fixture>() {
    let case = Case::<F>::open().await;
    let attempt = case.attempt();
    poll_once(case.store().claim(&refuse(attempt), soon()));
    let grant = case.acquire(&attempt).await;
    poll_once(case.store().complete(&grant, &answer("answer").into(), soon()));
    assert_eq!(case.complete(&grant, "answer").await, Recorded::Recorded, "completing again is always safe");
    assert_eq!(case.replayed().await.answer, answer("answer"));
}

/// A claim whose future was dropped is given up with a release, whether it was carried out or not.
pub async fn a_dropped_claim_can_be_released<F: Fixture>() {
    let case = Case::<F>::open().await;
    let attempt = case.attempt();
    poll_once(case.store().claim(&refuse(attempt), soon()));
    let released = case.give_back(&attempt, None).await;
    assert!(matches!(released, Released::Released | Released::Absent), "a claim could not be given up: {released:?}");
    case.acquire(&case.attempt()).await;
    let late = case.claim(&refuse(attempt)).await;
    assert!(matches!(late, Claimed::InFlight { .. }), "after a new owner, an old packet is one of many: {late:?}");
}

/// Begins something and drops it at its first wait.
fn poll_once(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}
