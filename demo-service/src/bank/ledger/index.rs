//! Positions in the book, by what is looked for.

use std::collections::HashMap;
use std::hash::Hash;

/// Where in the book the things of one kind stand, in the order in which they came.
pub(super) struct Index<K>(HashMap<K, Vec<usize>>);

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Index<K> {
    pub(super) fn add(&mut self, key: K, position: usize) {
        self.0.entry(key).or_default().push(position);
    }

    pub(super) fn get(&self, key: &K) -> &[usize] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn repeated(&self) -> usize {
        self.0.values().filter(|positions| positions.len() > 1).count()
    }
}
