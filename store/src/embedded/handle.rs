//! The side of the store that its callers hold: the queue to the thread, and waiting for the answer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use redb::StorageError;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

use super::jobs::{Reply, Task};
use super::open::Origin;
use super::refusal::OpenError;
use super::tables::Tables;
use super::writer::{Counters, Message, Writer};
use super::{Closed, NAME, Panicked};
use crate::{Clock, Deadline, DeadlinePassed, StoreError, StoreTime};

/// How many verbs may wait for the thread. A verb that finds no place waits for one until its deadline.
pub(super) const QUEUE: usize = 1024;

pub(super) struct Handle {
    path: PathBuf,
    queue: mpsc::Sender<Message>,
    /// Bounds the queue. A place is taken with a message and given back when the thread takes the message out.
    places: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    /// Errs once the thread has ended and the file is unlocked.
    running: watch::Receiver<()>,
}

impl Handle {
    /// Starts the thread and waits until it has opened the database. `clock` is given the greatest time in the file.
    pub(super) async fn start(
        origin: impl Origin,
        clock: impl FnOnce(StoreTime) -> Arc<dyn Clock> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let path = origin.path().to_owned();
        let (queue, messages) = mpsc::channel();
        let (running_guard, running) = watch::channel(());
        let (to, opened) = oneshot::channel();
        let counters = Arc::<Counters>::default();
        let counted = Arc::clone(&counters);
        let serve = move || {
            let _running = running_guard;
            match Writer::open(Box::new(origin), clock, counted) {
                // Nobody waits any more if this fails; then the file is closed at once.
                Ok(writer) => drop(to.send(Ok(writer.clock())).map(|()| writer.run(&messages))),
                Err(error) => drop(to.send(Err(error))),
            }
        };
        thread::Builder::new()
            .name("idempotency-store".to_owned())
            .spawn(serve)
            .map_err(|error| OpenError::io(&path, error))?;
        let clock = opened.await.unwrap_or_else(|_| Err(OpenError::io(&path, io::Error::other(Panicked))))?;
        Ok(Self { path, queue, places: Arc::new(Semaphore::new(QUEUE)), clock, counters, running })
    }

    /// Has the thread do `work` in a transaction, and gives its reply once that is durable.
    pub(super) async fn call<R, W>(&self, deadline: Deadline, work: W) -> Result<R, StoreError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Tables<'_>, StoreTime) -> Result<Reply<R>, StorageError> + Send + 'static,
    {
        if deadline.is_past() {
            return Err(StoreError::not_applied(NAME, DeadlinePassed));
        }
        let place = timeout(deadline.remaining(), Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| StoreError::not_applied(NAME, DeadlinePassed))?
            .map_err(|_| StoreError::not_applied(NAME, Closed))?;
        let (task, answer) = Task::new(work);
        self.queue.send(Message::Run(Box::new(task), place)).map_err(|_| StoreError::not_applied(NAME, Closed))?;
        // From here on the verb is carried out, whether or not anybody waits for it.
        match timeout(deadline.remaining(), answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(StoreError::unknown(NAME, Closed)),
            Err(_) => Err(StoreError::unknown(NAME, DeadlinePassed)),
        }
    }

    pub(super) async fn close(&self) {
        self.places.close();
        // Refused only by a thread that has ended.
        let _ = self.queue.send(Message::Close);
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }

    pub(super) fn now(&self) -> StoreTime {
        self.clock.now()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many verbs wait for the thread.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        QUEUE - self.places.available_permits()
    }

    #[cfg(test)]
    pub(super) fn is_closing(&self) -> bool {
        self.places.is_closed()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}
