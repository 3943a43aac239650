//! `demo-service doctor`: whether a store can be trusted with keys, and what to do where it cannot.
//!
//! It prints what it finds, and ends with status 0 if there is no error (with `--strict`: and no warning), with 1 if there
//! is, and with 2 if the store cannot be examined.

mod file;
mod report;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use idempotency_store::redis::doctor::{Budget, Declaration, Diagnosis, Examination, Severity};
use idempotency_store::{Deadline, RedisStore, StoreError};

use self::report::{Report, Row};
use crate::exit::Failure;
use crate::store::{OpenStore, StoreChoice};

/// How long an examination may take.
const PATIENCE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  demo-service doctor --store redis://127.0.0.1:6379
  demo-service doctor --store rediss://app:PASSWORD@redis.example --declare appendfsync=everysec,maxmemory-policy=noeviction
      A managed server that may not be asked for its settings: they are vouched for.
  demo-service doctor --store redis://127.0.0.1:6379 --keys-per-second 200 --answer-bytes 2000 --strict
      Also compares the server's memory with what the keys will need, and fails on warnings too.

Status: 0 without errors, 1 with errors (with --strict: or warnings), 2 if the store cannot be examined.
docs/doctor.md explains each check.";

/// The arguments of `demo-service doctor`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to examine: "redis://HOST:PORT", "embedded:PATH" or "memory".
    #[arg(long, env = "DEMO_STORE", value_name = "STORE", default_value_t = StoreChoice::default())]
    store: StoreChoice,
    #[command(flatten)]
    declared: Declared,
    /// The lease of the service: the clocks may differ by a tenth of it.
    #[arg(long, env = "DEMO_LEASE", value_name = "DURATION", default_value = "30s",
        value_parser = humantime::parse_duration)]
    lease: Duration,
    /// How long a key is remembered.
    #[arg(long, env = "DEMO_RETENTION", value_name = "DURATION", default_value = "24h",
        value_parser = humantime::parse_duration)]
    retention: Duration,
    /// How many new keys to expect per second. Without it, memory is not looked at.
    #[arg(long, env = "DEMO_KEYS_PER_SECOND", value_name = "COUNT")]
    keys_per_second: Option<u64>,
    /// The bytes of an average answer.
    #[arg(long, env = "DEMO_ANSWER_BYTES", value_name = "BYTES", default_value = "1024")]
    answer_bytes: u64,
    /// End with status 1 on warnings, too.
    #[arg(long, env = "DEMO_STRICT")]
    strict: bool,
}

/// What is vouched for.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Declared {
    /// A setting of the Redis server that it does not say itself, such as "appendfsync=always"; may be repeated, or several
    /// with commas between.
    #[arg(long = "declare", env = "DEMO_DECLARE", value_name = "NAME=VALUE", value_delimiter = ',')]
    declared: Vec<Declaration>,
}

impl Declared {
    fn examination(&self, lease: Duration) -> Examination {
        self.declared.iter().cloned().fold(Examination::new().lease(lease), Examination::declare)
    }
}

/// Examines the store, and prints what is found.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let report = match &args.store {
        StoreChoice::Memory => Report::of(file::memory()),
        StoreChoice::Embedded(path) => Report::of(file::examine(path).await),
        StoreChoice::Redis(_) => {
            let open = OpenStore::open(&args.store, Duration::ZERO).await.map_err(Failure::configuration)?;
            let Some(redis) = open.redis() else { return Ok(ExitCode::SUCCESS) };
            diagnose(redis, &args.examination()).await.map_err(Failure::configuration)?.into()
        }
    };
    write!(io::stdout(), "{}", report.on(&args.store)).map_err(Failure::runtime)?;
    let limit = if args.strict { Severity::Warning } else { Severity::Error };
    let is_fit = report.worst() < Some(limit);
    Ok(if is_fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn examination(&self) -> Examination {
        let examination = self.declared.examination(self.lease);
        let budget =
            |keys_per_second| Budget { keys_per_second, retention: self.retention, answer_bytes: self.answer_bytes };
        self.keys_per_second.map(budget).into_iter().fold(examination, Examination::budget)
    }
}

async fn diagnose(redis: &RedisStore, examination: &Examination) -> Result<Diagnosis, StoreError> {
    redis.diagnose(examination, Deadline::after(PATIENCE)).await
}

/// The service does not start on this store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// The store cannot be examined.
    #[error("the store cannot be examined; --allow-unsafe-store starts all the same")]
    Unexamined(#[source] StoreError),
    /// The store forgets keys, or refuses them.
    #[error(
        "the store is not safe: {first}{}; mend it (demo-service doctor says more), or start all the same with \
         --allow-unsafe-store", others(*.more)
    )]
    Unsafe {
        /// The worst finding.
        first: String,
        /// How many more errors there are.
        more: usize,
    },
}

fn others(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" (and {more} more)") }
}

/// Examines the store before a service starts on it, and logs what is found. Errors are a reason not to start, unless
/// `anyway`.
pub(crate) async fn admit(store: &OpenStore, declared: &Declared, lease: Duration, anyway: bool) -> Result<(), Unfit> {
    let Some(redis) = store.redis() else { return Ok(()) };
    match diagnose(redis, &declared.examination(lease)).await {
        Ok(diagnosis) => decide(diagnosis, anyway),
        Err(error) if anyway => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store cannot be examined");
            Ok(())
        }
        Err(error) => Err(Unfit::Unexamined(error)),
    }
}

fn decide(diagnosis: Diagnosis, anyway: bool) -> Result<(), Unfit> {
    let mut errors = Vec::new();
    for finding in diagnosis.findings {
        match finding.severity {
            Severity::Error if !anyway => errors.push(finding),
            Severity::Info => tracing::debug!("{finding}"),
            _ => tracing::warn!("{finding}"),
        }
    }
    for finding in &errors {
        tracing::error!("{finding}");
    }
    match &errors[..] {
        [] => Ok(()),
        [first, more @ ..] => {
            Err(Unfit::Unsafe { first: format!("{}: {}", first.check, first.seen), more: more.len() })
        }
    }
}

impl From<Diagnosis> for Report {
    fn from(diagnosis: Diagnosis) -> Self {
        let asked = diagnosis.looks.into_iter().map(|look| (look.at, look.refused)).collect();
        Self { rows: diagnosis.findings.into_iter().map(Row::from).collect(), asked }
    }
}
