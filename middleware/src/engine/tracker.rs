//! What runs in this process, so that a shutdown can wait for it and name what it could not wait for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use idempotency_store::{Grant, Owner};
use tokio::sync::Notify;

use super::by_owner::ByOwner;

/// What a drain could not wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Drained {
    /// How many requests were still running and had their keys marked indeterminate.
    pub abandoned: usize,
}

#[derive(Default)]
pub(super) struct Tracker {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    closed: bool,
    running: ByOwner<Grant>,
    background: usize,
}

/// An entry in the tracker, taken out when dropped.
pub(crate) struct Running(Arc<Tracker>, Option<Owner>);

impl Tracker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing new may start from now on.
    pub(super) fn close(&self) {
        self.state().closed = true;
    }

    /// Whether nothing new may start.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Registers work that may come to claim a key, unless the process is shutting down.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Running> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.background += 1;
        Some(Running(Arc::clone(self), None))
    }

    /// Registers a run, unless the process is shutting down.
    pub(super) fn enter(self: &Arc<Self>, grant: Grant) -> Option<Running> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.running.insert(grant.attempt.owner, grant);
        Some(Running(Arc::clone(self), Some(grant.attempt.owner)))
    }

    /// Registers work in the background that a shutdown waits for.
    pub(super) fn background(self: &Arc<Self>) -> Running {
        self.state().background += 1;
        Running(Arc::clone(self), None)
    }

    pub(super) fn running(&self) -> Vec<Grant> {
        self.state().running.values().copied().collect()
    }

    /// Waits until nothing runs.
    pub(super) async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, or a change in between would be missed.
            changed.as_mut().enable();
            if self.is_idle() {
                return;
            }
            changed.await;
        }
    }

    fn is_idle(&self) -> bool {
        let state = self.state();
        state.running.is_empty() && state.background == 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state();
        match self.1 {
            Some(owner) => drop(state.running.remove(&owner)),
            None => state.background -= 1,
        }
        // Only a shutdown waits, and it closes first.
        let is_awaited = state.closed;
        drop(state);
        if is_awaited {
            self.0.changed.notify_waiters();
        }
    }
}
