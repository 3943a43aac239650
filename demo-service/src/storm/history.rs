//! What happened to each payment, as the test program saw it.
//!
//! Everything that is counted or judged later is derived from these records, so that a number in the report and the verdict
//! below it cannot disagree.

use std::time::Duration;

use super::answer::{Answer, End, Meaning};
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
    pub(crate) key: String,
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
        self.answer.as_ref().filter(|answer| answer.settles())
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

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use http::Response;

    use super::*;

    pub(crate) fn answer(status: u16, body: &str) -> Answer {
        let response = Response::builder().status(status).header("content-type", "application/problem+json");
        Answer::read(&response.body(Bytes::from(body.to_owned())).unwrap())
    }

    pub(crate) fn problem(name: &str) -> Answer {
        answer(409, &format!(r#"{{"type":"urn:problem/{name}"}}"#))
    }

    pub(crate) fn exchange(at: u64, fate: Fate, answer: Option<Answer>) -> Exchange {
        Exchange {
            key: "key-1".to_owned(),
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
    }
}
