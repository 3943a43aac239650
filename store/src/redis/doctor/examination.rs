//! What the doctor is told before it looks: declarations, the lease and what the keys are expected to need.

use std::time::Duration;

use super::settings::{Declaration, Settings};

/// What to examine a store by.
///
/// ```
/// use idempotency_store::redis::doctor::{Budget, Examination};
/// use std::time::Duration;
///
/// let examination = Examination::new()
///     .declare("appendfsync=everysec".parse()?)
///     .lease(Duration::from_secs(10))
///     .budget(Budget { keys_per_second: 200, retention: Duration::from_secs(86_400), answer_bytes: 2_000 });
/// # let _ = examination;
/// # Ok::<(), idempotency_store::redis::doctor::DeclarationError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Examination {
    pub(crate) declared: Settings,
    pub(crate) lease: Duration,
    pub(crate) largest_answer: u64,
    pub(crate) budget: Option<Budget>,
}

/// What the keys are expected to need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// New keys per second, on average over the retention.
    pub keys_per_second: u64,
    /// How long a key is remembered.
    pub retention: Duration,
    /// The bytes of an average answer, headers included.
    pub answer_bytes: u64,
}

/// What Redis and the record's header take for a key beside its answer, in bytes; measured on Redis 7.0.
const OVERHEAD: u64 = 400;

impl Budget {
    /// The bytes that the keys of a whole retention take.
    pub(crate) fn bytes(self) -> u64 {
        let keys = self.keys_per_second.saturating_mul(self.retention.as_secs());
        keys.saturating_mul(self.answer_bytes.saturating_add(OVERHEAD))
    }
}

impl Examination {
    /// Nothing declared, a lease of 30 s, answers of at most 1 MiB and no budget.
    pub fn new() -> Self {
        let (lease, largest_answer) = (Duration::from_secs(30), 1 << 20);
        Self { declared: Settings::default(), lease, largest_answer, budget: None }
    }

    /// Vouches for a setting, for a server that may not be asked for it.
    pub fn declare(mut self, declaration: Declaration) -> Self {
        self.declared.set(declaration.setting, declaration.value);
        self
    }

    /// The lease of the layer. Default 30 s. A tenth of it is the most that the clocks may differ.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The bytes of the largest answer that is recorded. Default 1 MiB.
    pub const fn largest_answer(mut self, bytes: u64) -> Self {
        self.largest_answer = bytes;
        self
    }

    /// What the keys are expected to need, to be compared with the server's memory. By default it is not.
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }
}

impl Default for Examination {
    fn default() -> Self {
        Self::new()
    }
}
