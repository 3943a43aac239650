//! Settling a key whose owner is gone, on the word of somebody who knows.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use idempotency_store::{Attempt, Key, Resolution, Resolved, Seen, Store};

use super::claim::unclaimed;
use super::rooms::Rooms;
use super::{Engine, Unclaimed};

/// The keys that are being resolved in this process.
#[derive(Default)]
pub(super) struct Resolvers(Mutex<HashSet<Key>>);

impl Resolvers {
    fn keys(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to resolve a key in this process, until it is dropped.
pub(crate) struct Resolving {
    resolvers: Arc<Resolvers>,
    rooms: Arc<Rooms>,
    attempt: Attempt,
}

impl<S: Store> Engine<S> {
    /// The right to resolve the key, or `None` while another request has it. Other processes know nothing of it.
    pub(crate) fn resolving(&self, attempt: Attempt) -> Option<Resolving> {
        let (resolvers, rooms) = (Arc::clone(&self.resolvers), Arc::clone(&self.rooms));
        let free = resolvers.keys().insert(attempt.key);
        free.then(|| Resolving { resolvers, rooms, attempt })
    }

    /// Whether a request of this process resolves the key now.
    pub(super) fn is_resolving(&self, key: &Key) -> bool {
        self.resolvers.keys().contains(key)
    }

    /// Tells the store what became of an attempt that was seen like this. Whether it took that or found that
    /// something else had happened, the next claim tells.
    ///
    /// Cancel safety: as the store's own verb.
    pub(crate) async fn resolve(&self, attempt: Attempt, seen: Seen, resolution: &Resolution) -> Result<(), Unclaimed> {
        let ask = |until| self.store.resolve(attempt.key, seen, resolution, until);
        match self.insist(self.verb_deadline(), ask).await {
            Ok(Resolved::Resolved) => tracing::info!(key = ?attempt.key, ?resolution, "an abandoned key is resolved"),
            Ok(Resolved::Conflict) => tracing::info!(key = ?attempt.key, "an abandoned key was settled meanwhile"),
            Err(error) => return Err(unclaimed(&error, attempt)),
        }
        Ok(())
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        self.resolvers.keys().remove(&self.attempt.key);
        self.rooms.nudge(&self.attempt);
    }
}
