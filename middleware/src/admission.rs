//! From the claim to the right to run: what happens to a request before its handler is entered, or instead.

use std::sync::Arc;

use idempotency_store::{Attempt, Checkpoint, Grant, Indeterminate, Store};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::abandoned::Abandoned;
use crate::config::OnDisconnect;
use crate::decision::{Decision, Told, decide, superseded};
use crate::engine::{Engine, NotHeld, Resolving, Tenure, Unclaimed};
use crate::execution::Keyed;
use crate::rejection::Rejection;
use crate::resolving::{SOON, Word};
use crate::settings::Settings;

/// How often one request asks its resolver, if each time something else happens to the key before the store is told.
const RESOLUTIONS: usize = 3;

/// A request that asks for its key.
pub(crate) struct Admission<'a, S> {
    pub(crate) engine: &'a Arc<Engine<S>>,
    pub(crate) settings: &'a Settings,
    pub(crate) keyed: &'a Keyed,
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

/// What follows when the key was not granted.
#[allow(clippy::large_enum_variant, reason = "made once per claim and taken apart at once")]
enum Next {
    ClaimAgain,
    Tell(Told),
}

/// What a request has done so far to have an abandoned key resolved.
#[derive(Default)]
struct Inquiry {
    /// Kept over the next claim, so that nobody else here asks what is just being told to the store.
    right: Option<Resolving>,
    asked: usize,
}

impl<S: Store> Admission<'_, S> {
    /// Claims the key. `client` is closed when nobody waits for the answer any more.
    ///
    /// Not cancel safe: the caller runs it in a task of its own.
    pub(crate) async fn admit<T>(&self, client: &oneshot::Sender<T>) -> Admitted<S> {
        let mut inquiry = Inquiry::default();
        loop {
            let claimed_at = Instant::now();
            let claimed = self.engine.claim(self.attempt, self.settings.on_abandoned.at_claim()).await;
            let next = match claimed.map(decide) {
                Ok(Decision::Run(grant, checkpoint)) => {
                    return self.hold(grant, checkpoint, claimed_at, client.is_closed()).await;
                }
                Ok(Decision::Tell(told)) => Next::Tell(told),
                Ok(Decision::InFlight(remaining)) => reject(Rejection::in_flight(remaining)),
                Ok(Decision::Abandoned(found)) => self.resolve(found, &mut inquiry).await,
                Err(unclaimed) => refuse(&unclaimed),
            };
            if let Next::Tell(told) = next {
                return Admitted::Tell(told);
            }
        }
    }

    /// Has the application find out what became of an abandoned key, if it can, and tells the store.
    async fn resolve(&self, found: Indeterminate, inquiry: &mut Inquiry) -> Next {
        let Some(resolver) = self.settings.on_abandoned.resolver() else {
            return reject(Rejection::indeterminate());
        };
        inquiry.right = inquiry.right.take().or_else(|| self.engine.resolving(self.attempt.key));
        if inquiry.right.is_none() || inquiry.asked == RESOLUTIONS {
            return reject(Rejection::unresolved(SOON));
        }
        inquiry.asked += 1;
        let fence = found.fence;
        match resolver.word(self.abandoned(found), self.settings).await {
            Word::Unknown(retry_after) => reject(Rejection::unresolved(retry_after)),
            Word::Known(resolution) => match self.engine.resolve(self.attempt, fence, &resolution).await {
                Ok(()) => Next::ClaimAgain,
                Err(unclaimed) => refuse(&unclaimed),
            },
        }
    }

    fn abandoned(&self, found: Indeterminate) -> Abandoned {
        Abandoned {
            key: self.keyed.key.clone(),
            storage_key: self.attempt.key,
            parts: self.keyed.parts.clone(),
            body: self.keyed.body.clone(),
            found,
            secret: self.settings.secret.clone(),
        }
    }

    /// Begins to renew the lease.
    async fn hold(
        &self,
        grant: Grant,
        checkpoint: Option<Checkpoint>,
        claimed_at: Instant,
        client_left: bool,
    ) -> Admitted<S> {
        if client_left && self.settings.on_disconnect == OnDisconnect::Cancel {
            self.engine.release_unstarted(&grant).await;
            return Admitted::Tell(Told::Reject(Rejection::request_unreadable()));
        }
        Admitted::Tell(match self.engine.hold(grant, claimed_at).await {
            Ok(tenure) => return Admitted::Run(Admit { tenure, claimed_at, checkpoint }),
            Err(NotHeld::Draining) => Told::Reject(Rejection::shutting_down()),
            Err(NotHeld::Unavailable) => Told::Reject(Rejection::store_unavailable()),
            Err(NotHeld::Lost(loss)) => superseded(loss),
        })
    }
}

const fn reject(rejection: Rejection) -> Next {
    Next::Tell(Told::Reject(rejection))
}

fn refuse(unclaimed: &Unclaimed) -> Next {
    reject(match unclaimed {
        Unclaimed::Unavailable => Rejection::store_unavailable(),
        Unclaimed::Corrupt => Rejection::record_corrupt(),
    })
}
