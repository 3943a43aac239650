//! What the writer thread is asked to do.

use std::error::Error;
use std::sync::Arc;

use redb::StorageError;
use tokio::sync::oneshot;

use super::NAME;
use super::tables::Tables;
use crate::{StoreError, StoreTime};

/// A piece of work in a transaction that it may share with others.
pub(super) trait Job: Send {
    /// Does the work. An error means that the transaction cannot go on. Called once.
    fn run(&mut self, tables: &mut Tables<'_>, now: StoreTime) -> Result<(), StorageError>;

    /// Whether it has written something.
    fn wrote(&self) -> bool;

    /// Tells the caller, if it still waits, how it went.
    fn answer(self: Box<Self>, end: &End);
}

/// Why a transaction failed, told to each of its jobs.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// How a transaction ended.
pub(super) enum End {
    /// What was written is durable; what was only read is so too.
    Done,
    /// Nothing was written, nor will it be.
    Undone(Cause),
    /// It failed while it was being committed.
    Unknown(Cause),
}

/// What a piece of work answers once the transaction is over.
pub(super) struct Reply<R> {
    pub(super) reply: Result<R, StoreError>,
    pub(super) wrote: bool,
}

/// A piece of work and the place where its caller waits.
pub(super) struct Task<R, W> {
    work: Option<W>,
    done: Option<Reply<R>>,
    caller: oneshot::Sender<Result<R, StoreError>>,
}

impl<R, W> Task<R, W> {
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<Result<R, StoreError>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work: Some(work), done: None, caller }, answer)
    }
}

impl<R, W> Job for Task<R, W>
where
    R: Send,
    W: FnOnce(&mut Tables<'_>, StoreTime) -> Result<Reply<R>, StorageError> + Send,
{
    fn run(&mut self, tables: &mut Tables<'_>, now: StoreTime) -> Result<(), StorageError> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(tables, now)?);
        }
        Ok(())
    }

    fn wrote(&self) -> bool {
        self.done.as_ref().is_some_and(|done| done.wrote)
    }

    fn answer(self: Box<Self>, end: &End) {
        let wrote = self.wrote();
        let reply = match (end, self.done) {
            (End::Done, Some(done)) => done.reply,
            // A transaction ends well only after every job in it has run.
            (End::Done, None) => Err(StoreError::not_applied(NAME, "the verb was not carried out")),
            (End::Unknown(cause), _) if wrote => Err(StoreError::unknown(NAME, Arc::clone(cause))),
            // Also for one that read only: what it read may not have come true.
            (End::Unknown(cause) | End::Undone(cause), _) => Err(StoreError::not_applied(NAME, Arc::clone(cause))),
        };
        // A caller that does not wait any more was told by its own deadline.
        let _ = self.caller.send(reply);
    }
}
