//! Reading the bank's ledger, payment by payment.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::base::Base;
use super::error::Error;
use super::history::History;
use super::judge;
use super::plan::Plan;
use crate::bank::BankClient;
use crate::bank::charge::ChargeQuery;

/// Questions to the bank at the same time.
const READERS: usize = 16;

/// Between two looks at whether the bank is still at work.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A bank that is still charging after this is judged as it is.
const QUIET_WITHIN: Duration = Duration::from_secs(10);

/// The bank, as far as the judge needs it.
#[derive(Debug, Clone)]
pub(crate) struct LedgerReader {
    bank: BankClient,
}

impl LedgerReader {
    pub(crate) fn new(bank: &Base) -> Result<Self, Error> {
        let bank = BankClient::new(&bank.to_string());
        Ok(Self { bank: bank.map_err(|error| Error::argument(error.to_string()))? })
    }

    /// The charges of another storm with this seed would be taken for doubles of this one.
    pub(crate) async fn refuse_used_seed(&self, plan: &Plan) -> Result<(), Error> {
        if self.charges(plan.reference(0)).await?.is_empty() {
            return Ok(());
        }
        Err(Error::SeedUsed { seed: plan.seed() })
    }

    /// Waits until the bank has finished what it had read when its callers left.
    pub(crate) async fn await_quiet(&self) -> Result<(), Error> {
        let gives_up = Instant::now() + QUIET_WITHIN;
        let mut seen = self.executed().await?;
        while Instant::now() < gives_up {
            sleep(LOOK_EVERY).await;
            let now = self.executed().await?;
            if now == seen {
                break;
            }
            seen = now;
        }
        Ok(())
    }

    /// Every charge of every payment of the storm.
    pub(crate) async fn read(&self, histories: &[History]) -> Result<Vec<judge::Charge>, Error> {
        let mut readers = JoinSet::new();
        for part in histories.chunks(histories.len().div_ceil(READERS).max(1)) {
            let references: Vec<_> = part.iter().map(|history| history.reference.clone()).collect();
            readers.spawn(self.clone().read_part(references));
        }
        let mut ledger = Vec::with_capacity(histories.len());
        while let Some(part) = readers.join_next().await {
            ledger.extend(part??);
        }
        Ok(ledger)
    }

    async fn read_part(self, references: Vec<String>) -> Result<Vec<judge::Charge>, Error> {
        let mut part = Vec::with_capacity(references.len());
        for reference in references {
            part.extend(self.charges(reference).await?);
        }
        Ok(part)
    }

    async fn charges(&self, reference: String) -> Result<Vec<judge::Charge>, Error> {
        let query = ChargeQuery { reference: Some(reference), ..ChargeQuery::default() };
        let found = self.bank.charges(&query).await;
        let found = found.map_err(|error| Error::Ledger(error.into()))?.records.into_iter();
        let charges =
            found.map(|charge| judge::Charge { id: charge.id, reference: charge.reference, amount: charge.amount });
        Ok(charges.collect())
    }

    async fn executed(&self) -> Result<u64, Error> {
        let summary = self.bank.summary().await;
        Ok(summary.map_err(|error| Error::Ledger(error.into()))?.charges)
    }
}
