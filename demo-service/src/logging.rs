//! Structured logs on stderr, as text for people or as JSON for machines. Keys, bodies and tokens are in none of them.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt;

/// How to log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// The shape of a log line.
    #[arg(long, env = "DEMO_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub(crate) log_format: LogFormat,
    /// What to log: a level, or levels by module, such as `info,demo_service=debug`. `RUST_LOG` is read where this is not
    /// given.
    #[arg(long, env = "DEMO_LOG", value_name = "FILTER", global = true)]
    pub(crate) log: Option<String>,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The filter cannot be read.
#[derive(Debug, Error)]
#[error(
    "the log filter {filter:?} cannot be read; write it as \"info\" or \"info,demo_service=debug\" in --log, DEMO_LOG or RUST_LOG"
)]
pub(crate) struct FilterError {
    filter: String,
    #[source]
    source: ParseError,
}

/// Sets up logging for the process; `default` is what is logged when nobody says otherwise. Where that was done already, by the program that this is part of, it stays as it is.
pub(crate) fn init(args: &LogArgs, default: &str) -> Result<(), FilterError> {
    let filter = args.log.clone().or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok());
    let filter = filter.filter(|filter| !filter.is_empty()).unwrap_or_else(|| default.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|source| FilterError { filter, source })?;
    let logs =
        tracing_subscriber::fmt().with_env_filter(parsed).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let _already_set = match args.log_format {
        LogFormat::Text => logs.finish().try_init(),
        LogFormat::Json => logs.json().finish().try_init(),
    };
    Ok(())
}
