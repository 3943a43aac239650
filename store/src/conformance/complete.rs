//! Laws of [`Store::complete`](crate::Store::complete).

use bytes::Bytes;

use super::Fixture;
use std::time::Duration;

use super::case::{Case, RETENTION, SLACK, answer, forgeries, kept_for, refuse, terms};
use crate::{Answer, Claim, Grant, Loss, Recorded, Renewed};

/// In flight, complete: recorded, for everybody.
pub async fn complete_records_the_answer<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    assert_eq!(case.complete(&grant, "answer").await, Recorded::Recorded);
    let completed = case.replayed().await;
    assert_eq!((completed.answer, completed.fence), (answer("answer"), grant.fence));
}

/// Lapsed, complete: recorded, as long as nobody took over. The end of a lease does not undo the work.
pub async fn complete_past_the_deadline_is_recorded<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.lapse().await;
    case.assert_indeterminate(&grant, "past the deadline").await;
    assert_eq!(case.complete(&grant, "late").await, Recorded::Recorded);
    assert_eq!(case.replayed().await.answer, answer("late"));
}

/// Marked indeterminate, complete: recorded. Now somebody knows.
pub async fn complete_of_an_abandoned_key_is_recorded<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    assert_eq!(case.complete(&grant, "late").await, Recorded::Recorded);
    assert_eq!(case.replayed().await.answer, answer("late"));
}

/// Completed, complete of the same grant: recorded, and the first answer stays.
pub async fn completing_again_keeps_the_first_answer<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    let first = case.replayed().await;
    for text in ["answer", "another"] {
        assert_eq!(case.complete(&grant, text).await, Recorded::Recorded, "completing is idempotent per owner");
        assert_eq!(case.replayed().await, first, "an answer that was replayed once must never change");
    }
}

/// In flight, complete of another owner or fence: lost, and nothing changes.
pub async fn complete_needs_owner_and_fence<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    for (what, forged) in forgeries(&grant) {
        let recorded = case.complete(&forged, "forged").await;
        assert!(matches!(recorded, Recorded::Lost(Loss::InFlight { .. })), "{what} completed the key: {recorded:?}");
    }
    case.assert_holds(&grant, "after lost completions").await;
    case.lapse().await;
    for (what, forged) in forgeries(&grant) {
        let recorded = case.complete(&forged, "forged").await;
        assert_eq!(recorded, Recorded::Lost(Loss::Indeterminate), "{what}, past the deadline");
    }
    case.assert_indeterminate(&grant, "after lost completions").await;
}

/// Marked indeterminate, complete of another owner or fence: lost.
pub async fn complete_of_another_owners_abandoned_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::abandoned().await;
    for (what, forged) in forgeries(&grant) {
        assert_eq!(case.complete(&forged, "forged").await, Recorded::Lost(Loss::Indeterminate), "{what}");
    }
    case.assert_indeterminate(&grant, "after lost completions").await;
}

/// Taken over, complete of the old owner: lost, before and after the new one completes, then with the winner's answer.
pub async fn a_superseded_owner_gets_the_winners_answer<F: Fixture>() {
    let (case, old, new) = Case::<F>::taken_over().await;
    let early = case.complete(&old, "old").await;
    assert!(matches!(early, Recorded::Lost(Loss::InFlight { .. })), "a superseded owner completed: {early:?}");
    assert_eq!(case.complete(&new, "new").await, Recorded::Recorded);
    match case.complete(&old, "old").await {
        Recorded::Lost(Loss::Completed(winner)) => {
            assert_eq!(
                (winner.answer, winner.fence),
                (answer("new"), new.fence),
                "the loser is told the winner's answer"
            );
        }
        other => panic!("a superseded owner must be told the winner's answer, but the store answered {other:?}"),
    }
    assert_eq!(case.replayed().await.answer, answer("new"));
}

/// Completed, complete of another owner or fence: lost, with the answer.
pub async fn complete_of_another_owners_completed_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    for (what, forged) in forgeries(&grant) {
        let recorded = case.complete(&forged, "forged").await;
        assert!(matches!(recorded, Recorded::Lost(Loss::Completed(_))), "{what}: {recorded:?}");
    }
    assert_eq!(case.replayed().await.answer, answer("answer"));
}

/// Released, complete: lost. The key may be another attempt's by now.
pub async fn complete_of_a_released_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::released().await;
    assert_eq!(case.complete(&grant, "late").await, Recorded::Lost(Loss::Released));
    case.acquire(&case.attempt()).await;
}

/// Another request's key, complete: lost, without that request's answer.
pub async fn complete_of_another_requests_key_is_lost<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    let theirs = Grant { attempt: case.other_request(), ..grant };
    assert_eq!(case.complete(&theirs, "theirs").await, Recorded::Lost(Loss::Mismatch));
    assert_eq!(case.replayed().await.answer, answer("answer"));
}

/// Absent, complete of a young grant: written again, and said so. The store lost the record.
pub async fn complete_recreates_a_lost_record<F: Fixture>() {
    let case = Case::<F>::open().await;
    let grant = case.forgotten().await;
    assert_eq!(case.complete(&grant, "answer").await, Recorded::Recreated);
    let completed = case.replayed().await;
    assert_eq!((completed.answer, completed.fence), (answer("answer"), grant.fence));
    assert_eq!(case.complete(&grant, "answer").await, Recorded::Recorded, "asked again, it is there");
}

