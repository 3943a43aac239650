//! Looks at the server every now and then while the store runs.

use std::sync::Weak;
use std::time::Duration;

use super::detectors::Detectors;
use crate::Deadline;
use crate::redis::{Inner, RedisStore};

/// How often. An eviction or a step of the clock is known within that time.
const EVERY: Duration = Duration::from_secs(10);

/// The lease that clocks are judged by here, where nobody says another: the layer's default.
const LEASE: Duration = Duration::from_secs(30);

/// The servers under observation.
#[derive(Debug, Default)]
pub(in crate::redis) struct Ward {
    pub(super) detectors: Detectors,
}

impl Ward {
    /// Looks until the store is gone.
    pub(in crate::redis) fn patrol(store: Weak<Inner>) {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(inner) = store.upgrade() else { return };
                // Connecting anew is the verbs' business, and so is a server that does not answer.
                if inner.topology.links().iter().any(|link| link.current().is_none()) {
                    continue;
                }
                let _ = RedisStore(inner).observe(LEASE, Deadline::after(EVERY)).await;
            }
        });
    }
}
