//! What happened how often, counted from the histories.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::answer::{Answer, End, Meaning};
use super::history::{Exchange, Fate, History, Phase};

/// What takes longer than an hour is shown as an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// The numbers of the report.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Payments that were planned.
    pub(crate) payments: u64,
    /// Requests that were sent for them in the storm.
    pub(crate) requests: u64,
    /// Attempts after the first of each payment, in the storm.
    pub(crate) retries: u64,
    /// Second clicks.
    pub(crate) double_clicks: u64,
    /// Clients that left before the answer.
    pub(crate) disconnects: u64,
    /// Answers that were cut off.
    pub(crate) lost_replies: u64,
    /// Connections that the server did not accept, or that broke.
    pub(crate) broken: u64,
    /// Answers that did not come in time.
    pub(crate) timeouts: u64,
    /// 201 that were no replay: the handler ran.
    pub(crate) executed: u64,
    /// Answers that said they were replays, in the storm.
    pub(crate) replayed: u64,
    /// 409 `in-flight`.
    pub(crate) in_flight: u64,
    /// 422 `key-reused`.
    pub(crate) mismatches: u64,
    /// Answers that said "later": 5xx, 429 and the like.
    pub(crate) unavailable: u64,
    /// Answers that said they could not be recorded.
    pub(crate) unrecorded: u64,
    /// Payments that ended with a 201, and how many of them were asked for once more with the same answer, marked as a replay.
    pub(crate) paid: Recalled,
    /// Payments that ended with a 402.
    pub(crate) declined: u64,
    /// Payments that nobody knows about.
    pub(crate) indeterminate: u64,
    /// Payments that ended with any other answer.
    pub(crate) refused: u64,
    /// Payments whose client gave up.
    pub(crate) gave_up: u64,
    /// Of those, the ones that nobody got round to before the deadline.
    pub(crate) never_tried: u64,
    /// How long first runs took.
    pub(crate) first_runs: Latency,
    /// How long replays took.
    pub(crate) replays: Latency,
}

/// Payments with a 201, and what asking again gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// All of them.
    pub(crate) all: u64,
    /// Those that were answered by a replay when they were asked for once more.
    pub(crate) by_replay: u64,
}

impl Tally {
    /// Counts.
    pub(crate) fn of(histories: &[History]) -> Self {
        let mut tally = Self { payments: histories.len() as u64, ..Self::default() };
        for history in histories {
            tally.count_end(history);
            tally.retries += retries(history);
            for exchange in &history.exchanges {
                tally.count_latency(exchange);
                if exchange.phase == Phase::Storm {
                    tally.count_exchange(exchange);
                }
            }
        }
        tally
    }

    fn count_end(&mut self, history: &History) {
        match history.end {
            End::Paid => {
                self.paid.all += 1;
                self.paid.by_replay += u64::from(history.exchanges.iter().any(is_recall_by_replay));
            }
            End::Declined => self.declined += 1,
            End::Indeterminate => self.indeterminate += 1,
            End::Refused => self.refused += 1,
            End::GaveUp => {
                self.gave_up += 1;
                self.never_tried += u64::from(history.exchanges.is_empty());
            }
        }
    }

    fn count_exchange(&mut self, exchange: &Exchange) {
        self.requests += 1;
        self.double_clicks += u64::from(exchange.second_click);
        match exchange.fate {
            Fate::Answered => {}
            Fate::ReplyLost => self.lost_replies += 1,
            Fate::Disconnected => self.disconnects += 1,
            Fate::NotConnected | Fate::Broken => self.broken += 1,
            Fate::TimedOut => self.timeouts += 1,
        }
        if let Some(answer) = &exchange.answer {
            self.count_answer(answer);
        }
    }

    fn count_answer(&mut self, answer: &Answer) {
        self.replayed += u64::from(answer.replayed);
        self.unrecorded += u64::from(answer.unrecorded);
        match answer.meaning {
            Meaning::Paid => self.executed += u64::from(!answer.replayed),
            Meaning::InFlight => self.in_flight += 1,
            Meaning::Mismatch => self.mismatches += 1,
            Meaning::Unavailable => self.unavailable += 1,
            Meaning::Declined | Meaning::Indeterminate | Meaning::Refused => {}
        }
    }

    fn count_latency(&mut self, exchange: &Exchange) {
        match exchange.paid() {
            Some(answer) if answer.replayed => self.replays.record(exchange.took()),
            Some(_) => self.first_runs.record(exchange.took()),
            None => {}
        }
    }
}

fn is_recall_by_replay(exchange: &Exchange) -> bool {
    exchange.phase == Phase::Recall && exchange.paid().is_some_and(|answer| answer.replayed)
}

fn retries(history: &History) -> u64 {
    let attempts = history.exchanges.iter().filter(|e| e.phase == Phase::Storm && !e.second_click);
    (attempts.count() as u64).saturating_sub(1)
}

/// Durations, by percentile.
#[derive(Debug)]
pub(crate) struct Latency(Option<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Self {
        // These bounds are always accepted; if they were not, the report would lack its latencies, and the verdict stands.
        Self(Histogram::new_with_bounds(1, LONGEST_MICROS, 3).ok())
    }
}

impl Latency {
    fn record(&mut self, took: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// How many were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The duration that this share of them stays below; 1.0 for the longest.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.as_ref().map_or(0, |histogram| histogram.value_at_quantile(share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::history::tests::{answer, exchange, problem};

    fn history(end: End, exchanges: Vec<Exchange>) -> History {
        History { number: 1, reference: "storm-1-1".to_owned(), amount: 1_000, exchanges, end }
    }

    #[test]
    fn counts_a_payment_with_its_weather() {
        let replay = Answer { replayed: true, ..answer(201, "{}") };
        let tally = Tally::of(&[history(
            End::Paid,
            vec![
                exchange(0, Fate::Disconnected, None),
                exchange(10, Fate::Answered, Some(problem("in-flight"))),
                exchange(20, Fate::ReplyLost, Some(answer(201, "{}"))),
                Exchange { second_click: true, ..exchange(20, Fate::Answered, Some(replay.clone())) },
                Exchange { phase: Phase::Recall, ..exchange(30, Fate::Answered, Some(replay)) },
            ],
        )]);
        assert_eq!((tally.payments, tally.requests, tally.retries), (1, 4, 2));
        assert_eq!((tally.disconnects, tally.lost_replies, tally.double_clicks), (1, 1, 1));
        assert_eq!((tally.executed, tally.replayed, tally.in_flight), (1, 1, 1));
        assert_eq!(tally.paid, Recalled { all: 1, by_replay: 1 });
        assert_eq!((tally.first_runs.count(), tally.replays.count()), (1, 2));
    }

    #[test]
    fn counts_every_end() {
        let ends = [End::Declined, End::Indeterminate, End::Refused, End::GaveUp];
        let tally = Tally::of(&ends.map(|end| history(end, Vec::new())));
        assert_eq!((tally.declined, tally.indeterminate, tally.refused), (1, 1, 1));
        assert_eq!((tally.gave_up, tally.never_tried), (1, 4 - 3));
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut latency = Latency::default();
        for millis in 1..=100 {
            latency.record(Duration::from_millis(millis));
        }
        let p50 = latency.quantile(0.5).as_millis();
        assert!((49..=51).contains(&p50), "{p50}");
        assert!(latency.quantile(1.0) >= Duration::from_millis(100));
    }
}
