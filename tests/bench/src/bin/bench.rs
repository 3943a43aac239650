//! The benchmarks: `bench goals` measures the table of goals, `bench budget` what must not grow.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::collections::BTreeSet;

use clap::{Parser, Subcommand, ValueEnum};
use idempotency_bench::Outcome;
use idempotency_bench::budget::{Line, compare};
use idempotency_bench::goals::{Effort, Runs};
use idempotency_bench::measure::{Program, RedisServer, Subject, listing};
use idempotency_bench::report::{Curves, write};
use idempotency_bench::server::Kind;

/// What a request costs.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures the table of goals, prints it, and keeps it in `target/bench/goals.json`.
    Goals {
        /// How often the whole table is measured.
        #[arg(long, default_value_t = 1)]
        runs: usize,
        /// Alternating pairs of each comparison.
        #[arg(long, default_value_t = 3)]
        pairs: usize,
        /// How long each half of a pair takes, in seconds.
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// Only these rows, such as `1,5`.
        #[arg(long, value_delimiter = ',')]
        only: Vec<u8>,
    },
    /// The long form: the table, the curves, the plots, and `docs/performance.md`.
    Report {
        /// How often the whole table is measured.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Alternating pairs of each comparison.
        #[arg(long, default_value_t = 11)]
        pairs: usize,
        /// How long each half of a pair takes, in seconds.
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// Measure nothing: write what was kept.
        #[arg(long)]
        kept: bool,
    },
    /// Prints the table that was kept.
    Show,
    /// Compares the figures that do not depend on the machine's speed with `budget.toml`; fails if one has grown.
    Budget,
    /// Lists where the instructions of a request go, by callgrind.
    Profile {
        /// Which request.
        request: Request,
        /// Which server.
        #[arg(long, default_value = "redis")]
        kind: Kind,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Request {
    First,
    Replay,
    Keyless,
}

fn measured(runs: usize, pairs: usize, seconds: f64, only: Vec<u8>) -> Outcome<Runs> {
    let effort = Effort { pairs, seconds, requests: 5_000, only: BTreeSet::from_iter(only) };
    let runs = Runs::measure(runs, &effort, |run, row| eprintln!("run {run}: measuring row {row}"))?;
    runs.save()?;
    Ok(runs)
}

fn main() -> Outcome {
    match Arguments::parse().command {
        Command::Goals { runs, pairs, seconds, only } => {
            println!("{}", measured(runs, pairs, seconds, only)?);
        }
        Command::Report { kept: true, .. } => println!("{}", write(&Runs::load()?, &Curves::load()?)?.display()),
        Command::Report { runs, pairs, seconds, .. } => {
            let runs = measured(runs, pairs, seconds, Vec::new())?;
            println!("{runs}");
            // The curves are of medians, too, of fewer rounds.
            let curves = Curves::measure(pairs.div_ceil(4), seconds, |what| eprintln!("measuring {what}"))?;
            curves.save()?;
            println!("{}", write(&runs, &curves)?.display());
        }
        Command::Show => println!("{}", Runs::load()?),
        Command::Budget => {
            let lines = compare()?;
            for line in &lines {
                println!("{line}");
            }
            if !lines.iter().all(Line::is_kept) {
                return Err("a request has become more expensive than tests/bench/budget.toml allows".into());
            }
        }
        Command::Profile { request, kind } => {
            let subject = match request {
                Request::First => Subject::first(kind),
                Request::Replay => Subject::replay(kind),
                Request::Keyless => Subject::keyless(kind),
            };
            print!("{}", listing(&subject, &RedisServer::start(Program::System, &[])?, 5_000)?);
        }
    }
    Ok(())
}
