//! What an error says about a request that was not answered.

use std::error::Error;
use std::io;

use crate::downstream::DownstreamError;

/// What became of a request that ended in an error instead of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// There was no connection: nothing was sent. Another try may get through.
    NotSent,
    /// It may have been executed, be executed now, or be executed yet. Another try asks for the outcome.
    Unknown,
    /// Nothing was sent, and the same would happen again.
    Refused,
}

impl Failure {
    /// What can be told of any client's error: a refused connection is [`NotSent`](Failure::NotSent), a
    /// [`DownstreamError`] is [`Refused`](Failure::Refused), and everything else is [`Unknown`](Failure::Unknown), which
    /// is always safe to assume.
    ///
    /// A client knows more about its own errors: see [`RetryLayer::classify`](super::RetryLayer::classify).
    ///
    /// ```
    /// use std::io;
    /// use tower_idempotency::client::Failure;
    ///
    /// assert_eq!(Failure::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), Failure::NotSent);
    /// assert_eq!(Failure::of(&io::Error::from(io::ErrorKind::ConnectionReset)), Failure::Unknown);
    /// ```
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::Unknown;
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<DownstreamError>() {
                return Self::Refused;
            }
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                failure = Self::NotSent;
            }
            cause = error.source();
        }
        failure
    }
}
