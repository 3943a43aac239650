//! What an operator should know of, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often something happened that the promise does not cover, or that a limit refused, since the layer was made. All clones of a layer count
/// together. Export it as counters; each of these events is also logged when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that ran unprotected, because the store could not be asked and the route
    /// [fails open](crate::OnUnavailable::FailOpen). A retry of theirs may run again.
    pub unprotected: u64,
    /// Answers that reached their client before the store had taken them, marked `Idempotency-Status: unrecorded`. Most are
    /// recorded later.
    pub unrecorded: u64,
    /// Outcomes that the store was never told, and keys that were never given back: it did not answer for the maximal execution,
    /// or too many waited for it. Their keys are indeterminate when the lease lapses.
    pub lost: u64,
    /// Records that the store had forgotten while their request ran, and that were written again. The store lost what it
    /// had acknowledged: other requests may have run twice. Look at how the store is set up.
    pub recreated: u64,
    /// Requests that were refused because their scope has claimed too many new keys: see [`ClaimLimit`](crate::ClaimLimit).
    /// Logged as debug only, for whoever causes it can cause it often.
    pub limited: u64,
}

/// The counters behind [`Counts`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) unprotected: Counter,
    pub(crate) unrecorded: Counter,
    pub(crate) lost: Counter,
    pub(crate) recreated: Counter,
    pub(crate) limited: Counter,
}

/// One number that only grows.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Counts {
        Counts {
            unprotected: self.unprotected.get(),
            unrecorded: self.unrecorded.get(),
            lost: self.lost.get(),
            recreated: self.recreated.get(),
            limited: self.limited.get(),
        }
    }
}
