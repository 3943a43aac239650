//! A store in front of a store that fails as networks and servers fail.
//!
//! What matters about a failed verb is whether it took effect and whether its caller can know. So there are four faults,
//! and a pause: see [`Fault`]. Each verb has its own, for its next calls or until further notice, and counts its calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use idempotency_store::{
    Abandoned, Attempt, Checkpoint, Checkpointed, Claim, Claimed, Completion, Deadline, Entry, Erased, Fence, Grant,
    Key, Page, Query, Reason, Recorded, Released, Renewed, Resolution, Resolved, Seen, Store, StoreError,
};

use crate::{Count, Gate, within};

/// A verb of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "they are the verbs of `Store`")]
pub enum Verb {
    Claim,
    Renew,
    Checkpoint,
    Complete,
    Release,
    Abandon,
    Resolve,
    Inspect,
    List,
    Erase,
    Ping,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 11] = [
        Self::Claim,
        Self::Renew,
        Self::Checkpoint,
        Self::Complete,
        Self::Release,
        Self::Abandon,
        Self::Resolve,
        Self::Inspect,
        Self::List,
        Self::Erase,
        Self::Ping,
    ];
}

/// How a verb fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Refused before it had an effect, and the caller knows: `NotApplied`.
    Refuse,
    /// The request got lost: no effect, `Unknown`.
    LoseRequest,
    /// The reply got lost: it took effect, `Unknown`.
    LoseReply,
    /// The caller is paused before it: it waits at the gate, whatever its deadline, and then is carried out. A process
    /// that was stopped and continued does just that.
    PauseBefore(Gate),
    /// The caller is paused after it took effect and before it sees the reply.
    PauseAfter(Gate),
}

/// Controls the faults of a [`Faulty`] store. Clones control the same store.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<HashMap<Verb, Slot>>>);

/// One verb's faults and counts.
#[derive(Debug, Default)]
struct Slot {
    fault: Option<(Fault, Calls)>,
    called: Count,
    applied: Count,
}

/// How many calls a fault applies to.
#[derive(Clone, Copy, Debug)]
enum Calls {
    Next(usize),
    All,
}

impl Faults {
    /// From now on every call of `verb` fails like this.
    pub fn set(&self, verb: Verb, fault: Fault) {
        self.with(verb, |slot| slot.fault = Some((fault, Calls::All)));
    }

    /// The next `calls` of `verb` fail like this.
    pub fn next(&self, calls: usize, verb: Verb, fault: Fault) {
        self.with(verb, |slot| slot.fault = Some((fault, Calls::Next(calls))));
    }

    /// From now on every verb fails like this.
    pub fn set_all(&self, fault: &Fault) {
        for verb in Verb::ALL {
            self.set(verb, fault.clone());
        }
    }

    /// The store is well again. Whoever is paused stays so until its gate opens.
    pub fn heal(&self) {
        for verb in Verb::ALL {
            self.with(verb, |slot| slot.fault = None);
        }
    }

    /// How often `verb` was called.
    pub fn called(&self, verb: Verb) -> usize {
        self.with(verb, |slot| slot.called.get())
    }

    /// How often any verb was called.
    pub fn called_in_all(&self) -> usize {
        Verb::ALL.into_iter().map(|verb| self.called(verb)).sum()
    }

    /// How often `verb` was carried out without an error, whether or not its caller learnt it.
    pub fn applied(&self, verb: Verb) -> usize {
        self.with(verb, |slot| slot.applied.get())
    }

    /// Waits until `verb` was called `times`.
    pub async fn until_called(&self, verb: Verb, times: usize) {
        let called = self.with(verb, |slot| slot.called.clone());
        within(&format!("{verb:?} is called {times} times"), called.reached(times)).await;
    }

    /// Waits until `verb` was carried out `times`.
    pub async fn until_applied(&self, verb: Verb, times: usize) {
        let applied = self.with(verb, |slot| slot.applied.clone());
        within(&format!("{verb:?} is carried out {times} times"), applied.reached(times)).await;
    }

    fn with<T>(&self, verb: Verb, act: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slots: MutexGuard<'_, _> = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(slots.entry(verb).or_default())
    }

