//! From the claim to the right to run: what happens to a request before its handler is entered, or instead.

use std::sync::Arc;
use std::time::Duration;

use idempotency_store::{Attempt, Checkpoint, Claimed, Grant, Indeterminate, Store};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::abandoned::Abandoned;
use crate::claim_limit::{ScopeLimit, Token, refused};
use crate::config::{OnDisconnect, OnUnavailable};
use crate::decision::{Decision, Told, decide, replay, superseded};
use crate::engine::{Engine, News, NotHeld, Resolving, Tenure, Unclaimed};
use crate::execution::Keyed;
use crate::rejection::Rejection;
use crate::resolving::{SOON, Word};
use crate::settings::Settings;
use crate::waiting::{Waited, wait};

/// How often one request asks its resolver, if each time something else happens to the key before the store is told.
const RESOLUTIONS: usize = 3;

/// How long a claim may take at least after a wait: one that has no time fails at a store that is well.
const LEAST_CLAIM: Duration = Duration::from_millis(250);

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
    /// The handler runs without one: no store answered, and the route fails open.
    Unprotected,
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

/// What a request goes through that is not granted its key at once.
struct Detour {
    /// To ask the resolver. Kept over the next claim, so that nobody else here asks what is just being told to the store.
    right: Option<Resolving>,
    /// How often the resolver was asked.
    asked: usize,
    /// Until when the request waits, once it does.
    until: Option<Instant>,
    /// How long the next claim may take, besides the claim budget.
    claim_within: Duration,
}

impl Detour {
    /// Nothing but an answer of the store leads here.
    const fn is_untrodden(&self) -> bool {
        self.asked == 0 && self.until.is_none()
    }
}

impl<S: Store> Admission<'_, S> {
    /// Claims the key. `client` is closed when nobody waits for the answer any more.
    ///
    /// Not cancel safe: the caller runs it in a task of its own.
    pub(crate) async fn admit<T: Send>(&self, client: &mut oneshot::Sender<T>) -> Admitted<S> {
        let mut detour = Detour { right: None, asked: 0, until: None, claim_within: Duration::MAX };
        loop {
            let claimed_at = Instant::now();
            let on_abandoned = self.settings.on_abandoned.at_claim();
            // Once the store has said that somebody has or had the key, no route may run the request unprotected.
            let token = match self.keyed.limit.as_ref().map(ScopeLimit::take).transpose() {
                Ok(token) => token,
                Err(until) => return Admitted::Tell(Told::Reject(refused(&self.engine.counts, until))),
            };
            let fails_open = || detour.is_untrodden() && self.fails_open(client.is_closed());
            let claimed = self.engine.claim(self.attempt, on_abandoned, detour.claim_within, fails_open).await;
            settle(token, &claimed);
            let next = match claimed.map(decide) {
                Ok(Decision::Run(grant, checkpoint)) => {
                    return self.hold(grant, checkpoint, claimed_at, client.is_closed()).await;
                }
                Ok(Decision::Tell(told)) => Next::Tell(told),
                Ok(Decision::InFlight(remaining)) => {
                    Box::pin(self.wait(Rejection::in_flight(remaining), &mut detour, client)).await
                }
                Ok(Decision::Abandoned(found)) => Box::pin(self.resolve(found, &mut detour, client)).await,
                Err(Unclaimed::Unprotected) => return Admitted::Unprotected,
                Err(unclaimed) => refuse(&unclaimed),
            };
            if let Next::Tell(told) = next {
                return Admitted::Tell(told);
            }
        }
    }

    fn unwanted(&self, client_left: bool) -> bool {
        client_left && self.settings.on_disconnect == OnDisconnect::Cancel
    }

    fn fails_open(&self, client_left: bool) -> bool {
        self.settings.on_unavailable == OnUnavailable::FailOpen && !self.unwanted(client_left)
    }

    /// Waits for whoever has the key, or is told `otherwise`.
    async fn wait<T>(&self, otherwise: Rejection, detour: &mut Detour, client: &mut oneshot::Sender<T>) -> Next {
        detour.right = None;
        let max = self.settings.wait.map_or(Duration::ZERO, |wait| wait.max);
        let until = *detour.until.get_or_insert_with(|| Instant::now() + max);
        let news = match wait(self.engine, self.settings, &self.attempt, until, client).await {
            Waited::News(news) => news,
            Waited::InVain => return reject(otherwise),
            Waited::Alone => return reject(Rejection::request_unreadable()),
        };
        detour.claim_within = until.saturating_duration_since(Instant::now()).max(LEAST_CLAIM);
        match news {
            News::Completed(completed) => Next::Tell(replay(completed)),
            News::Abandoned if self.settings.on_abandoned.is_refuse() => reject(Rejection::indeterminate()),
            News::Abandoned | News::Claim => Next::ClaimAgain,
            News::Unresolved(retry_after) => reject(Rejection::unresolved(retry_after)),
            News::Corrupt => reject(Rejection::record_corrupt()),
            News::Closing => reject(Rejection::shutting_down()),
        }
    }

    /// Has the application find out what became of an abandoned key, if it can, and tells the store.
    async fn resolve<T>(&self, found: Indeterminate, detour: &mut Detour, client: &mut oneshot::Sender<T>) -> Next {
        let Some(resolver) = self.settings.on_abandoned.resolver() else {
            return reject(Rejection::indeterminate());
        };
        detour.right = detour.right.take().or_else(|| self.engine.resolving(self.attempt));
        if detour.right.is_none() {
            return self.wait(Rejection::unresolved(SOON), detour, client).await;
        }
        if detour.asked == RESOLUTIONS {
            return reject(Rejection::unresolved(SOON));
        }
        detour.asked += 1;
        detour.claim_within = Duration::MAX;
        let seen = found.seen();
        match resolver.word(self.abandoned(found), self.settings).await {
            Word::Unknown(retry_after) => {
                self.engine.unresolved(&self.attempt, retry_after);
                reject(Rejection::unresolved(retry_after))
            }
            Word::Known(resolution) => match self.engine.resolve(self.attempt, seen, &resolution).await {
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
        if self.unwanted(client_left) {
            Box::pin(self.engine.release_unstarted(&grant)).await;
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

/// A token is spent by the first claim of a key, and by nothing else.
fn settle(token: Option<Token<'_>>, claimed: &Result<Claimed, Unclaimed>) {
    match (token, claimed) {
        (Some(token), Ok(Claimed::Acquired { grant, .. })) if grant.number == 1 => token.spend(),
        (token, _) => drop(token),
    }
}

const fn reject(rejection: Rejection) -> Next {
    Next::Tell(Told::Reject(rejection))
}

fn refuse(unclaimed: &Unclaimed) -> Next {
    reject(match unclaimed {
        Unclaimed::Unavailable | Unclaimed::Unprotected => Rejection::store_unavailable(),
        Unclaimed::Corrupt => Rejection::record_corrupt(),
    })
}
