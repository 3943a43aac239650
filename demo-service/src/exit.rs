//! How the program ends when it cannot go on: one line on stderr, and a status that tells whose fault it is.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// The status for what the user can mend by starting it differently; the same that clap ends with.
const CONFIGURATION: u8 = 2;
/// The status for what went wrong while it ran.
const RUNTIME: u8 = 1;

/// Why the program ends.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// The options do not fit each other or the machine. The error names the cause and the remedy.
    pub(crate) fn configuration(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { status: CONFIGURATION, error: error.into() }
    }

    /// It started, and failed later.
    pub(crate) fn runtime(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { status: RUNTIME, error: error.into() }
    }

    /// Says why on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        // Where stderr is closed, the status still tells.
        let _ = writeln!(io::stderr(), "error: {self}");
        ExitCode::from(self.status)
    }
}

impl std::fmt::Display for Failure {
    /// The error and its causes, in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.error)?;
        let mut said = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            // Some errors show their cause themselves.
            if !said.contains(&error.to_string()) {
                write!(f, ": {error}")?;
                said = error.to_string();
            }
            cause = error.source();
        }
        Ok(())
    }
}
