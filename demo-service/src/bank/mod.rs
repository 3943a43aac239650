//! The bank: the downstream that moves the money, and the judge of those who call it.
//!
//! It executes **every** request that reaches it - it does not look at the key, it writes it down - so whoever sends a
//! charge twice has charged twice, and the ledger shows it. Unless it was started with [dedup]: then it executes a key once.
//! What it does for its callers:
//!
//! 1. A charge is on the disk before it is answered.
//! 2. What it has read it finishes, even when its caller has left.
//! 3. It refuses a request that arrives after its `Not-After`, and what is not in the ledger
//!    [`VOID_AFTER`](charge::VOID_AFTER) later never will be.
//! 4. It can be asked what it executed, by the key that came with it; a question never overtakes a charge.
//!
//! Routes: `POST /charges`, `POST /charges/{id}/refunds`, `GET /charges?reference=&key=&payment=&merchant=&after=&limit=`,
//! `GET /charges/summary`, `GET /refunds?key=&charge=`, `GET /healthz`. The bodies are in [`charge`], the behaviours that a
//! source chooses in [`card`]. An error is a [`Problem`](crate::problem::Problem) with `"executed": false` wherever that is
//! certain.

mod api;
pub mod card;
pub mod charge;
pub mod client;
pub mod clock;
mod command;
pub mod dedup;
mod hangup;
pub mod ledger;
mod refusal;
mod shown;

use std::future::Future;
use std::io;

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

pub use self::client::BankClient;
pub(crate) use self::command::run;
pub use self::command::{Args, DEFAULT_LEDGER};
pub use self::dedup::Dedup;
pub use self::ledger::Ledger;

/// Serves the bank until `shutdown` resolves, then finishes what it has read and closes the ledger.
pub async fn serve(
    listener: TcpListener,
    ledger: Ledger,
    dedup: Option<Dedup>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_tracked(listener, ledger, dedup, TaskTracker::new(), shutdown).await
}

async fn serve_tracked(
    listener: TcpListener,
    ledger: Ledger,
    dedup: Option<Dedup>,
    tasks: TaskTracker,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let bank = api::Bank { ledger: ledger.clone(), tasks: tasks.clone() };
    let app = api::router(bank, dedup.as_ref()).into_make_service_with_connect_info::<hangup::Line>();
    let served = axum::serve(hangup::Exchange(listener), app).with_graceful_shutdown(shutdown).await;
    if let Some(dedup) = dedup {
        dedup.close().await;
    }
    tasks.close();
    tasks.wait().await;
    ledger.close().await;
    served
}

#[cfg(test)]
mod tests;
