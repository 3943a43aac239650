//! What an operator wants to hear of, counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How often something happened since the store was connected: [`RedisStore::counts`](super::RedisStore::counts).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RedisCounts {
    /// Grants that were not as durable in time as they had to be. Replicas are gone, stopped or slow.
    pub unreplicated: u64,
    /// Those of them that counted all the same ([`OnUnreplicated::Proceed`](super::OnUnreplicated::Proceed)).
    pub proceeded: u64,
    /// Records that had lost their expiry, which was set again. Somebody else writes to the store's keys.
    pub expiry_lost: u64,
    /// Records that the store had lost while their owner ran, and that were written again.
    pub recreated: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) unreplicated: Counter,
    pub(super) proceeded: Counter,
    pub(super) expiry_lost: Counter,
    pub(super) recreated: Counter,
}

impl Counter {
    pub(super) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counts {
    pub(super) fn read(&self) -> RedisCounts {
        RedisCounts {
            unreplicated: self.unreplicated.read(),
            proceeded: self.proceeded.read(),
            expiry_lost: self.expiry_lost.read(),
            recreated: self.recreated.read(),
        }
    }
}

/// Whether the last write that a server was to acknowledge was not, as far as it had to be. Said when it changes.
#[derive(Debug, Default)]
pub(super) struct Degraded(AtomicBool);

impl Degraded {
    pub(super) fn note(&self, is_degraded: bool) {
        match (self.0.swap(is_degraded, Ordering::Relaxed), is_degraded) {
            (false, true) => {
                tracing::error!("claims are not acknowledged by as many replicas or disks as they have to be");
            }
            (true, false) => tracing::info!("claims are acknowledged as they have to be again"),
            _ => {}
        }
    }

    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