/// Absent, complete of a grant older than its retention: lost.
pub async fn complete_does_not_recreate_an_expired_record<F: Fixture>() {
    let case = Case::<F>::open().await;
    let grant = case.forgotten_long_ago().await;
    assert_eq!(case.complete(&grant, "late").await, Recorded::Lost(Loss::Absent));
    case.acquire(&case.attempt()).await;
}

/// A completed attempt holds no lease any more.
pub async fn complete_ends_the_lease<F: Fixture>() {
    let (case, grant) = Case::<F>::completed().await;
    let renewed = case.renew(&grant).await;
    assert!(matches!(renewed, Renewed::Lost(Loss::Completed(_))), "a completed attempt renewed: {renewed:?}");
}

/// Answers are bytes: none, any, and a megabyte of them.
pub async fn answers_are_kept_byte_for_byte<F: Fixture>() {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let megabyte: Vec<u8> = every_byte.iter().rev().copied().cycle().take(1 << 20).collect();
    for bytes in [Bytes::new(), every_byte.into(), megabyte.into()] {
        for kept in [Answer::Kept(bytes.clone()), Answer::NotKept(bytes.slice(..bytes.len().min(100)))] {
            let (case, grant) = Case::<F>::started().await;
            assert_eq!(case.record(&grant, &kept).await, Recorded::Recorded);
            let replayed = case.replayed().await.answer;
            assert!(replayed == kept, "{kept:?} came back as {replayed:?}, or with other bytes");
        }
    }
}

/// Completed with a retention of its own: the answer is kept for less than its key would be remembered. Also for less than
/// two leases, because nobody runs any more.
pub async fn an_answer_may_be_kept_for_less<F: Fixture>() {
    const LESS: Duration = Duration::from_secs(60);
    let case = Case::<F>::open().await;
    let claim = Claim { terms: terms(Duration::from_secs(50), RETENTION), ..refuse(case.attempt()) };
    let grant = case.granted(&claim).await;
    assert_eq!(case.record_for(&grant, &kept_for(LESS, "answer")).await, Recorded::Recorded);
    lasts(&case, LESS).await;
    let again = case.granted(&Claim { attempt: case.attempt(), ..claim }).await;
    assert_eq!(again.terms, claim.terms, "the next claim is granted on its own terms");
}

/// The same for longer, and counted from the recording.
pub async fn an_answer_may_be_kept_for_longer<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.advance(RETENTION / 2).await;
    assert_eq!(case.record_for(&grant, &kept_for(RETENTION * 2, "answer")).await, Recorded::Recorded);
    lasts(&case, RETENTION * 2).await;
}

/// Marked indeterminate or lost by the store, complete with a retention of its own: it counts there too.
pub async fn a_late_answer_may_be_kept_for_less<F: Fixture>() {
    const LESS: Duration = Duration::from_secs(100);
    let (case, grant) = Case::<F>::abandoned().await;
    assert_eq!(case.record_for(&grant, &kept_for(LESS, "answer")).await, Recorded::Recorded);
    lasts(&case, LESS).await;
    let case = Case::<F>::open().await;
    let grant = case.forgotten().await;
    let again = case.record_for(&grant, &kept_for(LESS, "answer")).await;
    assert!(matches!(again, Recorded::Recreated | Recorded::Recorded), "an answer was thrown away: {again:?}");
    lasts(&case, LESS).await;
}

/// Fails unless the answer is replayed for so long, and the key is absent then.
async fn lasts<F: Fixture>(case: &Case<F>, retention: Duration) {
    case.advance(retention - SLACK).await;
    assert_eq!(case.replayed().await.answer, answer("answer"), "within its retention");
    case.advance(SLACK).await;
    assert_eq!(case.inspect().await, None, "its retention is over");
}

/// Completed, complete of the same grant with another retention: recorded, and the first retention stays too.
pub async fn completing_again_keeps_the_first_retention<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    let short = Duration::from_secs(100);
    assert_eq!(case.record_for(&grant, &kept_for(short, "answer")).await, Recorded::Recorded);
    for retention in [RETENTION, RETENTION * 2] {
        assert_eq!(case.record_for(&grant, &kept_for(retention, "another")).await, Recorded::Recorded);
    }
    lasts(&case, short).await;
}

/// Completed and expired, complete of a grant that is younger than its retention: written again. Whether a lost record
/// may be does not depend on how long its answer was to be kept: an answer that is known is not thrown away.
pub async fn a_short_answer_may_be_completed_again<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    let short = kept_for(Duration::from_secs(60), "answer");
    assert_eq!(case.record_for(&grant, &short).await, Recorded::Recorded);
    case.advance(Duration::from_secs(60)).await;
    let again = case.record_for(&grant, &short).await;
    // A store that asks again by itself, because a reply was lost, finds what it has just written.
    assert!(matches!(again, Recorded::Recreated | Recorded::Recorded), "an answer was thrown away: {again:?}");
    assert_eq!(case.replayed().await.answer, answer("answer"));
}
