//! The command line: what can be run, and which options it takes.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Failure;
use crate::logging::LogArgs;
use crate::{bank, doctor, keys, serve, storm};

const EXAMPLES: &str = "\
Examples:
  demo-service
      Serves payments on 127.0.0.1:3000, keeps the idempotency keys in data/idempotency.redb,
      runs a bank in itself, and prints three curl lines to try.
  demo-service --listen 127.0.0.1:0 --store memory
      Serves on any free port and forgets its keys when it ends.
  demo-service bank
  demo-service serve --bank http://127.0.0.1:3001
      Two processes: the bank, and a payment service that uses it.
  demo-service storm --kill-every 3s
      Attacks a service and a bank of its own for a while, killing the service, and prints a verdict.
  demo-service storm --kill-every 3s --on-abandoned resolve
  demo-service storm --kill-every 3s --on-abandoned reexecute:5 --bank-dedup
      The same; what a killed service left behind is asked for at the bank, or run again at a bank that knows its keys.
  demo-service storm --kill-every 3s --servers 2 --store redis://127.0.0.1:6379
      Two services on one Redis, killed in turn.
  demo-service doctor --store redis://127.0.0.1:6379
      Says whether the server can be trusted with keys, and what to do where it cannot.
  demo-service keys list --standing indeterminate
      Prints the keys of which nobody knows whether their request ran; see keys --help for what to do.

Every option with a variable's name beside it is an environment variable too. An option wins over its variable.";

/// A payment service that cannot charge twice, the bank that judges it, and the storm that attacks it.
///
/// Without a command it serves payments, with the options below. Stop it with ctrl-c: it finishes what it began.
#[derive(Debug, Parser)]
#[command(name = "demo-service", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
    /// How to log, whatever is run.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve payments (what it does without a command).
    Serve(serve::Args),
    /// Run the bank: it moves the money, and its ledger is the judge.
    Bank(bank::Args),
    /// Attack payments, and let the bank's ledger judge.
    Storm(storm::Args),
    /// Examine a store: whether it can be trusted with keys, and what to do where it cannot.
    Doctor(doctor::Args),
    /// Look at the keys of a store, and settle or forget them by hand.
    Keys(keys::Args),
}

impl Cli {
    /// What is logged when nobody says otherwise: in a storm, the bank would write a line for each of thousands of charges.
    pub(crate) fn default_filter(&self) -> &'static str {
        match self.command {
            Some(Command::Storm(_) | Command::Keys(_) | Command::Doctor(_)) => "warn",
            _ => "info",
        }
    }

    /// Runs what was asked for, until it ends.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(args) => serve::run(args).await,
            Command::Bank(args) => bank::run(args).await,
            // 0 and 1 are verdicts; a storm that reaches none ends with the status of what it could not be started with.
            Command::Storm(args) => storm::run(args).await.map_err(Failure::configuration),
            Command::Doctor(args) => doctor::run(args).await,
            Command::Keys(args) => keys::run(args).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serves_when_no_command_is_given() {
        let cli = parse("demo-service --listen 127.0.0.1:0").unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.listen, "127.0.0.1:0");
        let cli = parse("demo-service serve --listen 127.0.0.1:0").unwrap();
        assert!(matches!(cli.command, Some(Command::Serve(args)) if args.listen == "127.0.0.1:0"));
    }

    #[test]
    fn every_option_is_an_environment_variable_too() {
        let mut commands = vec![Cli::command()];
        commands.extend(Cli::command().get_subcommands().cloned());
        for argument in commands.iter().flat_map(clap::Command::get_arguments) {
            if ["help", "version"].contains(&argument.get_id().as_str()) {
                continue;
            }
            let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(variable.starts_with("DEMO_"), "{}", argument.get_id());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let cli = parse("demo-service --secret hidden-hidden-hidden --encryption-keys 1:hidden").unwrap();
        assert!(!format!("{cli:?}").contains("hidden-") && !format!("{cli:?}").contains("1:hidden"), "{cli:?}");
        assert!(cli.serve.encryption_keys.is_some());
    }

    #[test]
    fn a_value_that_is_none_is_a_usage_error() {
        for line in [
            "demo-service --lease soon",
            "demo-service --store postgres",
            "demo-service --on-abandoned retry",
            "demo-service --on-abandoned reexecute:1",
            "demo-service storm --on-abandoned reexecute",
            "demo-service --store embedded:",
            "demo-service dance",
            "demo-service doctor --declare appendfsync=sometimes",
            "demo-service serve --declare nothing",
            "demo-service bank --listen",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
