//! What was executed, durably: an append-only file of JSON lines, and the same in memory to be asked.
//!
//! 1. A charge or refund is on the disk before [`charge`](Ledger::charge) or [`refund`](Ledger::refund) returns it, and in
//!    the book only after that: what a question finds survives a crash.
//! 2. Everything that waits shares one write and one sync, done by a thread of its own.
//! 3. A last line that a crash tore is cut off when the file is opened. Its caller never had an answer.
//! 4. Any other line that cannot be read is refused with its number, and the file stays as it is.
//! 5. One process per file.

mod book;
mod file;
mod index;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

pub use self::book::{Book, UnknownCharge};
use self::file::LedgerFile;
pub use self::file::{OpenError, Reason};
use self::writer::{Order, Ticket, Writer};
use super::charge::{Charge, Refund};

/// How many orders may wait for the writer before those who order wait, too.
const WAITING: usize = 4096;

/// Why something was not executed, or why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It came to be written after its time; nothing was executed.
    #[error("it came to be written too late")]
    Expired,
    /// There is no such charge; nothing was executed.
    #[error("there is no charge {0}")]
    UnknownCharge(String),
    /// It would give back more than was paid; nothing was executed.
    #[error("only {left} of the charge is left to be given back")]
    OverRefund {
        /// What may still be given back.
        left: u64,
    },
    /// The file could not be written: nobody knows whether it was executed until the bank is started anew.
    #[error("the ledger cannot be written; the bank must be started anew")]
    Broken,
}

/// The ledger of one bank. A clone is the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: Arc<Path>,
    book: Arc<RwLock<Book>>,
    orders: mpsc::Sender<Order>,
}

impl Ledger {
    /// Opens the ledger in this file, or begins one.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path: Arc<Path> = path.into().into();
        let opening = Arc::clone(&path);
        let opened = spawn_blocking(move || Self::open_blocking(opening)).await;
        opened.unwrap_or_else(|error| Err(OpenError::Io { path: path.to_path_buf(), source: error.into() }))
    }

    fn open_blocking(path: Arc<Path>) -> Result<Self, OpenError> {
        let (file, book) = LedgerFile::open(&path)?;
        let book = Arc::new(RwLock::new(book));
        let (orders, waiting) = mpsc::channel(WAITING);
        let writer = Writer { file, book: Arc::clone(&book), orders: waiting, broken: false };
        let thread = thread::Builder::new().name("ledger".into()).spawn(move || writer.run());
        match thread {
            Ok(_) => Ok(Self { path, book, orders }),
            Err(source) => Err(OpenError::Io { path: path.to_path_buf(), source }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Executes a charge, whatever was executed before. Its id and its time are set here.
    ///
    /// With `latest` it is refused when the writer comes to it after that instant (milliseconds since the Unix epoch).
    pub async fn charge(&self, charge: Charge, latest: Option<u64>) -> Result<Charge, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Charge(Ticket { record: charge, latest, reply })).await?;
        answer.await.unwrap_or(Err(LedgerError::Broken))
    }

    /// Executes a refund, unless it would give back more than was charged.
    pub async fn refund(&self, refund: Refund, latest: Option<u64>) -> Result<Refund, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Refund(Ticket { record: refund, latest, reply })).await?;
        answer.await.unwrap_or(Err(LedgerError::Broken))
    }

    /// Waits until everything ordered before is in the book, so that a question cannot overtake what it asks about.
    pub async fn settled(&self) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Settled(reply)).await?;
        answer.await.map_err(|_| LedgerError::Broken)
    }

    /// Asks the book.
    pub fn read<T>(&self, ask: impl FnOnce(&Book) -> T) -> T {
        ask(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes what waits and closes the file. What is ordered later is refused.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.order(Order::Close(reply)).await.is_ok() {
            // An error means that it was closed already.
            let _ = closed.await;
        }
    }

    async fn order(&self, order: Order) -> Result<(), LedgerError> {
        self.orders.send(order).await.map_err(|_| LedgerError::Broken)
    }
}

#[cfg(test)]
mod tests;
