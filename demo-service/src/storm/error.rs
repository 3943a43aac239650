//! What keeps a storm from its verdict.

use std::io;
use std::time::Duration;

/// Why there is no verdict. A bad verdict is not an error: it is what the storm is for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Options that do not go together, or a value outside of what makes sense.
    #[error("{0}")]
    Argument(String),
    /// The storm was asked to stop.
    #[error("stopped before the verdict; the storm's own processes were ended")]
    Interrupted,
    /// No free port for the storm's own server.
    #[error("no free port on 127.0.0.1 for the storm's own processes")]
    NoPort(#[source] io::Error),
    /// This program could not be started a second time.
    #[error("the {name} of the storm could not be started")]
    Spawn {
        /// Which of the storm's own processes it was.
        name: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// One of the storm's own processes could not be killed.
    #[error("the {name} of the storm could not be killed")]
    Kill {
        /// Which of them.
        name: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// One of the storm's own processes ended, or never became ready.
    #[error("the {name} of the storm {what}; its last words:\n{stderr}")]
    Process {
        /// Which of them.
        name: &'static str,
        /// What happened to it.
        what: String,
        /// The end of what it wrote on its standard error.
        stderr: String,
    },
    /// A service named on the command line does not answer.
    #[error("{url} did not become ready within {}: {reason}", humantime::format_duration(*waited))]
    NotReady {
        /// Where it was expected.
        url: String,
        /// How long the storm waited.
        waited: Duration,
        /// What was seen last.
        reason: String,
    },
    /// The ledger already holds payments of this seed, which would be taken for doubles.
    #[error("the bank already holds charges of seed {seed}; choose another --seed, or a bank with an empty ledger")]
    SeedUsed {
        /// The seed.
        seed: u64,
    },
    /// The bank's ledger could not be read, so nothing can be judged.
    #[error("the bank's ledger could not be read")]
    Ledger(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Files of the storm's own processes, or its report.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A client of the storm failed in a way that is a bug.
    #[error("a client of the storm failed")]
    Client(#[from] tokio::task::JoinError),
}

impl Error {
    pub(super) fn argument(reason: impl Into<String>) -> Self {
        Self::Argument(reason.into())
    }
}
