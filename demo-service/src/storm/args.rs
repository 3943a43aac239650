//! The storm's options, and what becomes of them once they are checked.

use std::time::Duration;

use super::base::Base;
use super::error::Error;
use super::own::Own;
use super::plan::Odds;

/// Attacks a payment service and judges it by the bank's ledger.
///
/// Without `--url` the storm starts a bank and a server of its own, so `demo-service storm` alone is a whole proof.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Payment service to attack; repeat it for several servers on one store. Without it the storm starts its own.
    #[arg(long, env = "DEMO_STORM_URL", value_name = "URL", value_delimiter = ',')]
    pub(super) url: Vec<Base>,

    /// Bank whose ledger judges the storm; needed with --url. Without it the storm starts its own.
    #[arg(long, env = "DEMO_STORM_BANK", value_name = "URL")]
    pub(super) bank: Option<Base>,

    /// Payments to make.
    #[arg(long, env = "DEMO_STORM_PAYMENTS", value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) payments: u32,

    /// Clients that pay at the same time.
    #[arg(long, env = "DEMO_STORM_CLIENTS", value_name = "C", default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(super) clients: u32,

    /// Seed of everything random; the same seed plans the same storm [default: a random one, printed].
    #[arg(long, env = "DEMO_STORM_SEED", value_name = "S")]
    pub(super) seed: Option<u64>,

    /// Percent of attempts whose answer is cut off after the server gave it.
    #[arg(long, env = "DEMO_STORM_LOSE_REPLIES", value_name = "P", default_value_t = 30,
        value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Faults")]
    pub(super) lose_replies: u8,

    /// Percent of attempts whose client leaves before the answer.
    #[arg(long, env = "DEMO_STORM_DISCONNECT", value_name = "P", default_value_t = 10,
        value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Faults")]
    pub(super) disconnect: u8,

    /// Percent of attempts that are sent twice at the same time.
    #[arg(long, env = "DEMO_STORM_DOUBLE_CLICK", value_name = "P", default_value_t = 20,
        value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Faults")]
    pub(super) double_click: u8,

    /// Percent of charges after which the bank drops the connection instead of replying.
    #[arg(long, env = "DEMO_STORM_BANK_LOST_REPLIES", value_name = "P", default_value_t = 10,
        value_parser = clap::value_parser!(u8).range(0..=100), help_heading = "Faults")]
    pub(super) bank_lost_replies: u8,

    /// Send a fresh key with every attempt: shows what happens to a client that nothing protects.
    #[arg(long, env = "DEMO_STORM_WITHOUT_KEY", help_heading = "Faults")]
    pub(super) without_key: bool,

    /// The servers that it starts itself.
    #[command(flatten)]
    pub(super) own: Own,

    /// How long a client waits for one answer.
    #[arg(long, env = "DEMO_STORM_TIMEOUT", value_name = "TIME", default_value = "5s",
        value_parser = humantime::parse_duration, help_heading = "Patience")]
    pub(super) timeout: Duration,

    /// How long a client retries one payment before it gives up.
    #[arg(long, env = "DEMO_STORM_PATIENCE", value_name = "TIME", default_value = "60s",
        value_parser = humantime::parse_duration, help_heading = "Patience")]
    pub(super) patience: Duration,

    /// When the storm ends, finished or not; asking again afterwards may take as long once more.
    #[arg(long, env = "DEMO_STORM_DEADLINE", value_name = "TIME", default_value = "30m",
        value_parser = humantime::parse_duration, help_heading = "Patience")]
    pub(super) deadline: Duration,
}

impl Args {
    /// Checks what clap cannot: options that only make sense together.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_attacked_service()?;
        self.own.check()?;
        if self.bank.is_some() && self.own.bank_dedup {
            return Err(Error::argument("--bank-dedup cannot go with --bank: start that bank with --dedup"));
        }
        for (name, time) in [("timeout", self.timeout), ("patience", self.patience), ("deadline", self.deadline)] {
            if time.is_zero() {
                return Err(Error::argument(format!("--{name} must be longer than 0s")));
            }
        }
        Ok(())
    }

    fn check_attacked_service(&self) -> Result<(), Error> {
        if self.url.is_empty() {
            return Ok(());
        }
        if self.bank.is_none() {
            return Err(Error::argument(
                "--url needs --bank: without the ledger of the bank that this service charges there is no verdict",
            ));
        }
        match self.own.given().next() {
            Some((option, reason)) => Err(Error::argument(format!("{option} cannot go with --url: {reason}"))),
            None => Ok(()),
        }
    }

    /// Whether the storm shows what happens to payments that nothing protects.
    pub(super) fn expects_doubles(&self) -> bool {
        self.without_key || self.own.repeats_charges()
    }

    pub(super) fn odds(&self) -> Odds {
        Odds { lose_replies: self.lose_replies, disconnect: self.disconnect, double_click: self.double_click }
    }

    /// The card of every payment: the bank reads its own misbehaviour from it.
    pub(super) fn source(&self) -> String {
        match self.bank_lost_replies {
            0 => "card_visa".to_owned(),
            percent => format!("card_flaky_{percent}"),
        }
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
