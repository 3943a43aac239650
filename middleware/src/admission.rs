//! From the claim to the right to run: what happens to a request before its handler is entered, or instead.

use std::sync::Arc;

use idempotency_store::{Attempt, Checkpoint, Store};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::OnDisconnect;
use crate::decision::{Decision, Told, decide, superseded};
use crate::engine::{Engine, NotHeld, Tenure, Unclaimed};
use crate::rejection::Rejection;
use crate::settings::Settings;

/// A request that asks for its key.
pub(crate) struct Admission<'a, S> {
    pub(crate) engine: &'a Arc<Engine<S>>,
    pub(crate) settings: &'a Settings,
    pub(crate) attempt: Attempt,
}

/// What came of it.
#[allow(clippy::large_enum_variant, reason = "made once per request and taken apart at once")]
pub(crate) enum Admitted<S: Store> {
    /// The handler runs, under this lease.
    Run(Admit<S>),
    /// It does not.
    Tell(Told),
}

/// The right to run.
pub(crate) struct Admit<S: Store> {
    pub(crate) tenure: Tenure<S>,
    /// When the key was asked for; the lease began no earlier.
    pub(crate) claimed_at: Instant,
    /// What an earlier attempt noted.
    pub(crate) checkpoint: Option<Checkpoint>,
}

impl<S: Store> Admission<'_, S> {
    /// Claims the key. `client` is closed when nobody waits for the answer any more.
    ///
    /// Not cancel safe: the caller runs it in a task of its own.
    pub(crate) async fn admit<T>(&self, client: &oneshot::Sender<T>) -> Admitted<S> {
        let claimed_at = Instant::now();
        let claimed = self.engine.claim(self.attempt, self.settings.on_abandoned.at_claim()).await;
        let (grant, checkpoint) = match claimed.map(decide) {
            Ok(Decision::Run(grant, checkpoint)) => (grant, checkpoint),
            Ok(Decision::Tell(told)) => return Admitted::Tell(told),
            Err(Unclaimed::Unavailable) => return reject(Rejection::store_unavailable()),
            Err(Unclaimed::Corrupt) => return reject(Rejection::record_corrupt()),
        };
        if self.settings.on_disconnect == OnDisconnect::Cancel && client.is_closed() {
            self.engine.release_unstarted(&grant).await;
            return reject(Rejection::request_unreadable());
        }
        match self.engine.hold(grant, claimed_at).await {
            Ok(tenure) => Admitted::Run(Admit { tenure, claimed_at, checkpoint }),
            Err(NotHeld::Draining) => reject(Rejection::shutting_down()),
            Err(NotHeld::Unavailable) => reject(Rejection::store_unavailable()),
            Err(NotHeld::Lost(loss)) => Admitted::Tell(superseded(loss)),
        }
    }
}

const fn reject<S: Store>(rejection: Rejection) -> Admitted<S> {
    Admitted::Tell(Told::Reject(rejection))
}
