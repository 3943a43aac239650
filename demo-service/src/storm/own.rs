//! The servers that the storm starts itself: their options, and which of them may be killed.

use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use super::error::Error;
use crate::on_abandoned::OnAbandonedChoice;
use crate::store::StoreChoice;

/// Short, so that what a killed server left behind is decided while its clients still ask.
const DEFAULT_LEASE: Duration = Duration::from_secs(3);

/// With fewer than this between two kills, a server never gets to serve.
const SHORTEST_LIFE: Duration = Duration::from_millis(100);

/// What the storm's own servers are started with, and what happens to them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "The storm's own servers")]
pub(super) struct Own {
    /// How many servers to start on one store. More than one needs a Redis store, for a file belongs to one process.
    #[arg(long, env = "DEMO_STORM_SERVERS", value_name = "N", default_value_t = NonZeroU16::MIN,
        value_parser = clap::value_parser!(NonZeroU16))]
    pub(super) servers: NonZeroU16,

    /// Where the servers keep their keys: memory, embedded:PATH, or redis://HOST:PORT [default: embedded, in a temporary
    /// directory]. Each storm digests with a secret of its own, so no storm meets the keys of another.
    #[arg(long, env = "DEMO_STORM_STORE", value_name = "STORE")]
    pub(super) store: Option<StoreChoice>,

    /// Lease of the servers [default: 3s].
    #[arg(long, env = "DEMO_STORM_LEASE", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) lease: Option<Duration>,

    /// What the servers do about a key whose owner was killed: refuse, reexecute:N, or resolve, as serve does.
    #[arg(long, env = "DEMO_STORM_ON_ABANDONED", value_name = "POLICY", default_value_t = OnAbandonedChoice::default())]
    pub(super) on_abandoned: OnAbandonedChoice,

    /// How long a retry waits for the answer of a request that is still running, as with serve.
    #[arg(long, env = "DEMO_STORM_WAIT", value_name = "TIME", default_value = "0s",
        value_parser = humantime::parse_duration)]
    pub(super) wait: Duration,

    /// Let the storm's own bank recognise a repeated charge by its key, and refuse superseded servers by their fence.
    /// Without it, reexecute:N charges twice.
    #[arg(long, env = "DEMO_STORM_BANK_DEDUP")]
    pub(super) bank_dedup: bool,

    /// Kill a server with SIGKILL this often, and start it again on its port; with several, the seed draws which.
    #[arg(long, env = "DEMO_STORM_KILL_EVERY", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) kill_every: Option<Duration>,
}

impl Own {
    /// What was asked for explicitly, and why it cannot be asked of a server that somebody else started.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let options = [
            ("--servers", self.servers != NonZeroU16::MIN, "the servers are those that are named; repeat --url"),
            ("--store", self.store.is_some(), "the store belongs to the server that is already running"),
            ("--lease", self.lease.is_some(), "the lease belongs to the server that is already running"),
            (
                "--on-abandoned",
                self.on_abandoned != OnAbandonedChoice::default(),
                "the policy belongs to that server, too",
            ),
            ("--wait", !self.wait.is_zero(), "waiting belongs to the server that is already running"),
            ("--kill-every", self.kill_every.is_some(), "only a server that the storm started itself may be killed"),
        ];
        options.into_iter().filter(|(_, given, _)| *given).map(|(option, _, reason)| (option, reason))
    }

    /// Checks what clap cannot: options that only make sense together.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.kill_every.is_some_and(|every| every < SHORTEST_LIFE) {
            return Err(Error::argument("--kill-every must be at least 100ms, or the server never gets to serve"));
        }
        if self.kill_every.is_some() && self.store == Some(StoreChoice::Memory) {
            return Err(Error::argument(
                "--kill-every cannot go with --store memory: a killed process takes its memory along, and every claim \
                 with it; use --store embedded:PATH or redis://HOST:PORT",
            ));
        }
        let shared = matches!(self.store, Some(StoreChoice::Redis(_)));
        if self.servers > NonZeroU16::MIN && !shared {
            return Err(Error::argument(
                "--servers above 1 needs a store that they can share: add --store redis://HOST:PORT",
            ));
        }
        Ok(())
    }

    /// Whether a charge is repeated after a crash and nothing recognises it, so that doubles are to be expected.
    pub(super) fn repeats_charges(&self) -> bool {
        matches!(self.on_abandoned, OnAbandonedChoice::Reexecute(_)) && !self.bank_dedup
    }

    /// The lease that they are started with.
    pub(super) fn lease(&self) -> Duration {
        self.lease.unwrap_or(DEFAULT_LEASE)
    }

    /// Their store; by default a file in this directory.
    pub(super) fn store_in(&self, files: &Path) -> StoreChoice {
        self.store.clone().unwrap_or_else(|| StoreChoice::Embedded(files.join("store.redb")))
    }

    /// What they run on, for the first lines of the report.
    pub(super) fn description(&self) -> String {
        let (servers, lease) = (self.servers, humantime::format_duration(self.lease()));
        let servers = if servers == NonZeroU16::MIN { "1 server".to_owned() } else { format!("{servers} servers") };
        let store = self.store.as_ref().map_or_else(|| "embedded store".to_owned(), StoreChoice::to_string);
        let dedup = if self.bank_dedup { "the bank recognises repetitions" } else { "the bank executes what it gets" };
        let wait = match self.wait {
            Duration::ZERO => "no waiting".to_owned(),
            wait => format!("wait {}", humantime::format_duration(wait)),
        };
        format!("{servers} on {store}, lease {lease}; on abandoned keys: {}; {wait}; {dedup}", self.on_abandoned)
    }
}
