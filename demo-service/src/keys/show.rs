//! Keys as JSON. Neither answers nor checkpoints are shown, only how long they are: they are the clients' business.

use std::time::Duration;

use idempotency_store::record::State;
use idempotency_store::{Entry, Key, Listed, Reason, Standing};
use serde_json::{Value, json};

use super::digest::Digest;

pub(super) fn listed(listed: &Listed) -> Value {
    json!({
        "key": digest(listed.key),
        "standing": standing(listed.standing),
        "fence": listed.fence.get(),
        "attempts": listed.attempts,
        "reason": listed.reason.map(reason),
        "quiet_for_ms": millis(listed.quiet_for),
        "expires_in_ms": millis(listed.expires_in),
        "answer_len": listed.answer_len,
    })
}

pub(super) fn entry(entry: &Entry) -> Value {
    let (answer, checkpoint) = match &entry.record.state {
        State::Completed(answer) => (Some(answer.as_bytes().len()), None),
        State::InFlight { checkpoint } | State::Indeterminate { checkpoint, .. } => (None, checkpoint.as_ref()),
        State::Released => (None, None),
    };
    json!({
        "key": digest(entry.key),
        "standing": standing(entry.standing()),
        "fence": entry.fence().get(),
        "attempts": entry.record.attempts,
        "reason": entry.reason().map(reason),
        "lease_left_ms": millis(entry.remaining()),
        "quiet_for_ms": millis(entry.quiet_for()),
        "expires_in_ms": millis(entry.expires_in()),
        "answer_len": answer,
        "checkpoint_len": checkpoint.map(|checkpoint| checkpoint.as_bytes().len()),
    })
}

fn digest(key: Key) -> String {
    Digest(key).to_string()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::InFlight => "in-flight",
        Standing::Completed => "completed",
        Standing::Indeterminate => "indeterminate",
        Standing::Released => "released",
    }
}

const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Panic => "panic",
        Reason::Failure => "failure",
        Reason::Shutdown => "shutdown",
        Reason::Cancelled => "cancelled",
        Reason::TakeoverReleased => "takeover-released",
        _ => "other",
    }
}
