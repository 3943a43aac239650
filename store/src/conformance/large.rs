//! Laws of answers so large that a store may record them in a way of their own. The answers of the other laws are short.

use bytes::Bytes;
use std::time::Duration;

use super::Fixture;
use super::case::{Case, RETENTION, SLACK, forgeries, reexecute, terms};
use crate::{Answer, Checkpointed, Completion, Grant, Loss, Recorded, Retention};

/// From the smallest that may be called large to one that is.
const SIZES: [usize; 3] = [2 << 10, 5000, 64 << 10];

fn large(byte: u8, size: usize) -> Answer {
    Answer::Kept(Bytes::from(vec![byte; size]))
}

impl<F: Fixture> Case<F> {
    async fn expect(&self, answer: &Answer, law: &str) {
        let replayed = self.replayed().await.answer;
        assert!(replayed == *answer, "{law}: another answer came back: {replayed:?}");
    }

    async fn record_large(&self, grant: &Grant, size: usize, law: &str) {
        let answer = large(b'a', size);
        assert_eq!(self.record(grant, &answer).await, Recorded::Recorded, "{law}, {size} bytes");
        self.expect(&answer, law).await;
    }
}

/// In flight, complete: recorded, with the time and the fence of its owner, whether the answer is kept or is a note.
pub async fn a_large_answer_is_recorded<F: Fixture>() {
    for size in SIZES {
        let (case, grant) = Case::<F>::started().await;
        case.record_large(&grant, size, "in flight").await;
        assert_eq!(case.replayed().await.fence, grant.fence);
        let (case, grant) = Case::<F>::started().await;
        let note = Answer::NotKept(Bytes::from(vec![b'n'; size]));
        assert_eq!(case.record(&grant, &note).await, Recorded::Recorded);
        case.expect(&note, "a note").await;
    }
}

/// Lapsed or marked indeterminate, complete: recorded.
pub async fn a_late_large_answer_is_recorded<F: Fixture>() {
    for size in SIZES {
        let (case, grant) = Case::<F>::started().await;
        case.lapse().await;
        case.record_large(&grant, size, "past the deadline").await;
        let (case, grant) = Case::<F>::abandoned().await;
        case.record_large(&grant, size, "abandoned").await;
    }
}

/// In flight with a checkpoint, complete: recorded, for the owner that wrote it and for one that took over.
pub async fn a_large_answer_follows_a_checkpoint<F: Fixture>() {
    for size in SIZES {
        let (case, grant) = Case::<F>::started().await;
        assert_eq!(case.note(&grant, "half done").await, Checkpointed::Held);
        case.record_large(&grant, size, "after a checkpoint").await;
        let (case, grant) = Case::<F>::started().await;
        assert_eq!(case.note(&grant, "half done").await, Checkpointed::Held);
        case.lapse().await;
        let new = case.granted(&reexecute(case.attempt(), 9)).await;
        case.record_large(&new, size, "taken over with a checkpoint").await;
    }
}

/// Completed, complete of the same grant: recorded, and the first answer stays, whatever the sizes.
pub async fn completing_again_keeps_the_first_large_answer<F: Fixture>() {
    let (case, grant) = Case::<F>::started().await;
    case.record_large(&grant, 64 << 10, "the first").await;
    for size in SIZES.into_iter().chain([1]) {
        assert_eq!(case.record(&grant, &large(b'b', size)).await, Recorded::Recorded);
        case.expect(&large(b'a', 64 << 10), "completing is idempotent per owner").await;
    }
}

/// In flight, complete of another owner or fence: lost, and nothing changes.
pub async fn a_large_answer_needs_owner_and_fence<F: Fixture>() {
    for size in SIZES {
        let (case, grant) = Case::<F>::started().await;
        for (what, forged) in forgeries(&grant) {
            let recorded = case.record(&forged, &large(b'f', size)).await;
            assert!(matches!(recorded, Recorded::Lost(Loss::InFlight { .. })), "{what} completed it: {recorded:?}");
        }
        case.assert_holds(&grant, "after lost completions").await;
        case.record_large(&grant, size, "its owner").await;
    }
}

