//! `demo-service keys`: what an operator does about keys that a store holds.
//!
//! Every command prints one JSON object per line, and ends with status 0 if it did what was asked, with 1 if it did not
//! because the key stands otherwise, and with 2 if the store cannot be opened.

mod digest;
mod show;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use idempotency_store::{BoxStore, Cursor, Deadline, Erased, Fence, Query, Resolution, Resolved, Standing, Store};
use serde_json::{Value, json};

use self::digest::Digest;
use crate::exit::Failure;
use crate::store::{OpenStore, StoreChoice};

/// How long a verb may take.
const PATIENCE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  demo-service keys list --standing indeterminate --store redis://127.0.0.1:6379
      The keys of which nobody knows whether their request ran, with their fences.
  demo-service keys resolve KEY --not-executed --fence FENCE
      After somebody has looked at the bank and found no charge: the next request runs.
  demo-service keys erase KEY --fence FENCE
      Forgets the key, with its answer. The next request with it runs, even if this one did.

KEY and FENCE are as list and inspect print them. A fence that is not the key's any more changes nothing.
Of a service that encrypts, no key is needed: nothing is decrypted, and lengths are those of what is stored.
A file belongs to one process: stop the service before looking into its file.";

/// The arguments of `demo-service keys`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where the keys are: "embedded:PATH" or "redis://HOST:PORT".
    #[arg(long, env = "DEMO_STORE", value_name = "STORE", global = true, default_value_t = StoreChoice::default())]
    store: StoreChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Command {
    /// Print keys, one a line, and last where to go on.
    List {
        /// Only keys that stand like this.
        #[arg(long, value_enum, value_name = "STANDING")]
        standing: Option<ByStanding>,
        /// How many keys to print at most.
        #[arg(long, value_name = "COUNT", default_value = "100")]
        limit: NonZeroUsize,
        /// Where to go on, as the last line of the listing before says.
        #[arg(long, value_name = "CURSOR")]
        after: Option<Cursor>,
    },
    /// Print what stands at a key.
    Inspect {
        /// The key, as it is listed.
        key: Digest,
    },
    /// Say of a key that nobody knows about that its request did not run. The next request with it runs.
    Resolve {
        /// The key, as it is listed.
        key: Digest,
        /// The fence, as it is listed.
        #[arg(long)]
        fence: u64,
        /// It did not run, and nothing of it can arrive any more.
        #[arg(long, required = true)]
        not_executed: bool,
    },
    /// Forget a key that is not in flight, with its answer. The next request with it runs, even if this one did.
    Erase {
        /// The key, as it is listed.
        key: Digest,
        /// The fence, as it is listed.
        #[arg(long)]
        fence: u64,
    },
}

/// [`Standing`] on a command line.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum ByStanding {
    InFlight,
    Completed,
    Indeterminate,
    Released,
}

impl From<ByStanding> for Standing {
    fn from(by: ByStanding) -> Self {
        match by {
            ByStanding::InFlight => Self::InFlight,
            ByStanding::Completed => Self::Completed,
            ByStanding::Indeterminate => Self::Indeterminate,
            ByStanding::Released => Self::Released,
        }
    }
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
enum NoStore {
    #[error(
        "keys in memory are seen by their own process only; give --store embedded:PATH or --store redis://HOST:PORT"
    )]
    Memory,
    #[error("there is no store at {0}; give the path that the service is started with as --store embedded:PATH")]
    NoFile(String),
}

/// Does what was asked for.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match &args.store {
        StoreChoice::Memory => return Err(Failure::configuration(NoStore::Memory)),
        // Opening it would create it.
        StoreChoice::Embedded(path) if !path.exists() => {
            return Err(Failure::configuration(NoStore::NoFile(path.display().to_string())));
        }
        StoreChoice::Embedded(_) | StoreChoice::Redis(_) => {}
    }
    let open = OpenStore::open(&args.store, Duration::ZERO).await.map_err(Failure::configuration)?;
    let done = act(&open.store, args.command).await;
    open.close().await;
    done.map(|is_done| if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether it was done.
async fn act(store: &BoxStore, command: Command) -> Result<bool, Failure> {
    match command {
        Command::List { standing, limit, after } => list(store, standing.map(Into::into), limit, after).await,
        Command::Inspect { key } => inspect(store, key).await,
        Command::Resolve { key, fence, not_executed: _ } => {
            let fence = Fence::new(fence);
            let resolved = store.resolve(key.0, fence.into(), &Resolution::NotExecuted, soon()).await;
            let resolved = resolved.map_err(Failure::runtime)? == Resolved::Resolved;
            tell(key, if resolved { "resolved" } else { "conflict" })?;
            Ok(resolved)
        }
        Command::Erase { key, fence } => {
            let erased = store.erase(key.0, Fence::new(fence).into(), soon()).await.map_err(Failure::runtime)?;
            tell(
                key,
                match erased {
                    Erased::Erased => "erased",
                    Erased::InFlight { .. } => "in-flight",
                    Erased::Conflict => "conflict",
                    Erased::Absent => "absent",
                },
            )?;
            Ok(erased == Erased::Erased)
        }
    }
}

/// Asks for pages until there are as many keys as are wanted, or no more.
async fn list(
    store: &BoxStore,
    standing: Option<Standing>,
    limit: NonZeroUsize,
    mut after: Option<Cursor>,
) -> Result<bool, Failure> {
    let (mut unreadable, mut wanted) = (0, Some(limit));
    while let Some(limit) = wanted {
        let page = store.list(&Query { standing, after, limit }, soon()).await.map_err(Failure::runtime)?;
        for listed in &page.entries {
            print(&show::listed(listed))?;
        }
        unreadable += page.unreadable;
        after = page.next;
        wanted = NonZeroUsize::new(limit.get().saturating_sub(page.entries.len())).filter(|_| after.is_some());
    }
    print(&json!({ "next": after.map(|cursor| cursor.to_string()), "unreadable": unreadable }))?;
    Ok(true)
}

async fn inspect(store: &BoxStore, key: Digest) -> Result<bool, Failure> {
    let entry = store.inspect(key.0, soon()).await.map_err(Failure::runtime)?;
    match &entry {
        Some(entry) => print(&show::entry(entry))?,
        None => tell(key, "absent")?,
    }
    Ok(entry.is_some())
}

fn tell(key: Digest, what: &str) -> Result<(), Failure> {
    print(&json!({ "key": key.to_string(), "result": what }))
}

fn print(line: &Value) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(Failure::runtime)
}

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}
