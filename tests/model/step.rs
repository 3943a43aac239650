//! The steps by which one state follows another, and how they are told.

use std::fmt;

use crate::world::{Reply, Request, Which};

/// Something that can happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// An attempt does something that it decides itself, and sends what follows to this server.
    Attempt(u8, Move, Which),
    /// An attempt gets a reply.
    Receive(Reply),
    /// A request reaches its server.
    Deliver(Request),
    /// The replica has all writes up to the one that this reply waits for, and says so.
    Acknowledge(Reply),
    /// The replica, which has this many more writes than it has acknowledged, becomes master.
    FailOver(usize),
    /// The old master notices that it has no replica.
    NoticeLoss,
    /// As much time passes as a lease lasts.
    Lapse,
}

/// What an attempt does by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Move {
    /// Claims the key.
    Ask,
    /// Hears nothing in time, releases what it may have been granted, and answers 503.
    GiveUp,
    /// Sends its release again.
    ReleaseAgain,
    /// Makes its lease last longer.
    Renew,
    /// Knows that it has not run, and releases.
    Decline,
    /// Calls the downstream and completes with what that has answered.
    Act,
    /// Calls the downstream, does not hear from it, and completes with an error.
    ActAndFail,
    /// Calls the downstream, does not hear from it, and gives up without an answer.
    ActAndAbandon,
    /// Sends its completion again.
    CompleteAgain,
}

impl Move {
    pub(crate) fn is_repetition(self) -> bool {
        matches!(self, Self::ReleaseAgain | Self::CompleteAgain)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt(who, one, to) => write!(f, "{}: {one:?}, to {to:?}", name(*who)),
            Self::Receive(reply) => write!(f, "{} hears {:?}", name(reply.to.of), reply.news),
            Self::Deliver(Request { by, to, verb }) => write!(f, "{to:?} executes {verb:?} of {}", name(by.of)),
            Self::Acknowledge(reply) => write!(f, "the replica acknowledges the claim of {}", name(reply.to.of)),
            Self::FailOver(writes) => write!(f, "fail-over, with {writes} writes that were not acknowledged"),
            Self::NoticeLoss => f.write_str("First notices that it has no replica"),
            Self::Lapse => f.write_str("a lease's time passes"),
        }
    }
}

fn name(who: u8) -> char {
    char::from(b'A' + who)
}
