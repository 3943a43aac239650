//! The rules table as a pure function: what a claim's reply means for the request.

use std::time::Duration;

use idempotency_store::{Answer, Checkpoint, Claimed, Completed, Grant, Indeterminate, Loss};

use crate::recorded::{NotKept, RecordedAnswer};
use crate::rejection::Rejection;

/// What happens to a request.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The handler runs under this lease, with what an earlier attempt noted.
    Run(Grant, Option<Checkpoint>),
    /// The client is told something without it.
    Tell(Told),
    /// Another attempt runs; its lease has this long to go.
    InFlight(Duration),
    /// Nobody knows whether it ran, and it is not to be taken over.
    Abandoned(Indeterminate),
}

/// What a client is told that is not its own handler's answer.
#[derive(Debug)]
pub(crate) enum Told {
    /// The recorded answer.
    Replay(RecordedAnswer),
    /// That there is none.
    Reject(Rejection),
}

/// The rules table, from the reply to the claim.
pub(crate) fn decide(claimed: Claimed) -> Decision {
    Decision::Tell(match claimed {
        Claimed::Acquired { grant, checkpoint } => return Decision::Run(grant, checkpoint),
        Claimed::Completed(completed) => replay(completed),
        Claimed::InFlight { remaining } => return Decision::InFlight(remaining),
        Claimed::Indeterminate(found) => return Decision::Abandoned(found),
        Claimed::Mismatch => Told::Reject(Rejection::key_reused()),
        // An owner id is drawn for each attempt and released only after its claim loop has ended, so this is a packet
        // that the network delivered twice. Nothing ran; the client may ask again.
        Claimed::Stale => Told::Reject(Rejection::store_unavailable()),
    })
}

/// What the client of an attempt gets that ran, but does not hold its key any more: the word of the attempt that does.
pub(crate) fn superseded(loss: Loss) -> Told {
    match loss {
        Loss::Completed(completed) => replay(completed),
        Loss::InFlight { remaining } => Told::Reject(Rejection::in_flight(remaining)),
        Loss::Indeterminate | Loss::Released | Loss::Mismatch | Loss::Absent => {
            Told::Reject(Rejection::indeterminate())
        }
    }
}

/// What was recorded.
pub(crate) fn replay(completed: Completed) -> Told {
    let told = match completed.answer {
        Answer::Kept(bytes) => RecordedAnswer::decode(bytes).map(Told::Replay),
        Answer::NotKept(note) => {
            NotKept::decode(&note).map(|note| Told::Reject(Rejection::not_replayable(note.status)))
        }
    };
    told.unwrap_or_else(|error| {
        tracing::error!(%error, "a recorded answer cannot be read");
        Told::Reject(Rejection::record_corrupt())
    })
}
