//! Moving the money: send it once, and when the reply is lost, find out before anybody is told anything.
//!
//! 1. A transfer is sent at most once per attempt, and only while the lease lasts. It carries the derived key, the fence,
//!    and the end of the lease as its `Not-After`.
//! 2. An answer of the bank is the outcome.
//! 3. Where no connection was made, nothing was sent: not executed.
//! 4. Otherwise the bank is asked for the key, again and again, until it shows the transfer, or its clock says that the
//!    transfer can no longer happen: not executed.
//! 5. Where it could not be asked for as long as that takes, the outcome is unknown, and is recorded as such: a retry that
//!    sent it again might pay twice.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_idempotency::Idempotency;

use super::arrival::Arrival;
use super::problem;
use super::step::Step;
use crate::bank::BankClient;
use crate::bank::charge::{Charge, ChargeQuery, ChargeRequest, Refund, RefundQuery, RefundRequest, Terms, VOID_AFTER};
use crate::bank::client::{CallError, Found};
use crate::bank::clock;
use crate::problem::Problem;

/// How much longer than necessary the bank is asked: for its answers to travel, and for clocks that differ.
pub(super) const MARGIN: Duration = Duration::from_secs(2);
/// The pause after the first question; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The right to send one transfer, as the attempt's lease gives it.
#[derive(Clone, Debug)]
pub(super) struct Mandate {
    /// What the attempt sends along: its derived key, and its fence.
    terms: Terms,
    /// Milliseconds since the Unix epoch.
    not_after: u64,
}

impl Mandate {
    /// The right to do one step of the attempt's work, for as long as the lease that was claimed lasts.
    ///
    /// The lease is renewed while the handler runs, but the bank may get the request when this process has been dead for
    /// long. So the lease that was claimed counts, and not what renewals would make of it: [`Resolver`] relies on that.
    ///
    /// [`Resolver`]: super::resolver::Resolver
    pub(super) fn new(
        idempotency: &Idempotency,
        step: Step,
        arrival: Arrival,
        lease: Duration,
    ) -> Result<Self, Problem> {
        let left = lease.saturating_sub(idempotency.claimed_at().elapsed());
        if left.is_zero() || idempotency.is_lost() {
            return Err(problem::too_late());
        }
        let not_after = arrival.wall_at(idempotency.claimed_at()).saturating_add(millis(lease));
        Ok(Self { terms: Terms::of(&idempotency.downstream(step.name()), not_after), not_after })
    }

    fn key(&self) -> &str {
        self.terms.key.as_deref().unwrap_or_default()
    }

    /// From when on, by the bank's clock, what it has not executed it never will.
    fn void_from(&self) -> u64 {
        self.not_after.saturating_add(millis(VOID_AFTER))
    }
}

/// Something that the bank executes, and that it can be asked for.
pub(super) trait Transfer: Sync {
    /// What the bank writes down.
    type Record: Send;

    /// Sends it.
    fn send(&self, bank: &BankClient, terms: &Terms) -> impl Future<Output = Result<Self::Record, CallError>> + Send;

    /// Asks what was executed with this key.
    fn ask(&self, bank: &BankClient, key: &str) -> impl Future<Output = Result<Found<Self::Record>, CallError>> + Send;
}

impl Transfer for ChargeRequest {
    type Record = Charge;

    async fn send(&self, bank: &BankClient, terms: &Terms) -> Result<Charge, CallError> {
        bank.charge(self, terms).await
    }

    async fn ask(&self, bank: &BankClient, key: &str) -> Result<Found<Charge>, CallError> {
        bank.charges(&ChargeQuery { key: Some(key.to_owned()), ..ChargeQuery::default() }).await
    }
}

/// A refund of a charge.
#[derive(Debug)]
pub(super) struct RefundOf {
    /// The bank's id of the charge.
    pub(super) charge: String,
    /// How much.
    pub(super) request: RefundRequest,
}

impl Transfer for RefundOf {
    type Record = Refund;

    async fn send(&self, bank: &BankClient, terms: &Terms) -> Result<Refund, CallError> {
        bank.refund(&self.charge, &self.request, terms).await
    }

    async fn ask(&self, bank: &BankClient, key: &str) -> Result<Found<Refund>, CallError> {
        bank.refunds(&RefundQuery { key: Some(key.to_owned()), charge: None }).await
    }
}

/// Sends a transfer and says what became of it.
pub(super) async fn carry_out<T: Transfer>(
    bank: &BankClient,
    transfer: &T,
    mandate: &Mandate,
) -> Result<T::Record, Problem> {
    match transfer.send(bank, &mandate.terms).await {
        Ok(record) => Ok(record),
        Err(CallError::Refused(problem)) => Err(problem::refused(problem)),
        Err(error) if error.is_not_executed() => {
            tracing::warn!(%error, "nothing was sent to the bank");
            Err(problem::bank_unreachable())
        }
        Err(error) => {
            tracing::warn!(%error, "the bank is asked what became of a transfer");
            find_out(bank, transfer, mandate).await
        }
    }
}

/// Asks for a transfer whose reply was lost, until the answer is certain or there is no hope of one.
async fn find_out<T: Transfer>(bank: &BankClient, transfer: &T, mandate: &Mandate) -> Result<T::Record, Problem> {
    let patience = Duration::from_millis(mandate.void_from().saturating_sub(clock::now())) + MARGIN;
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(certainty) = ask(bank, transfer, mandate).await {
            return certainty;
        }
        if started.elapsed() >= patience {
            return Err(problem::outcome_unknown());
        }
        sleep(jittered(pause)).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// What the bank says about it, once that is certain.
async fn ask<T: Transfer>(bank: &BankClient, transfer: &T, mandate: &Mandate) -> Option<Result<T::Record, Problem>> {
    let found = match transfer.ask(bank, mandate.key()).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the bank does not answer what became of a transfer");
            return None;
        }
    };
    let void = found.as_of > mandate.void_from();
    let record = found.records.into_iter().next().map(Ok);
    record.or_else(|| void.then(|| Err(problem::nothing_charged())))
}

/// Between half of it and all of it, so that those who lost their reply together do not ask together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..=1.0))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
