//! How often everything happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by name. Clones count together.
#[derive(Clone, Default, Debug)]
pub struct Tally(Arc<Mutex<Counts>>);

#[derive(Default, Debug)]
struct Counts {
    faults: BTreeMap<&'static str, u64>,
    seen: BTreeMap<&'static str, u64>,
    broken: Vec<String>,
    matrix: BTreeMap<Cell, u64>,
}

/// A policy, what befell one owner, and what became of the key.
pub(super) type Cell = (&'static str, &'static str, &'static str);

/// How many broken keys are kept with their history.
const KEPT: usize = 20;

impl Tally {
    /// Something was done to the system.
    pub fn fault(&self, name: &'static str) {
        *self.counts().faults.entry(name).or_default() += 1;
    }

    /// Something was seen.
    pub fn saw(&self, name: &'static str) {
        self.saw_times(name, 1);
    }

    /// Something was seen so often.
    pub fn saw_times(&self, name: &'static str, times: u64) {
        *self.counts().seen.entry(name).or_default() += times;
    }

    /// A key to which one thing happened, and what became of it.
    pub(super) fn became(&self, cell: Cell) {
        *self.counts().matrix.entry(cell).or_default() += 1;
    }

    /// Of all keys to which one thing happened, what became of how many.
    pub(super) fn matrix(&self) -> BTreeMap<Cell, u64> {
        self.counts().matrix.clone()
    }

    /// A key broke the promise.
    pub fn broke(&self, story: impl FnOnce() -> String) {
        let mut counts = self.counts();
        if counts.broken.len() < KEPT {
            counts.broken.push(story());
        }
    }

    /// What was done to the system, and how often.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.counts().faults.clone()
    }

    /// How often something was seen.
    pub fn seen(&self, name: &str) -> u64 {
        self.counts().seen.get(name).copied().unwrap_or_default()
    }

    /// Everything that was seen.
    pub fn all_seen(&self) -> BTreeMap<&'static str, u64> {
        self.counts().seen.clone()
    }

    /// The histories of broken keys, the first of them.
    pub fn broken(&self) -> Vec<String> {
        self.counts().broken.clone()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
