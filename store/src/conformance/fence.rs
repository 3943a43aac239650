//! Laws of fences and terms: what is written with a claim, and by what it is judged later.

use super::Fixture;
use super::case::{Case, LEASE, RETENTION, SLACK, fresh_key, reexecute, refuse, terms};
use crate::{Attempt, Claim, Fence, Grant, Recorded, Renewed};

/// Law 2, the ordinary case: every grant of a key has a greater fence than the one before.
pub async fn fences_grow_with_every_grant<F: Fixture>() {
    let case = Case::<F>::open().await;
    let mut last = Fence::new(0);
    for round in 0..10 {
        let grant = case.granted(&reexecute(case.attempt(), 99)).await;
        assert!(grant.fence > last, "grant {round}: {:?} after {last:?}", grant.fence);
        assert!(grant.fence.get() < 1 << 53, "a fence must be exact as a JSON number");
        last = grant.fence;
        if round % 2 == 0 { drop(case.release(&grant).await) } else { case.lapse().await }
    }
}

/// Law 2: a fence is greater than the one that the caller has seen.
pub async fn a_high_water_lifts_the_fence<F: Fixture>() {
    let (case, seen) = Case::<F>::started().await;
    let high_water = Fence::new(seen.fence.get() + 60_000_000);
    let grant = case.granted(&on_a_fresh_key(&case, high_water)).await;
    assert!(grant.fence > high_water, "{:?} is not above the caller's high water {high_water:?}", grant.fence);
}

/// A high water more than an hour ahead comes from a broken clock and is not spread to other keys.
pub async fn a_high_water_far_ahead_is_not_spread<F: Fixture>() {
    let (case, seen) = Case::<F>::started().await;
    let high_water = Fence::new(seen.fence.get() + 2 * 60 * 60 * 1_000_000);
    let grant = case.granted(&on_a_fresh_key(&case, high_water)).await;
    assert!(grant.fence < high_water, "{:?} was lifted by a high water two hours ahead", grant.fence);
}

fn on_a_fresh_key<F: Fixture>(case: &Case<F>, high_water: Fence) -> Claim {
    let attempt = Attempt { key: fresh_key(), ..case.attempt() };
    Claim { high_water: Some(high_water), ..refuse(attempt) }
}

/// A record is judged by its own terms, never by those of whoever asks.
pub async fn the_record_keeps_its_terms<F: Fixture>() {
    let case = Case::<F>::open().await;
    let long = terms(LEASE * 10, RETENTION * 2);
    let grant = case.granted(&Claim { terms: long, ..refuse(case.attempt()) }).await;
    assert_eq!(grant.terms, long);
    case.advance(LEASE * 2).await;
    case.assert_in_flight("a challenger on shorter terms sees the record's lease").await;
    assert_eq!(case.renew(&Grant { terms: terms(LEASE, RETENTION), ..grant }).await, Renewed::Held);
    case.advance(LEASE * 2).await;
    case.assert_in_flight("a renewal uses the record's lease").await;
    assert_eq!(case.granted(&refuse(grant.attempt)).await.terms, long, "a re-asked claim is told the record's terms");
    case.advance(RETENTION + SLACK).await;
    case.assert_indeterminate(&grant, "the record's own retention counts").await;
}

/// Law 6: a rejected claim moves no deadline.
pub async fn a_rejected_claim_moves_no_deadline<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(LEASE / 2).await;
    case.assert_in_flight("half way").await;
    case.claim(&refuse(case.other_request())).await;
    case.advance(LEASE / 2).await;
    case.assert_indeterminate(&grant, "rejected claims do not extend a lease").await;
    case.advance(RETENTION - LEASE).await;
    case.acquire(&case.attempt()).await;
}

/// What happens to one key does not touch another.
pub async fn keys_are_independent<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    let other = case.acquire(&Attempt { key: fresh_key(), ..grant.attempt }).await;
    assert_eq!(case.complete(&other, "elsewhere").await, Recorded::Recorded);
    case.assert_in_flight("another key was completed").await;
    case.assert_holds(&grant, "another key was completed").await;
}
