//! What happened to each payment, as the test program saw it.
//!
//! Everything that is counted or judged later is derived from these records, so that a number in the report and the verdict
//! below it cannot disagree.

use std::time::Duration;

use uuid::Uuid;

use super::answer::{Advice, Answer, End, Meaning};
use super::plan::Plan;

/// One payment, from its first attempt to the question at the end.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Its number in the plan.
    pub(crate) number: u32,
    /// What the ledger calls it.
    pub(crate) reference: String,
    /// What was to be paid.
    pub(crate) amount: u64,
    /// Every request that was sent for it.
    pub(crate) exchanges: Vec<Exchange>,
    /// How it ended for the client.
    pub(crate) end: End,
}

/// One request and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The key that it carried.
    pub(crate) key: Uuid,
    /// In the storm, or when all was over.
    pub(crate) phase: Phase,
    /// It was the second click of a pair.
    pub(crate) second_click: bool,
    /// When the client began, counted from the start of the storm.
    pub(crate) sent: Duration,
    /// When the client had its answer, or was done with it.
    pub(crate) done: Duration,
    /// How it ended.
    pub(crate) fate: Fate,
    /// The answer, where a complete one arrived: also where the client's connection was cut and the client never learned of it.
    pub(crate) answer: Option<Answer>,
}

/// When an exchange took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// While the storm raged.
    Storm,
    /// Afterwards, when each payment is asked for once more.
    Recall,
}

impl Phase {
    /// What the progress line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Storm => "storm",
            Self::Recall => "replay",
        }
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The client has the answer.
    Answered,
    /// The connection was cut when the answer had begun to arrive.
    ReplyLost,
    /// The client left before the answer.
    Disconnected,
    /// No connection, so nothing was sent.
    NotConnected,
    /// The connection broke, and the client does not know what was done.
    Broken,
    /// The client waited long enough.
    TimedOut,
}

impl History {
    /// A payment that nobody has tried yet.
    pub(crate) fn planned(plan: &Plan, number: u32) -> Self {
        Self {
            number,
            reference: plan.reference(number),
            amount: Plan::amount(number),
            exchanges: Vec::new(),
            end: End::GaveUp,
        }
    }
}

impl Exchange {
    /// The answer as the client knows it: only one that reached it.
    pub(crate) fn heard(&self) -> Option<&Answer> {
        self.answer.as_ref().filter(|_| self.fate == Fate::Answered)
    }

    /// The answer as the test program knows it, where it settles the payment.
    pub(crate) fn settled(&self) -> Option<&Answer> {
        let settles = |answer: &&Answer| matches!(answer.advice(), Advice::Stop(_));
        self.answer.as_ref().filter(settles)
    }

    /// The answer as the test program knows it, where it is a payment.
    pub(crate) fn paid(&self) -> Option<&Answer> {
        self.answer.as_ref().filter(|answer| answer.meaning == Meaning::Paid)
    }

    /// From the first byte sent to the answer.
    pub(crate) fn took(&self) -> Duration {
        self.done.saturating_sub(self.sent)
    }
}

/// What a client makes of the one or two exchanges of an attempt: what settles the payment counts, and a payment counts most.
pub(crate) fn advice(exchanges: &[Exchange]) -> Advice {
    let heard = exchanges.iter().filter_map(Exchange::heard).map(Answer::advice);
    heard.fold(Advice::Retry(None), |sum, next| match (sum, next) {
        (Advice::Retry(one), Advice::Retry(other)) => Advice::Retry(one.max(other)),
        _ if weight(next) > weight(sum) => next,
        _ => sum,
    })
}

fn weight(advice: Advice) -> u8 {
    match advice {
        Advice::Retry(_) => 0,
        Advice::Stop(End::Paid) => 2,
        Advice::Stop(_) => 1,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    pub(crate) fn answer(status: u16, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/problem+json".parse().unwrap());
        let body = Bytes::from(body.to_owned());
        Answer::read(StatusCode::from_u16(status).unwrap(), &headers, body)
    }

    pub(crate) fn problem(name: &str) -> Answer {
        answer(409, &format!(r#"{{"type":"urn:problem/{name}"}}"#))
    }

    pub(crate) fn exchange(at: u64, fate: Fate, answer: Option<Answer>) -> Exchange {
        Exchange {
            key: Uuid::from_u128(1),
            phase: Phase::Storm,
            second_click: false,
            sent: Duration::from_millis(at),
            done: Duration::from_millis(at + 5),
            fate,
            answer,
        }
    }

    #[test]
    fn the_client_does_not_know_what_the_program_overheard() {
        let lost = exchange(0, Fate::ReplyLost, Some(answer(201, "{}")));
        assert!(lost.heard().is_none());
        assert!(lost.paid().is_some());
        assert_eq!(advice(&[lost]), Advice::Retry(None));
    }

    #[test]
    fn a_payment_outweighs_the_other_click() {
        let paid = exchange(0, Fate::Answered, Some(answer(201, "{}")));
        let flying = exchange(0, Fate::Answered, Some(problem("in-flight")));
        let unknown = exchange(0, Fate::Answered, Some(problem("indeterminate")));
        for pair in [[&paid, &flying], [&flying, &paid], [&unknown, &paid], [&paid, &unknown]] {
            assert_eq!(advice(&pair.map(Clone::clone)), Advice::Stop(End::Paid));
        }
        assert_eq!(advice(&[flying, unknown]), Advice::Stop(End::Indeterminate));
    }

    #[test]
    fn nothing_heard_is_asked_again() {
        assert_eq!(advice(&[exchange(0, Fate::Broken, None)]), Advice::Retry(None));
    }
}
