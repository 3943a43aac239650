//! Replies, reduced to what a store and the model must agree on.

use std::time::Duration;

use crate::{
    Abandoned, Answer, Checkpoint, Checkpointed, Claimed, Completed, Fence, Loss, Recorded, Released, Renewed,
    Resolved, Terms,
};

/// A reply. Fences are replaced by which grant of the key they belong to, and what is left of a lease by a rough figure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    Acquired {
        grant: Option<usize>,
        number: u32,
        terms: Terms,
        checkpoint: Option<Checkpoint>,
    },
    InFlight {
        tens_of_seconds: u128,
    },
    Completed {
        grant: Option<usize>,
        answer: Answer,
    },
    Indeterminate {
        grant: Option<usize>,
        attempts: u32,
    },
    Lost(Box<Said>),
    /// A reply that says nothing but its name.
    Plain(&'static str),
}

impl Said {
    /// The reply's name, for counting.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Acquired { number: 1, .. } => "acquired".to_owned(),
            Self::Acquired { .. } => "acquired by take-over".to_owned(),
            Self::InFlight { .. } => "in flight".to_owned(),
            Self::Completed { .. } => "completed".to_owned(),
            Self::Indeterminate { .. } => "indeterminate".to_owned(),
            Self::Lost(how) => format!("lost, {}", how.name()),
            Self::Plain(name) => (*name).to_owned(),
        }
    }
}

/// Which grant of the key a fence belongs to; `None` if it belongs to none.
pub(super) type Which<'a> = &'a dyn Fn(Fence) -> Option<usize>;

/// Time that passes on its own is far less than ten seconds, and all else that passes are multiples of it.
fn in_flight(remaining: Duration) -> Said {
    Said::InFlight { tens_of_seconds: remaining.as_millis().div_ceil(10_000) }
}

fn completed(completed: &Completed, which: Which<'_>) -> Said {
    Said::Completed { grant: which(completed.fence), answer: completed.answer.clone() }
}

pub(super) fn claimed(reply: &Claimed, which: Which<'_>) -> Said {
    match reply {
        Claimed::Acquired { grant, checkpoint } => Said::Acquired {
            grant: which(grant.fence),
            number: grant.number,
            terms: grant.terms,
            checkpoint: checkpoint.clone(),
        },
        Claimed::InFlight { remaining } => in_flight(*remaining),
        Claimed::Completed(reply) => completed(reply, which),
        Claimed::Mismatch => Said::Plain("mismatch"),
        Claimed::Indeterminate(known) => Said::Indeterminate { grant: which(known.fence), attempts: known.attempts },
        Claimed::Stale => Said::Plain("stale"),
    }
}

fn lost(loss: &Loss, which: Which<'_>) -> Said {
    Said::Lost(Box::new(match loss {
        Loss::InFlight { remaining } => in_flight(*remaining),
        Loss::Completed(reply) => completed(reply, which),
        Loss::Indeterminate => Said::Plain("indeterminate"),
        Loss::Released => Said::Plain("released"),
        Loss::Mismatch => Said::Plain("mismatch"),
        Loss::Absent => Said::Plain("absent"),
    }))
}

pub(super) fn renewed(reply: &Renewed, which: Which<'_>) -> Said {
    match reply {
        Renewed::Held => Said::Plain("held"),
        Renewed::Recreated => Said::Plain("recreated"),
        Renewed::Lost(loss) => lost(loss, which),
    }
}

pub(super) fn checkpointed(reply: &Checkpointed, which: Which<'_>) -> Said {
    match reply {
        Checkpointed::Held => Said::Plain("held"),
        Checkpointed::Lost(loss) => lost(loss, which),
    }
}

pub(super) fn recorded(reply: &Recorded, which: Which<'_>) -> Said {
    match reply {
        Recorded::Recorded => Said::Plain("recorded"),
        Recorded::Recreated => Said::Plain("recreated"),
        Recorded::Lost(loss) => lost(loss, which),
    }
}

pub(super) fn released(reply: &Released, which: Which<'_>) -> Said {
    match reply {
        Released::Released => Said::Plain("released"),
        Released::Indeterminate => Said::Plain("indeterminate"),
        Released::Absent => Said::Plain("absent"),
        Released::Lost(loss) => lost(loss, which),
    }
}

pub(super) fn abandoned(reply: &Abandoned, which: Which<'_>) -> Said {
    match reply {
        Abandoned::Abandoned => Said::Plain("abandoned"),
        Abandoned::Lost(loss) => lost(loss, which),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "one shape for all replies")]
pub(super) fn resolved(reply: &Resolved, _: Which<'_>) -> Said {
    match reply {
        Resolved::Resolved => Said::Plain("resolved"),
        Resolved::Conflict => Said::Plain("conflict"),
    }
}
