//! Finding out what became of a request whose server died: by asking the bank, and never by guessing.
//!
//! The [idempotency layer](tower_idempotency::OnAbandoned::resolve) asks when a retry meets a key whose last owner is gone.
//! The bank is asked for the derived key, which every attempt of the key has sent along:
//!
//! | the bank | conclusion |
//! |---|---|
//! | shows the transfer | executed: the same answer that the handler would have given is recorded |
//! | shows nothing, and nothing can come any more | not executed: the handler runs |
//! | shows nothing, and it may still come | unknown: `Retry-After` says for how long at most |
//! | does not answer | unknown |
//!
//! # When nothing can come any more
//!
//! A transfer of the lost attempt may be on its way, or in a process that was stopped and will go on. It is certain that
//! it never takes effect when the bank refuses it. The bank refuses by its own clock: what arrives after its `Not-After`,
//! and what is not in its ledger [`VOID_AFTER`](crate::bank::charge::VOID_AFTER) later. So the question is when `Not-After` is, which only the lost
//! attempt knew. It is bounded, in four steps:
//!
//! 1. The attempt set it to its claim plus its lease at the latest (`Mandate::new`): it counts from the claim, and neither
//!    renewals move it nor a host that was suspended in between. It is written in the wall clock of the attempt's host.
//! 2. `quiet_for` is how long ago, by the clock of the store, the attempt claimed, or renewed its lease, or gave up, which
//!    is all later than its claim. So the claim was `quiet_for` ago or longer, and `Not-After` was `quiet_for - lease` ago
//!    or longer. Only the rate of the store's clock counts, not what time it shows.
//! 3. So once `quiet_for` is `lease + VOID_AFTER`, whatever the attempt sent or will send is void. `MARGIN` on top is
//!    for the wall clocks of the attempt's host and the bank, which may differ by so much, and for a rate that is not
//!    quite that of a second.
//! 4. The wall clock of this process takes part only to be more careful: a bank whose clock is behind ours has not come to
//!    that moment yet, and is believed when it has.
//!
//! **Look first, then ask.** That nothing can come must be true *before* the bank looks into its ledger. `quiet_for` was
//! taken before the resolver was called, so the bank's answer is later, and its time ([`as_of`](crate::bank::client::Found::as_of)) is from before it
//! looked. The other way round - ask, then wait until the time is over, then conclude from the old answer - would miss
//! what came in between.
//!
//! A process that was stopped after it had decided to send, and goes on an hour later, sends a transfer whose `Not-After`
//! is an hour ago: refused. One that had not decided finds that its lease is used up, and sends nothing. All servers must
//! have the same `--lease`, for this one's is taken for that of the lost attempt.

mod look;

use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, Path};
use axum::response::Response;
use http::Request;
use tower_idempotency::{Abandoned, OnAbandoned, Resolution};
use uuid::Uuid;

use self::look::{Conclusion, LATER, Look};
use super::answer;
use super::step::Step;
use crate::bank::BankClient;
use crate::bank::charge::{ChargeQuery, RefundQuery};
use crate::bank::clock;

/// Who finds out what became of abandoned requests.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// The bank that the handlers charge at.
    pub bank: BankClient,
    /// The lease that every server claims.
    pub lease: Duration,
}

impl Resolver {
    /// For [`IdempotencyLayer::on_abandoned`](tower_idempotency::IdempotencyLayer::on_abandoned).
    pub fn policy(self) -> OnAbandoned {
        OnAbandoned::resolve(move |abandoned| {
            let resolver = self.clone();
            async move { resolver.resolve(&abandoned).await }
        })
    }

    /// It only asks, so it may be dropped anywhere.
    async fn resolve(&self, abandoned: &Abandoned) -> Resolution {
        // Before the bank is asked: see the module's documentation.
        let look = Look { at: clock::now(), quiet_for: abandoned.quiet_for(), lease: self.lease };
        let Some(step) = step(abandoned) else {
            tracing::error!(path = abandoned.uri().path(), "an abandoned request of a route that executes nothing");
            return Resolution::Unknown { retry_after: LATER };
        };
        let key = Some(abandoned.downstream_key(step.name()));
        match step {
            Step::Charge => {
                let found = self.bank.charges(&ChargeQuery { key, ..ChargeQuery::default() }).await;
                resolution(look.conclude(found), |charge| Some(answer::paid(charge))).await
            }
            Step::Refund => {
                let payment = payment(abandoned).await;
                let found = self.bank.refunds(&RefundQuery { key, charge: None }).await;
                resolution(look.conclude(found), |refund| Some(answer::refunded(payment?, refund))).await
            }
        }
    }
}

/// What the layer is told. What was executed and has no answer cannot be: somebody has to look at it.
async fn resolution<T: Send>(
    conclusion: Conclusion<T>,
    answer: impl FnOnce(T) -> Option<Response> + Send,
) -> Resolution {
    match conclusion {
        Conclusion::NotExecuted => Resolution::NotExecuted,
        Conclusion::Unknown { retry_after } => Resolution::Unknown { retry_after },
        Conclusion::Executed(record) => {
            let response = answer(record);
            let answer = match response {
                Some(response) => answer::recorded(response).await,
                None => None,
            };
            answer.map_or(Resolution::Unknown { retry_after: LATER }, Resolution::Completed)
        }
    }
}

fn step(abandoned: &Abandoned) -> Option<Step> {
    Step::of_route(abandoned.extensions().get::<MatchedPath>()?.as_str())
}

/// The payment that the path names, read as the handler reads it.
async fn payment(abandoned: &Abandoned) -> Option<Uuid> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.extensions = abandoned.extensions().clone();
    let id = Path::<String>::from_request_parts(&mut parts, &()).await;
    id.ok()?.parse().ok()
}
