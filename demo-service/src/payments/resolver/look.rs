//! The decision: what follows from what the bank says. Pure; the clocks are inputs.

use std::time::Duration;

use crate::bank::charge::VOID_AFTER;
use crate::bank::client::{CallError, Found};
use crate::payments::charging::{MARGIN, millis};

/// When to ask again a bank that does not answer.
const ANOTHER_TRY: Duration = Duration::from_secs(2);
/// A client is not told to come back sooner than this.
const SOON: Duration = Duration::from_secs(1);
/// Nor later than this: the bank may answer by then, or show the transfer.
pub(super) const LATER: Duration = Duration::from_secs(60);

/// What was known of an abandoned attempt just before the bank was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// When that was: milliseconds since the Unix epoch, by this process's wall clock.
    pub(super) at: u64,
    /// How long the attempt had been silent, by the store's clock. It claimed no later than that long ago.
    pub(super) quiet_for: Duration,
    /// The lease that it claimed.
    pub(super) lease: Duration,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conclusion<T> {
    /// The bank executed it.
    Executed(T),
    /// The bank did not and never will.
    NotExecuted,
    /// It may still come, or nobody could be asked.
    Unknown {
        /// When asking again makes sense.
        retry_after: Duration,
    },
}

impl Look {
    /// What follows from the bank's answer to a question that was asked **after** this look.
    pub(super) fn conclude<T>(&self, answer: Result<Found<T>, CallError>) -> Conclusion<T> {
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the bank does not answer what became of an abandoned request");
                return Conclusion::Unknown { retry_after: ANOTHER_TRY };
            }
        };
        let open_for = self.open_for(found.as_of);
        match found.records.into_iter().next() {
            Some(record) => Conclusion::Executed(record),
            None if open_for.is_zero() => Conclusion::NotExecuted,
            None => Conclusion::Unknown { retry_after: open_for.clamp(SOON, LATER) },
        }
    }

    /// For how long yet something of the attempt may reach the ledger, as the bank's clock shows `as_of`.
    fn open_for(&self, as_of: u64) -> Duration {
        let needed = self.lease + VOID_AFTER + MARGIN;
        let by_store = needed.saturating_sub(self.quiet_for);
        // The claim, on our wall clock, was no later than this; and from then on it takes as long on the bank's.
        let claimed = self.at.saturating_sub(millis(self.quiet_for));
        let void_from = claimed.saturating_add(millis(needed));
        let by_bank = Duration::from_millis(void_from.saturating_sub(as_of));
        by_store.max(by_bank)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::problem::Problem;

    const LEASE: Duration = Duration::from_secs(3);
    /// Whatever the attempt has sent is void after this much silence.
    const NEEDED: Duration = LEASE.saturating_add(VOID_AFTER).saturating_add(MARGIN);
    const NOW: u64 = 1_800_000_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    /// A look at an attempt that has been silent so many milliseconds longer than needed, or shorter.
    fn look(longer: i64) -> Look {
        let quiet_for = Duration::from_millis(millis(NEEDED).saturating_add_signed(longer));
        Look { at: NOW, quiet_for, lease: LEASE }
    }

    /// What follows when the bank shows nothing, and its clock is so many milliseconds ahead of ours, or behind it.
    fn nothing_shown(look: &Look, ahead: i64) -> Conclusion<&'static str> {
        look.conclude(Ok(Found { records: Vec::new(), as_of: look.at.saturating_add_signed(ahead) }))
    }

    fn unknown(retry_after: Duration) -> Conclusion<&'static str> {
        Conclusion::Unknown { retry_after }
    }

    #[test]
    fn what_the_bank_shows_was_executed_however_early_it_is() {
        for (longer, as_of) in [(i64::MIN, NOW), (0, NOW), (1_000_000, 0)] {
            let found = Ok(Found { records: vec!["ch_2", "ch_1"], as_of });
            assert_eq!(look(longer).conclude(found), Conclusion::Executed("ch_2"));
        }
    }

    #[test]
    fn nothing_was_executed_only_once_nothing_can_come() {
        let cases = [
            // silent for longer than needed, the bank's clock ahead of ours, conclusion
            (i64::MIN, 0, unknown(NEEDED)),
            (-8_000, 0, unknown(SECOND * 8)),
            (-2_000, 0, unknown(MARGIN)),
            (-1, 0, unknown(SECOND)),
            (0, 0, Conclusion::NotExecuted),
            (0, 250, Conclusion::NotExecuted),
            (3_600_000, 0, Conclusion::NotExecuted),
            // A bank that is ahead does not make it any earlier,
            (-3_000, 3_600_000, unknown(SECOND * 3)),
            // and one that is behind has not come to that moment.
            (0, -1, unknown(SECOND)),
            (0, -5_000, unknown(SECOND * 5)),
            (5_000, -5_000, Conclusion::NotExecuted),
            (0, -3_600_000, unknown(LATER)),
        ];
        for (longer, ahead, expected) in cases {
            assert_eq!(nothing_shown(&look(longer), ahead), expected, "{longer} ms, {ahead} ms");
        }
    }

    #[test]
    fn what_is_needed_is_the_lease_the_slowest_charge_and_the_margin() {
        assert_eq!(NEEDED, LEASE + VOID_AFTER + MARGIN);
        assert!(VOID_AFTER > crate::bank::card::SLOWEST);
    }

    #[test]
    fn a_bank_that_does_not_answer_leaves_it_open_for_ever() {
        let refused = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger-broken", "No").not_executed();
        for error in [CallError::Unclear(StatusCode::BAD_GATEWAY), CallError::Refused(refused)] {
            assert_eq!(look(3_600_000).conclude::<&str>(Err(error)), unknown(ANOTHER_TRY));
        }
    }

    #[test]
    fn a_wait_is_never_below_a_second_nor_above_a_minute() {
        let long = Look { lease: Duration::from_secs(600), ..look(0) };
        assert_eq!(nothing_shown(&long, 0), unknown(LATER));
        assert_eq!(nothing_shown(&look(-1), 0), unknown(SOON));
    }

    #[test]
    fn clocks_at_their_ends_make_nothing_certain_too_early() {
        let first = Look { at: 0, ..look(-1) };
        assert_eq!(nothing_shown(&first, i64::MAX), unknown(SOON));
        let last = Look { at: u64::MAX, ..look(i64::MIN) };
        assert_eq!(nothing_shown(&last, 0), unknown(NEEDED));
    }
}