    /// Counts a call and says how it fails.
    fn arrive(&self, verb: Verb) -> Option<Fault> {
        self.with(verb, |slot| {
            slot.called.up();
            let (fault, calls) = slot.fault.take()?;
            match calls {
                Calls::All => slot.fault = Some((fault.clone(), Calls::All)),
                Calls::Next(calls) if calls > 1 => slot.fault = Some((fault.clone(), Calls::Next(calls - 1))),
                Calls::Next(_) => {}
            }
            Some(fault)
        })
    }
}

/// A store with [`Faults`] in front of it; without any it is that store.
#[derive(Clone, Debug)]
pub struct Faulty<S> {
    store: S,
    faults: Faults,
}

const NAME: &str = "faulty";

impl<S: Store> Faulty<S> {
    /// `store`, healthy so far.
    pub fn new(store: S) -> Self {
        Self { store, faults: Faults::default() }
    }

    /// What makes it fail.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    async fn call<T>(&self, verb: Verb, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let fault = self.faults.arrive(verb);
        match &fault {
            Some(Fault::Refuse) => return Err(StoreError::not_applied(NAME, "refused by a test")),
            Some(Fault::LoseRequest) => return Err(StoreError::unknown(NAME, "a test lost the request")),
            Some(Fault::PauseBefore(gate)) => gate.pass().await,
            Some(Fault::LoseReply | Fault::PauseAfter(_)) | None => {}
        }
        let reply = call.await?;
        self.faults.with(verb, |slot| slot.applied.up());
        match &fault {
            Some(Fault::LoseReply) => return Err(StoreError::unknown(NAME, "a test lost the reply")),
            Some(Fault::PauseAfter(gate)) => gate.pass().await,
            _ => {}
        }
        Ok(reply)
    }
}

// A verb that the contract gains later must not slip past the faults by a default.
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Faulty<S> {
    async fn claim(&self, claim: &Claim, deadline: Deadline) -> Result<Claimed, StoreError> {
        self.call(Verb::Claim, self.store.claim(claim, deadline)).await
    }

    async fn renew(&self, grant: &Grant, deadline: Deadline) -> Result<Renewed, StoreError> {
        self.call(Verb::Renew, self.store.renew(grant, deadline)).await
    }

    async fn checkpoint(
        &self,
        grant: &Grant,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Checkpointed, StoreError> {
        self.call(Verb::Checkpoint, self.store.checkpoint(grant, checkpoint, deadline)).await
    }

    async fn complete(
        &self,
        grant: &Grant,
        completion: &Completion,
        deadline: Deadline,
    ) -> Result<Recorded, StoreError> {
        self.call(Verb::Complete, self.store.complete(grant, completion, deadline)).await
    }

    async fn release(
        &self,
        attempt: &Attempt,
        fence: Option<Fence>,
        deadline: Deadline,
    ) -> Result<Released, StoreError> {
        self.call(Verb::Release, self.store.release(attempt, fence, deadline)).await
    }

    async fn abandon(&self, grant: &Grant, reason: Reason, deadline: Deadline) -> Result<Abandoned, StoreError> {
        self.call(Verb::Abandon, self.store.abandon(grant, reason, deadline)).await
    }

    async fn resolve(
        &self,
        key: Key,
        seen: Seen,
        resolution: &Resolution,
        deadline: Deadline,
    ) -> Result<Resolved, StoreError> {
        self.call(Verb::Resolve, self.store.resolve(key, seen, resolution, deadline)).await
    }

    async fn inspect(&self, key: Key, deadline: Deadline) -> Result<Option<Entry>, StoreError> {
        self.call(Verb::Inspect, self.store.inspect(key, deadline)).await
    }

    async fn list(&self, query: &Query, deadline: Deadline) -> Result<Page, StoreError> {
        self.call(Verb::List, self.store.list(query, deadline)).await
    }

    async fn erase(&self, key: Key, seen: Seen, deadline: Deadline) -> Result<Erased, StoreError> {
        self.call(Verb::Erase, self.store.erase(key, seen, deadline)).await
    }

    async fn ping(&self, deadline: Deadline) -> Result<(), StoreError> {
        self.call(Verb::Ping, self.store.ping(deadline)).await
    }
}
