//! The storm: the proof that the payment service cannot charge twice.
//!
//! Hostile surroundings, good clients: each makes one key per payment and keeps it over its retries, while answers are cut off,
//! clients leave, buttons are clicked twice, the bank's replies are lost and the server is killed with SIGKILL. Then the bank's
//! ledger, which knows nothing of keys, is asked what was executed.
//!
//! ```text
//!  plan ──► client ──► attempts ──► wire ──► servers ──► bank     what happens: seeded, decided in advance, real sockets
//!                         │                               │
//!                         ▼                               ▼
//!                      history ────► judge ◄─────────── ledger     what it amounts to: pure, from records alone
//!                         └──► tally ──► report ◄── verdict
//! ```
//!
//! - `plan`: who suffers what, a pure function of the seed.
//! - `client`: this project's own retry layer, around `attempts`: what each try suffers; `wire`: connections that die on
//!   purpose; `answer`: what an answer says.
//! - `scene`: the services under attack; `own`, `server`: children that are killed and come back; `campaign`: the two rounds,
//!   storm and recall.
//! - `history`: the record of everything; `judge`: the verdict; `tally` and `report`: the numbers.
//!
//! The exit status is the verdict: 0 where nothing happened that must not, 1 where something did, 2 where there is no verdict.

mod answer;
mod args;
mod attempts;
mod base;
mod campaign;
mod client;
mod error;
mod history;
mod judge;
mod ledger;
mod own;
mod plan;
mod progress;
mod ready;
mod report;
mod scene;
mod server;
mod tally;
#[cfg(test)]
mod tests;
mod wire;

use std::io::{self, Write};
use std::process::ExitCode;

pub use self::args::Args;
use self::campaign::Events;
pub use self::error::Error;
use self::judge::{Verdict, judge};
use self::ledger::LedgerReader;
use self::plan::Plan;
use self::report::{Report, announce};
use self::scene::Scene;
use self::tally::Tally;

/// Runs a storm and prints its report; the exit status is the verdict.
pub async fn run(args: Args) -> Result<ExitCode, Error> {
    args.check()?;
    // Dropping the storm kills its processes, so being asked to stop is no way to leave them behind.
    let mut out = io::stdout();
    tokio::select! {
        verdict = report(&args, &mut out) => verdict.map(|verdict| exit_code(&verdict)),
        () = told_to_stop() => Err(Error::Interrupted),
    }
}

async fn report(args: &Args, out: &mut (impl Write + Send)) -> Result<Verdict, Error> {
    let plan = Plan::new(args.seed.unwrap_or_else(short_seed), args.odds());
    announce(out, args, &plan).map_err(unprinted)?;
    let mut scene = Scene::prepare(args, plan.seed()).await?;
    let (events, verdict) = attack(args, plan, &mut scene).await?;
    let tally = Tally::of(&events.histories);
    let report = Report { args, events: &events, tally: &tally, verdict: &verdict };
    report.write(out).map_err(unprinted)?;
    scene.close().await;
    // Where doubles are what was asked for, there is nothing to find out about them.
    let asked_for = args.expects_doubles() && verdict.has_doubles_alone();
    if !verdict.is_clean()
        && !asked_for
        && let Some(kept) = scene.keep_files()
    {
        writeln!(out, "ledger and store are kept in {}", kept.display()).map_err(unprinted)?;
    }
    Ok(verdict)
}

/// Short enough to be copied by hand: it stands in every reference.
fn short_seed() -> u64 {
    rand::random::<u32>().into()
}

async fn attack(args: &Args, plan: Plan, scene: &mut Scene) -> Result<(Events, Verdict), Error> {
    let ledger = LedgerReader::new(&scene.bank)?;
    ledger.refuse_used_seed(&plan).await?;
    let events = campaign::run(args, plan, scene).await?;
    scene.silence().await?;
    ledger.await_quiet().await?;
    let charges = ledger.read(&events.histories).await?;
    let verdict = judge(&events.histories, &charges);
    Ok((events, verdict))
}

fn exit_code(verdict: &Verdict) -> ExitCode {
    match (verdict.is_clean(), verdict.is_empty()) {
        (false, _) => ExitCode::from(1),
        (true, true) => ExitCode::from(2),
        (true, false) => ExitCode::SUCCESS,
    }
}

fn unprinted(source: io::Error) -> Error {
    Error::Io { what: "the report could not be printed", source }
}

#[cfg(unix)]
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn told_to_stop() {
    drop(tokio::signal::ctrl_c().await);
}
