//! Where the effects are counted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// What was done for each key. It outlives every server, as a bank does.
#[derive(Debug)]
pub struct Ledger(Vec<Mutex<HashMap<u64, Account>>>);

#[derive(Clone, Copy, Default, Debug)]
struct Account {
    effects: u32,
    told: u32,
    first: u64,
}

/// What a key comes to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Balance {
    /// How often something was done.
    pub effects: u32,
    /// How often it was asked to do something.
    pub told: u32,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// Does something for a key, and returns what it was done as. One that `recognises` the key does it once, and says what it
    /// said before.
    pub fn apply(&self, key: u64, done_as: u64, recognises: bool) -> u64 {
        let mut shard = self.shard(key);
        let account = shard.entry(key).or_default();
        account.told += 1;
        if recognises && account.effects > 0 {
            return account.first;
        }
        if account.effects == 0 {
            account.first = done_as;
        }
        account.effects += 1;
        done_as
    }

    /// What a key comes to.
    pub fn balance(&self, key: u64) -> Balance {
        let account = self.shard(key).get(&key).copied().unwrap_or_default();
        Balance { effects: account.effects, told: account.told }
    }

    /// How many keys something was done for.
    pub fn keys(&self) -> u64 {
        self.sum(|account| u64::from(account.effects > 0))
    }

    /// How many keys something was done for more than once.
    pub fn doubles(&self) -> u64 {
        self.sum(|account| u64::from(account.effects > 1))
    }

    /// How often something was done, or recognised as done.
    pub fn told(&self) -> u64 {
        self.sum(|account| u64::from(account.told))
    }

    fn sum(&self, of: impl Fn(&Account) -> u64) -> u64 {
        let shards = self.0.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.map(|shard| shard.values().map(&of).sum::<u64>()).sum()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Account>> {
        let shard = usize::try_from(key).unwrap_or(0) % SHARDS;
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}
