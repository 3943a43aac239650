//! What one request asks for, and what is to befall its owner.

use rand::RngExt;
use rand::rngs::StdRng;

/// What a key's requests do about an owner that died, and what its downstream knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lane {
    /// Abandoned keys are refused, and the downstream executes whatever it is told.
    Refuse,
    /// Abandoned keys run again; the downstream recognises the derived key and gives its first answer.
    Reexecute,
    /// As [`Reexecute`](Self::Reexecute), but each run answers for itself: shows whose answer is kept. Only where completions
    /// are not lost, since a run again answers differently.
    Own,
}

impl Lane {
    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Reexecute => "re-execute, downstream recognises the key",
            Self::Own => "re-execute, each run answers for itself",
        }
    }
}

/// Where an owner dies: from there on nothing of it reaches the store, the downstream or the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the points are their names")]
pub enum CrashPoint {
    AfterClaim,
    BeforeEffect,
    AfterEffect,
    BeforeComplete,
    AfterComplete,
    InRenew,
    AfterRenew,
    WhileResponding,
}

impl CrashPoint {
    /// All of them, in the order of a request's life.
    pub const ALL: [Self; 8] = [
        Self::AfterClaim,
        Self::BeforeEffect,
        Self::InRenew,
        Self::AfterRenew,
        Self::AfterEffect,
        Self::BeforeComplete,
        Self::AfterComplete,
        Self::WhileResponding,
    ];

    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterClaim => "owner dies after the claim",
            Self::BeforeEffect => "owner dies before the effect",
            Self::AfterEffect => "owner dies after the effect",
            Self::BeforeComplete => "owner dies before complete",
            Self::AfterComplete => "owner dies after complete",
            Self::InRenew => "owner dies before renew",
            Self::AfterRenew => "owner dies after renew",
            Self::WhileResponding => "owner dies while responding",
        }
    }
}

/// What befalls the owner of an attempt, if that attempt becomes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fate {
    /// Nothing.
    Lives,
    /// It dies.
    Dies(CrashPoint),
    /// It stands still before its effect, longer than its lease.
    PausesBefore,
    /// It stands still after its effect, longer than its lease.
    PausesAfter,
    /// Its handler panics after its effect.
    Panics,
    /// Its handler says that nothing was executed, and nothing was.
    Declines,
    /// Its client leaves at once.
    Deserted,
}

impl Fate {
    /// Draws one; with probability `odds` it is not to live.
    pub fn draw(dice: &mut StdRng, odds: f64) -> Self {
        if !dice.random_bool(odds) {
            return Self::Lives;
        }
        let point = CrashPoint::ALL[dice.random_range(0..CrashPoint::ALL.len())];
        match dice.random_range(0..14) {
            0..=7 => Self::Dies(point),
            8 | 9 => Self::PausesBefore,
            10 => Self::PausesAfter,
            11 => Self::Panics,
            12 => Self::Declines,
            _ => Self::Deserted,
        }
    }

    /// What it is called in reports; nothing for a fate that is none.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Lives => None,
            Self::Dies(point) => Some(point.name()),
            Self::PausesBefore => Some("owner pauses past its lease, before the effect"),
            Self::PausesAfter => Some("owner pauses past its lease, after the effect"),
            Self::Panics => Some("handler panics"),
            Self::Declines => Some("handler did not execute"),
            Self::Deserted => Some("client leaves"),
        }
    }
}

/// A request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// Its key.
    pub key: u64,
    /// Its policy.
    pub lane: Lane,
    /// What befalls its owner.
    pub fate: Fate,
    /// How many bytes its handler answers at least: the same for all requests of a key.
    pub size: usize,
}

/// How many bytes a handler answers: one in four is of a size that a store may record in another way, up to one that does not
/// fit into a packet.
pub(super) fn draw_size(dice: &mut StdRng) -> usize {
    if dice.random_bool(0.25) { dice.random_range(1024..40_000) } else { 0 }
}
