//! A payment service that cannot charge twice, the bank that judges it and the storm that attacks it.
//!
//! - [`payments`] is the service to learn from: handlers behind an [`IdempotencyLayer`](tower_idempotency::IdempotencyLayer).
//! - [`bank`] is its downstream: it moves the money, executes whatever reaches it, and its ledger is the judge.
//! - [`storm`] is the proof: hostile clients and a killed server, then a verdict from the bank's ledger.
//! - [`problem`] is the shape of every error that service or bank answers.
//!
//! The program itself is [`main`]; another crate's binary may call it, as the tests do.

pub mod bank;
mod banner;
mod cli;
mod doctor;
mod exit;
mod extract;
mod hidden;
mod keys;
mod listen;
mod logging;
mod on_abandoned;
pub mod payments;
pub mod problem;
mod serve;
mod shutdown;
mod store;
pub mod storm;

use std::process::ExitCode;

use clap::Parser;

use self::cli::Cli;
use self::exit::Failure;

/// Reads the command line, runs what it says, and returns the status to exit with: 0 when it was stopped, 1 when it failed
/// while it ran, 2 when it could not be started so.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => start(cli).unwrap_or_else(|failure| failure.report()),
        Err(error) => {
            // It is the help, the version or the usage; where nobody can read it, the status still tells.
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode, Failure> {
    logging::init(&cli.log, cli.default_filter()).map_err(Failure::configuration)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::runtime)?;
    runtime.block_on(cli.run())
}
