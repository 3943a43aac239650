//! Who begins to renew: one task with one timer per runtime, for all leases of a layer and its clones.
//!
//! Most attempts are settled long before their first renewal is due. A task and a timer for each of them would cost more than
//! the claim; here such an attempt costs a place in a map. One that lasts gets a task of its own when its first renewal is due,
//! and is renewed by that. Runtimes do not share a task: one that is blocked or goes down takes its own leases with it only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idempotency_store::{Owner, Store};
use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::by_owner::ByOwner;
use super::tenure::Renewal;

/// How long a task sleeps that has nothing to begin.
const IDLE: Duration = Duration::from_secs(60);

/// The leases that are held in this process. Its tasks end with it.
pub(super) struct Keeper<S>(Arc<Shared<S>>);

struct Shared<S>(Mutex<State<S>>);

struct State<S> {
    /// No lease will be held that is not.
    closed: bool,
    /// Few, and mostly one.
    runtimes: Vec<Leases<S>>,
}

/// The leases of one runtime, and its task.
struct Leases<S> {
    runtime: runtime::Id,
    held: ByOwner<Held<S>>,
    /// When the task looks next.
    wakes_at: Instant,
    /// Something is due before that, or nothing will be any more.
    sooner: Arc<Notify>,
}

struct Held<S> {
    to_begin: Option<Renewal<S>>,
    begun: Option<AbortHandle>,
}

struct Task<S> {
    shared: Arc<Shared<S>>,
    runtime: runtime::Id,
    sooner: Arc<Notify>,
}

impl<S: Store> Keeper<S> {
    /// Renews a lease from when that is due until [`Keeper::leave`]. Called on a runtime, which is returned.
    pub(super) fn keep(&self, owner: Owner, renewal: Renewal<S>) -> runtime::Id {
        let (due, handle) = (renewal.due(), Handle::current());
        let runtime = handle.id();
        let held = Held { to_begin: Some(renewal), begun: None };
        let mut state = self.0.state();
        if let Some(leases) = state.of(runtime) {
            leases.held.insert(owner, held);
            if due < leases.wakes_at {
                leases.wakes_at = due;
                leases.sooner.notify_one();
            }
            return runtime;
        }
        let sooner = Arc::new(Notify::new());
        let task = Task { shared: Arc::clone(&self.0), runtime, sooner: Arc::clone(&sooner) };
        state.runtimes.push(Leases { runtime, held: ByOwner::from_iter([(owner, held)]), wakes_at: due, sooner });
        // A runtime that is going down drops what is spawned, and that needs the mutex.
        drop(state);
        handle.spawn(task.run());
        runtime
    }
}

impl<S> Keeper<S> {
    /// Ends the renewals of a lease.
    pub(super) fn leave(&self, runtime: runtime::Id, owner: &Owner) {
        let mut state = self.0.state();
        let closed = state.closed;
        let Some(leases) = state.of(runtime) else { return };
        let held = leases.held.remove(owner);
        if closed && leases.held.is_empty() {
            leases.sooner.notify_one();
        }
        drop(state);
        if let Some(renewals) = held.and_then(|held| held.begun) {
            renewals.abort();
        }
    }

    /// No lease will be held that is not. The tasks go on as long as there are any.
    pub(super) fn close(&self) {
        let mut state = self.0.state();
        state.closed = true;
        state.runtimes.iter().for_each(|leases| leases.sooner.notify_one());
    }
}

impl<S> Drop for Keeper<S> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<S> Default for Keeper<S> {
    fn default() -> Self {
        Self(Arc::new(Shared(Mutex::new(State { closed: false, runtimes: Vec::new() }))))
    }
}

impl<S> Shared<S> {
    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> State<S> {
    fn of(&mut self, runtime: runtime::Id) -> Option<&mut Leases<S>> {
        self.runtimes.iter_mut().find(|leases| leases.runtime == runtime)
    }

    /// Takes out the leases whose task listens to `sooner`.
    fn forget(&mut self, sooner: &Arc<Notify>) -> Option<Leases<S>> {
        let at = self.runtimes.iter().position(|leases| Arc::ptr_eq(&leases.sooner, sooner))?;
        Some(self.runtimes.swap_remove(at))
    }
}

impl<S: Store> Leases<S> {
    /// Begins what is due, and returns when to look again. That is at most eight times in a third of a lease, so looking at all of
    /// them each time costs little, however many there are.
    fn begin_due(&mut self, now: Instant, closed: bool) -> Option<Instant> {
        let is_due = |held: &Held<S>| held.to_begin.as_ref().is_some_and(|renewal| renewal.begins() <= now);
        for held in self.held.values_mut().filter(|held| is_due(held)) {
            held.begun = held.to_begin.take().map(|renewal| tokio::spawn(renewal.run()).abort_handle());
        }
        let due = self.held.values().filter_map(|held| held.to_begin.as_ref().map(Renewal::due)).min();
        // With nothing to do it stays until it would have had to, or short attempts one after the other would each start it anew;
        // and as long as something is held, because that is what ends the renewals that were begun.
        let later = Some(self.wakes_at).filter(|at| *at > now && !closed);
        let held = Some(now + IDLE).filter(|_| !self.held.is_empty());
        let wakes_at = due.or(later).or(held)?;
        self.wakes_at = wakes_at;
        Some(wakes_at)
    }
}

impl<S: Store> Task<S> {
    async fn run(self) {
        while let Some(wakes_at) = self.begin_due(Instant::now()) {
            tokio::select! {
                () = sleep_until(wakes_at) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    fn begin_due(&self, now: Instant) -> Option<Instant> {
        let mut state = self.shared.state();
        let closed = state.closed;
        let wakes_at = state.of(self.runtime)?.begin_due(now, closed);
        // Under the mutex, so that whoever comes next starts a task again.
        if wakes_at.is_none() {
            state.forget(&self.sooner);
        }
        wakes_at
    }
}

impl<S> Drop for Task<S> {
    /// A runtime that goes down leaves nothing, or a later one of the same number would wait for its task.
    fn drop(&mut self) {
        let forgotten = self.shared.state().forget(&self.sooner);
        // Not under the mutex.
        drop(forgotten);
    }
}
