//! How a call ends without an answer, and what its caller may conclude from that.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::BoxError;
use super::key::{RequestKey, RequestKeyError};
use super::policy::Course;

/// A call that ended without a final answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was tried, and given up. [`GaveUp::outcome`] tells whether it may have been executed.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// No key could be made. Nothing was sent.
    #[error("there is no key for the call")]
    Key(#[from] RequestKeyError),
    /// The request has an `Idempotency-Key` that is none, or another than its extensions say. Nothing was sent; decide
    /// which of them it is.
    #[error("the request's Idempotency-Key field is malformed, or not the key in its extensions")]
    KeyConflict,
    /// The body is a stream, which cannot be sent twice. Nothing was sent; give it as bytes.
    #[error("the request's body cannot be sent again")]
    NotRepeatable,
    /// The client failed by itself: it did not get ready, or the request has no key and is none of this layer's business.
    #[error(transparent)]
    Client(BoxError),
}

/// A call that was given up: its key, what was seen last, and whether it may have been executed.
///
/// **Keep the key.** While the [outcome](GaveUp::outcome) is [`Unknown`](Outcome::Unknown), the same request under the
/// same key is the only way to learn it that cannot repeat it. `Debug` does not show the key.
pub struct GaveUp(Box<Inner>);

struct Inner {
    key: RequestKey,
    outcome: Outcome,
    reason: Reason,
    tries: u32,
    last_status: Option<StatusCode>,
    ask_again_after: Option<Duration>,
    source: Option<BoxError>,
}

/// Whether a call that was given up may have been executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No try ever reached the server: nothing was executed by this call.
    NotSent,
    /// It may have been executed, or be executed yet. Ask again later, with the same request and the same key.
    Unknown,
}

/// Why a call was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// [As many tries as are allowed](super::RetryPolicy::max_tries) failed.
    Tries,
    /// The next try would have come after the [deadline](super::RetryPolicy::deadline) of the call.
    Deadline,
    /// All calls of the client together retried too much: the [budget](super::RetryBudget) is empty.
    Budget,
    /// The server asked for [more patience](super::RetryPolicy::longest_retry_after) than there is.
    RetryAfter,
    /// The client refused to send the request, and would do so again: see [`Failure::Refused`](super::Failure::Refused).
    Refused,
}

impl GaveUp {
    pub(super) fn new(key: RequestKey, course: &Course, reason: Reason, source: Option<BoxError>) -> Self {
        Self(Box::new(Inner {
            key,
            outcome: if course.may_have_run { Outcome::Unknown } else { Outcome::NotSent },
            reason,
            tries: course.tries,
            last_status: course.last.map(|answer| answer.status),
            ask_again_after: course.last.and_then(|answer| answer.retry_after),
            source,
        }))
    }

    /// The key to ask again under.
    pub fn key(&self) -> &RequestKey {
        &self.0.key
    }

    /// Whether it may have been executed.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Why it was given up.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// How many tries there were.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// The status of the last try's answer; `None` if it had none, and then the error's source says why.
    pub fn last_status(&self) -> Option<StatusCode> {
        self.0.last_status
    }

    /// What the last answer asked to wait before the next try.
    pub fn ask_again_after(&self) -> Option<Duration> {
        self.0.ask_again_after
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason() {
            Reason::Tries => "all tries failed",
            Reason::Deadline => "the deadline of the call is too near",
            Reason::Budget => "the client's retries are used up",
            Reason::RetryAfter => "the server asked for more patience than there is",
            Reason::Refused => "the request was not sent",
        };
        let outcome = match self.outcome() {
            Outcome::NotSent => "nothing was executed",
            Outcome::Unknown => "it may have been executed: keep the key and ask again later",
        };
        write!(f, "gave up after {} tries, because {why}; {outcome}", self.tries())
    }
}

impl fmt::Debug for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GaveUp")
            .field("key", self.key())
            .field("outcome", &self.outcome())
            .field("reason", &self.reason())
            .field("tries", &self.tries())
            .field("last_status", &self.last_status())
            .field("ask_again_after", &self.ask_again_after())
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for GaveUp {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
