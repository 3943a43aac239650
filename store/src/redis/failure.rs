//! What an error of Redis or its client says about the record.

use redis::RedisError;

use super::NAME;
use crate::StoreError;

/// Codes with which a server says that it did not execute the command. Every script writes once and last, so a refusal
/// in the middle of it has written nothing either.
const NOT_APPLIED: [&str; 17] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
    "NOPROTO",
];

/// Codes with which a server refuses to write while it goes on reading.
const WRITES_REFUSED: [&str; 3] = ["MISCONF", "NOREPLICAS", "OOM"];

/// Sorts an error of a command that was sent, or may have been.
pub(super) fn sort(error: RedisError) -> StoreError {
    match error.code() {
        // Something that is not a string stands at our key: nothing was written over it.
        Some("WRONGTYPE") => StoreError::corrupt(NAME, error),
        // An administrator has flushed the functions, or has not loaded them here.
        _ if error.to_string().contains("Function not found") => StoreError::not_applied(NAME, error),
        Some(code) if NOT_APPLIED.contains(&code) => StoreError::not_applied(NAME, error),
        _ if error.is_connection_refusal() => StoreError::not_applied(NAME, error),
        _ => StoreError::unknown(NAME, error),
    }
}

/// Whether the server refuses writes but can be read: it is out of memory, has too few replicas, or cannot persist.
pub(super) fn refuses_writes(error: &RedisError) -> bool {
    error.code().is_some_and(|code| WRITES_REFUSED.contains(&code))
}

/// Whether the connection that gave this error is of no use any more: it broke, or its replies cannot be trusted.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    let by_server = error.code().is_some();
    !by_server || matches!(error.code(), Some("READONLY" | "NOAUTH" | "LOADING" | "MASTERDOWN"))
}
