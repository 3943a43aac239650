//! The chaos harness: servers with the real layer over a store in real Redis processes, under faults that are drawn from a
//! seed, and judges that count what happened to each key.
//!
//! # What is judged
//!
//! Every request of a key carries a fate, often none: its owner pauses past its lease, dies at a chosen point, panics, says
//! that nothing was executed. The handler's effect goes to a [ledger](Ledger) that counts. When a key's life is over, all
//! answers that its clients got are compared ([`History::verdict`]):
//!
//! 1. At most one effect, unless the downstream recognises a repetition.
//! 2. All answers that carry an outcome are the same, byte for byte.
//! 3. A key that was answered with an outcome has its effect.
//! 4. "Nobody knows" is never taken for "it did not happen": both are fine after it.
//!
//! # What it runs on
//!
//! [`Topology`] says which servers there are and how they fail; [`Subject`] which store is tested: the shipped one, or a
//! [mutant](Mutation) with one guard removed, which has to be found out.
//!
//! # What repeats
//!
//! The seed repeats what is drawn: which faults, in which order, after how long. What two processes do at the same time is
//! not repeated, so the same seed tells the same story and not the same run.

mod client;
mod death;
mod faults;
mod ground;
mod history;
mod http;
mod ledger;
mod naive;
mod order;
mod plan;
mod report;
mod run;
mod server;
mod tally;

pub use history::{Answer, History, Verdict};
pub use http::run_processes;
pub use ledger::Ledger;
pub use naive::{Mutation, NaiveStore};
pub use order::{CrashPoint, Fate, Lane, Order};
pub use plan::{Plan, Subject, Topology};
pub use report::{Report, markdown, mutant_table};
pub use run::run;
pub use tally::Tally;
