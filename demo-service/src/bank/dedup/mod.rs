//! `--dedup`: the bank protects itself, with the very layers that its callers use.
//!
//! ```text
//! fence guard (a superseded attempt stops here) -> idempotency layer (a key is executed once) -> charge or refund
//! ```
//!
//! 1. Charges and refunds need an `Idempotency-Key`. The first request of a key is executed, and every other one gets its
//!    answer: two attempts of one payment, with two fences, move the money once.
//! 2. A request whose `Idempotency-Fence` is lower than one that the key has seen gets 409 `fenced`. It charges nothing.
//! 3. What was refused without being executed - too late, declined, unreadable - gives the key back: the next attempt is
//!    executed. Everything else is an outcome and stays.
//! 4. Keys and fences outlive the process. They stand in one file beside the ledger, `LEDGER.keys`; the secret that they are
//!    digested with is in `LEDGER.secret`.
//! 5. Questions to the ledger pass untouched.
//!
//! The bank keeps keys for [`RETENTION`], which is longer than its callers do: what a caller may still repeat, it still
//! knows.

mod refusal;
mod secret;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use idempotency_store::{EmbeddedFenceStore, EmbeddedStore, embedded};
use thiserror::Error;
use tower_idempotency::{ConfigError, FenceGuardLayer, IdempotencyLayer, Scope, Timing};

pub use self::secret::SecretError;
use super::Ledger;
use super::api::Bank;

/// How long the bank remembers a key: a week, seven times as long as its callers do unless they are told otherwise.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long closing waits for what was begun. The slowest card takes much less.
const DRAIN: Duration = Duration::from_secs(30);

/// The bank's own protection. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Dedup {
    store: EmbeddedStore,
    layer: IdempotencyLayer<EmbeddedStore>,
    guard: FenceGuardLayer<EmbeddedFenceStore>,
}

/// Why the bank cannot protect itself. Nothing was executed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file of the keys.
    #[error(transparent)]
    Keys(#[from] embedded::OpenError),
    /// The file of the secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The settings keep no promise together.
    #[error(transparent)]
    Settings(#[from] ConfigError),
}

impl Dedup {
    /// Opens the keys beside this ledger if that is wanted, or begins them.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which names the file, the cause and the remedy.
    pub async fn choose(wanted: bool, ledger: &Ledger) -> Result<Option<Self>, OpenError> {
        if wanted { Self::open(ledger).await.map(Some) } else { Ok(None) }
    }

    /// Opens the keys beside this ledger, or begins them. The ledger is open, so no other bank can be at it.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which names the file, the cause and the remedy.
    pub async fn open(ledger: &Ledger) -> Result<Self, OpenError> {
        let keys = beside(ledger.path(), ".keys");
        let secret = secret::read_or_create(beside(ledger.path(), ".secret"), &keys).await?;
        let store = EmbeddedStore::open(&keys).await?;
        // One kind of caller, whose keys are digests that nobody guesses: nothing would be gained by telling them apart.
        let layer = IdempotencyLayer::new(store.clone(), Scope::shared(), secret.clone())
            .required()
            .timing(Timing::default().retention(RETENTION))?
            .on_rejection(refusal::response);
        let guard = FenceGuardLayer::new(store.fences(), Scope::shared(), secret)
            .retention(RETENTION)?
            .on_rejection(refusal::response);
        Ok(Self { store, layer, guard })
    }

    /// Puts the guard and the layer in front of these routes.
    pub(super) fn protect(&self, transfers: Router<Bank>) -> Router<Bank> {
        // What is added last is outermost.
        transfers.route_layer(self.layer.clone()).route_layer(self.guard.clone())
    }

    /// Waits for what was begun and closes the file.
    pub(super) async fn close(&self) {
        let drained = self.layer.drain(DRAIN).await;
        if drained.abandoned > 0 {
            tracing::warn!(requests = drained.abandoned, "some transfers did not end in time; their keys say so");
        }
        self.store.close().await;
    }
}

fn beside(ledger: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
