//! `demo-service bank`: the bank as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::exit::Failure;
use crate::shutdown::Signals;
use crate::{bank, banner, listen};

/// Where the ledger is when nobody says otherwise; `data/` is git-ignored.
pub const DEFAULT_LEDGER: &str = "data/ledger.jsonl";

/// What the bank is started with.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The address to listen on; port 0 takes any free one.
    #[arg(long, env = "DEMO_BANK_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:3001")]
    pub listen: String,
    /// The file with everything it executed. It is created when it is not there.
    #[arg(long, env = "DEMO_LEDGER", value_name = "PATH", default_value = DEFAULT_LEDGER)]
    pub ledger: PathBuf,
    /// Execute each idempotency key once. Charges and refunds then need a key, and a superseded attempt is refused. The keys
    /// are kept beside the ledger, in LEDGER.keys, with their secret in LEDGER.secret.
    #[arg(long, env = "DEMO_BANK_DEDUP")]
    pub dedup: bool,
}

/// Runs the bank until it is told to stop.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let ledger = bank::Ledger::open(args.ledger).await.map_err(Failure::configuration)?;
    let dedup = bank::Dedup::choose(args.dedup, &ledger).await.map_err(Failure::configuration)?;
    let (listener, address) = listen::bind(&args.listen).await.map_err(Failure::configuration)?;
    let mut signals = Signals::install().map_err(Failure::runtime)?;
    banner::bank(address, ledger.path(), args.dedup);
    let stopped = async move { signals.next().await };
    bank::serve(listener, ledger, dedup, stopped).await.map_err(Failure::runtime)?;
    tracing::info!("the bank has finished what it began");
    Ok(ExitCode::SUCCESS)
}
