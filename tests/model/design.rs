//! What is checked: the surroundings, the choices that a user makes, and the guards of the protocol.

use std::num::NonZeroU32;

use idempotency_store::OnAbandoned;

/// One model: every value is a design in its surroundings, and all of them run the same code.
#[derive(Clone, Debug)]
pub(crate) struct Design {
    /// Which servers there are, and what may happen to them.
    pub(crate) topology: Topology,
    /// How many attempts arrive, all with one key and one fingerprint.
    pub(crate) attempts: u8,
    /// How often an attempt may ask for the key.
    pub(crate) asks: u8,
    /// How often an attempt may send a completion or a release.
    pub(crate) sends: u8,
    /// How often an attempt may renew its lease.
    pub(crate) renewals: u8,
    /// How often as much time passes as a lease lasts.
    pub(crate) lapses: u8,
    /// How far the clients' estimates of the store's time may be off, in microseconds: each client's is one of these.
    pub(crate) skews: &'static [i64],
    /// How far the clock of the second server is ahead of the first's when it takes over, in microseconds.
    pub(crate) second_clock: i64,
    /// Whether the attempts tell each other the greatest fence they have seen, as those of one process do.
    pub(crate) shares_high_water: bool,
    /// Whether a handler may fail to hear from the downstream: it then answers an error, or gives no answer.
    pub(crate) failures: bool,
    /// What a claim does with an indeterminate key.
    pub(crate) on_abandoned: OnAbandoned,
    /// What the handler's effect goes to.
    pub(crate) downstream: Downstream,
    /// What a grant has to wait for.
    pub(crate) durability: Durability,
    /// Whether a completion waits as a grant does before it is reported.
    pub(crate) completions_wait: bool,
    /// The guard that this design lacks.
    pub(crate) without: Option<Guard>,
}

/// The servers of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Topology {
    /// One, which forgets nothing.
    Single,
    /// A master and a replica. The master may die at any time, once; the replica takes its place.
    Pair,
    /// The same, but the old master goes on serving those who still reach it.
    SplitBrain,
}

/// What is between a handler and its effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Downstream {
    /// Nothing: each call has an effect.
    Unaware,
    /// It remembers the highest fence and refuses lower ones.
    ComparesFences,
    /// It remembers the derived key and answers a repeated call as it answered the first.
    Deduplicates,
}

/// What the reply to a claim tells about replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Durability {
    /// Nothing: replication is asynchronous.
    Local,
    /// The master takes writes as long as it believes that it has a replica (`min-replicas-to-write`).
    MinReplicas,
    /// A grant counts when a replica has it (`WAIT 1`).
    Wait,
}

/// What keeps the protocol safe, each of which a design may lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Guard {
    /// The end of a lease does not remove the key.
    KeyOutlivesLease,
    /// A completion counts only from the owner that stands in the record, with its fence.
    OwnerComparedAtCompletion,
    /// A release counts only from the owner that stands in the record.
    OwnerComparedAtRelease,
    /// A release leaves a tombstone.
    ReleaseLeavesTombstone,
    /// A fence is at least the store's time; without, it is a counter on the server (`INCR`).
    FenceFromTime,
    /// A grant that reaches an attempt which has given up is not acted upon.
    GivenUpStaysGivenUp,
    /// The `WAIT` goes out on the connection of the write.
    WaitsWhereItWrote,
    /// A claim that finds its own record writes before it waits.
    ReaskedClaimWrites,
    /// Not only a first claim waits, but also one that replaces a tombstone.
    ClaimOverTombstoneWaits,
}

impl Design {
    /// The default policy on one server: refuse what is indeterminate, whatever the downstream is.
    pub(crate) const fn refusing() -> Self {
        Self {
            topology: Topology::Single,
            attempts: 3,
            asks: 2,
            sends: 1,
            renewals: 0,
            lapses: 2,
            skews: &[0],
            second_clock: 1,
            shares_high_water: false,
            failures: false,
            on_abandoned: OnAbandoned::Refuse,
            downstream: Downstream::Unaware,
            durability: Durability::Local,
            completions_wait: false,
            without: None,
        }
    }

    /// Takes over what is indeterminate, with a downstream that knows the derived key.
    pub(crate) const fn reexecuting() -> Self {
        const ATTEMPTS: NonZeroU32 = NonZeroU32::new(5).unwrap();
        Self {
            on_abandoned: OnAbandoned::Reexecute { max_attempts: ATTEMPTS },
            downstream: Downstream::Deduplicates,
            ..Self::refusing()
        }
    }

    /// This design for two attempts on two servers, with durability `Auto`.
    pub(crate) const fn on(self, topology: Topology) -> Self {
        Self { topology, attempts: 2, sends: 2, durability: Durability::Wait, ..self }
    }

    /// This design, one guard short.
    pub(crate) const fn lacking(self, guard: Guard) -> Self {
        Self { without: Some(guard), ..self }
    }

    /// Whether a claim may take over what is indeterminate.
    pub(crate) fn takes_over(&self) -> bool {
        self.on_abandoned != OnAbandoned::Refuse
    }

    /// Whether the design has the guard.
    pub(crate) fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }
}
