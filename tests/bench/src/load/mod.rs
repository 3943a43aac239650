//! The load generator: one thread, one epoll, requests that were formatted before.
//!
//! *Closed loop*: each connection sends its next request when it has the answer to the last. It finds the throughput, and its
//! latencies say how long a queue of that length takes. *Open loop*: requests are due at fixed times, whether or not the
//! server keeps up, and a latency counts from the time at which its request was due. A server that stalls for a second is
//! charged for every request that was due in it (no coordinated omission).
//!
//! It shares the machine with the server, so it does no more per request than one write, one read and one look at the head.

mod arguments;
mod connection;
mod pace;
mod report;
mod requests;
mod run;

use std::io::{BufRead as _, Write as _, stdin, stdout};

use clap::Parser as _;

pub use arguments::{Arguments, Keys};
pub(crate) use report::count;
pub use report::{Latency, Report};

use crate::Outcome;
use run::Load;

/// What is printed when the load is about to begin; it begins with a line on standard input.
pub const READY: &str = "ready";

/// Connects, primes and warms up; then prints [`READY`], waits for a line, puts the load on and prints the [`Report`] as JSON.
///
/// # Errors
///
/// Whatever keeps it from measuring.
#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
pub fn main() -> Outcome {
    let arguments = Arguments::parse();
    let mut load = Load::connect(&arguments)?;
    load.prime()?;
    load.warm_up()?;
    println!("{READY}");
    stdout().flush()?;
    stdin().lock().read_line(&mut String::new())?;
    println!("{}", serde_json::to_string(&load.measure()?)?);
    Ok(())
}