/// Taken over, complete of the earlier owner: lost, before the new one has completed and after.
pub async fn a_large_answer_of_a_superseded_owner_is_lost<F: Fixture>() {
    for size in SIZES {
        let (case, old, new) = Case::<F>::taken_over().await;
        let recorded = case.record(&old, &large(b'o', size)).await;
        assert!(matches!(recorded, Recorded::Lost(Loss::InFlight { .. })), "{recorded:?}");
        case.record_large(&new, size, "the winner").await;
        match case.record(&old, &large(b'o', size)).await {
            Recorded::Lost(Loss::Completed(completed)) => assert!(completed.answer == large(b'a', size)),
            other => panic!("a superseded owner must be told the winner's answer, but was told {other:?}"),
        }
        case.expect(&large(b'a', size), "after a superseded owner").await;
    }
}

/// Released, complete: lost.
pub async fn a_large_answer_of_a_released_key_is_lost<F: Fixture>() {
    for size in SIZES {
        let (case, grant) = Case::<F>::released().await;
        assert_eq!(case.record(&grant, &large(b'l', size)).await, Recorded::Lost(Loss::Released));
        case.acquire(&case.attempt()).await;
    }
}

/// Absent, complete: written again if its grant is young, and else lost.
pub async fn a_large_answer_recreates_a_lost_record<F: Fixture>() {
    for size in SIZES {
        let case = Case::<F>::open().await;
        let grant = case.forgotten().await;
        let again = case.record(&grant, &large(b'a', size)).await;
        // A store that asks again by itself, because a reply was lost, finds what it has just written.
        assert!(matches!(again, Recorded::Recreated | Recorded::Recorded), "an answer was thrown away: {again:?}");
        case.expect(&large(b'a', size), "written again").await;
        let case = Case::<F>::open().await;
        let grant = case.forgotten_long_ago().await;
        assert_eq!(case.record(&grant, &large(b'a', size)).await, Recorded::Lost(Loss::Absent));
        case.acquire(&case.attempt()).await;
    }
}

/// Completed with a retention of its own or without: the answer is kept for so long from its recording on.
pub async fn a_large_answer_is_kept_for_its_retention<F: Fixture>() {
    const LESS: Duration = Duration::from_secs(100);
    for retention in [None, Some(LESS), Some(RETENTION * 2)] {
        let (case, grant) = Case::<F>::started().await;
        case.advance(RETENTION / 2).await;
        let own = retention.map(|retention| Retention::new(retention).expect("a valid retention"));
        let completion = Completion { answer: large(b'a', 5000), retention: own };
        assert_eq!(case.record_for(&grant, &completion).await, Recorded::Recorded);
        case.advance(retention.unwrap_or(RETENTION) - SLACK).await;
        case.expect(&completion.answer, "within its retention").await;
        case.advance(SLACK).await;
        assert_eq!(case.inspect().await, None, "its retention is over");
    }
}

/// Completed by an owner that believes in other terms, with an answer of any size: those of the record stay.
pub async fn an_answer_keeps_the_terms_of_the_record<F: Fixture>() {
    for size in SIZES.into_iter().chain([1]) {
        let (case, grant) = Case::<F>::started().await;
        let believed = Grant { terms: terms(Duration::from_secs(1), RETENTION * 3), number: 7, ..grant };
        assert_eq!(case.record(&believed, &large(b'a', size)).await, Recorded::Recorded);
        let entry = case.inspect().await.expect("it was recorded");
        assert_eq!((entry.record.terms, entry.record.attempts), (grant.terms, grant.number), "{size} bytes");
        case.expect(&large(b'a', size), "its answer").await;
    }
}
