//! The thread that owns the database, and group commit.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use redb::{Database, Durability, StorageError};
use tokio::sync::OwnedSemaphorePermit;

use super::jobs::{Cause, End, Job};
use super::open::Origin;
use super::refusal::OpenError;
use super::tables::Tables;
use super::{Closed, Panicked};
use crate::{Clock, StoreTime};

/// How many verbs may share a commit. Those behind wait for the next one, so this bounds the memory of a transaction.
const BATCH: usize = 256;

/// How many expired records a transaction removes beside those that its own writes make room for.
const SWEPT_PER_COMMIT: usize = 8;

/// How many expired records an idle store removes in one transaction: the time that a verb may have to wait for it.
const SWEPT_WHEN_IDLE: usize = 256;

/// How often an idle store looks for expired records.
const IDLE: Duration = Duration::from_secs(60);

pub(super) enum Message {
    /// A job, with its place in the queue.
    Run(Box<dyn Job>, OwnedSemaphorePermit),
    Close,
}

/// Counted since the store was opened.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) verbs: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) swept: AtomicU64,
}

pub(super) struct Writer {
    origin: Box<dyn Origin>,
    /// None after a failure, until it is opened again.
    database: Option<Database>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Opens the database, which writes to it: a file that cannot be written is noticed here. `clock` is given the greatest time in it.
    pub(super) fn open(
        origin: Box<dyn Origin>,
        clock: impl FnOnce(StoreTime) -> Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<Self, OpenError> {
        origin.create()?;
        let opened = origin.open()?;
        let clock = clock(opened.time);
        Ok(Self { origin, database: Some(opened.database), clock, counters })
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Serves until the store is closed or its last handle dropped; then unlocks the file.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        let mut patience = IDLE;
        loop {
            match queue.recv_timeout(patience) {
                Ok(Message::Run(job, place)) => {
                    drop(place);
                    if self.serve(Batch::new(job, queue)) {
                        break;
                    }
                }
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => patience = self.tidy(),
            }
        }
        refuse_rest(queue);
        self.drop_database();
    }

    /// Removes what has expired while nobody asks for anything. Tells how long to wait before doing so again.
    fn tidy(&mut self) -> Duration {
        let mut swept = 0;
        // A failure is the business of the next verb, which has somebody to tell.
        let _ = self.transact(|tables, clock| {
            swept = tables.sweep(clock.now(), SWEPT_WHEN_IDLE)?;
            Ok(swept > 0)
        });
        add(&self.counters.swept, swept);
        if swept == SWEPT_WHEN_IDLE { Duration::ZERO } else { IDLE }
    }

    /// Runs the jobs in one transaction and answers each of them. Tells whether the store is to be closed after them.
    fn serve(&mut self, mut batch: Batch<'_>) -> bool {
        let mut swept = 0;
        let end = self.transact(|tables, clock| {
            batch.run_all(tables, clock)?;
            let writes = batch.writes();
            if writes > 0 {
                swept = tables.sweep(clock.now(), writes + SWEPT_PER_COMMIT)?;
            }
            Ok(writes > 0)
        });
        add(&self.counters.verbs, batch.jobs.len());
        if matches!(end, End::Done) {
            add(&self.counters.writes, batch.writes());
            add(&self.counters.swept, swept);
        }
        for job in batch.jobs {
            job.answer(&end);
        }
        batch.closing
    }

    /// Runs `work` in a transaction, and commits it if `work` says that it wrote something.
    ///
    /// redb refuses to go on after a failure, and is not to be trusted after a panic. Either way the database is dropped, and
    /// opened again by the next transaction: a disk that has recovered serves again without a restart.
    fn transact(&mut self, work: impl FnOnce(&mut Tables<'_>, &dyn Clock) -> Result<bool, StorageError>) -> End {
        let database = match self.take_database() {
            Ok(database) => database,
            Err(cause) => return End::Undone(cause),
        };
        let committing = Cell::new(false);
        let attempt = AssertUnwindSafe(|| self.attempt(&database, work, &committing));
        let cause: Cause = match catch_unwind(attempt) {
            Ok(Ok(())) => {
                self.database = Some(database);
                return End::Done;
            }
            Ok(Err(error)) => Arc::new(error),
            Err(_) => Arc::new(Panicked),
        };
        tracing::warn!(cause = %cause, "a transaction of the embedded store failed; the file will be opened again");
        drop_quietly(database);
        if committing.get() { End::Unknown(cause) } else { End::Undone(cause) }
    }

    fn attempt(
        &self,
        database: &Database,
        work: impl FnOnce(&mut Tables<'_>, &dyn Clock) -> Result<bool, StorageError>,
        committing: &Cell<bool>,
    ) -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // With it a commit says where free pages are and syncs twice, so a crash costs nothing at the next opening. Without
        // it a commit syncs once; after a crash the file is read to find them, and a commit that was torn is known by the
        // checksums of its pages, 128 bits that are not proof against somebody who chooses both what is written and what is torn.
        transaction.set_quick_repair(self.origin.is_large());
        let mut tables = Tables::open(&transaction)?;
        if !work(&mut tables, &*self.clock)? {
            drop(tables);
            return Ok(transaction.abort()?);
        }
        tables.set_time(self.clock.now())?;
        drop(tables);
        committing.set(true);
        transaction.commit()?;
        add(&self.counters.commits, 1);
        Ok(())
    }

    fn take_database(&mut self) -> Result<Database, Cause> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        // redb syncs the file as it opens it, so what it shows after a failed commit is durable before it is answered.
        let opened = self.origin.open().map_err(|error| -> Cause { Arc::new(error) })?;
        tracing::info!("the embedded store is open again");
        Ok(opened.database)
    }

    fn drop_database(&mut self) {
        if let Some(database) = self.database.take() {
            drop_quietly(database);
        }
    }
}

/// Jobs that share a commit.
struct Batch<'q> {
    jobs: Vec<Box<dyn Job>>,
    queue: &'q Receiver<Message>,
    /// Whether the store is to be closed after them.
    closing: bool,
}

impl<'q> Batch<'q> {
    /// The jobs that are waiting behind the first one.
    fn new(first: Box<dyn Job>, queue: &'q Receiver<Message>) -> Self {
        let mut batch = Self { jobs: vec![first], queue, closing: false };
        while batch.draw().is_some() {}
        batch
    }

    /// Runs them, and those that come meanwhile: the callers who were answered last are asking their next question just now,
    /// and would otherwise wait for a whole commit.
    fn run_all(&mut self, tables: &mut Tables<'_>, clock: &dyn Clock) -> Result<(), StorageError> {
        let mut next = 0;
        while next < self.jobs.len() || self.draw().is_some() {
            if let Some(job) = self.jobs.get_mut(next) {
                job.run(tables, clock.now())?;
            }
            next += 1;
        }
        Ok(())
    }

    /// Takes one more job, if there is one and it may share the commit.
    fn draw(&mut self) -> Option<()> {
        if self.closing || self.jobs.len() >= BATCH {
            return None;
        }
        match self.queue.try_recv().ok()? {
            Message::Run(job, _place) => self.jobs.push(job),
            Message::Close => {
                self.closing = true;
                return None;
            }
        }
        Some(())
    }

    fn writes(&self) -> usize {
        self.jobs.iter().filter(|job| job.wrote()).count()
    }
}

/// Answers those who were queued behind the end.
fn refuse_rest(queue: &Receiver<Message>) {
    while let Ok(message) = queue.try_recv() {
        if let Message::Run(job, _place) = message {
            job.answer(&End::Undone(Arc::new(Closed)));
        }
    }
}

/// Closing writes what makes the next opening fast. If that fails, the next opening is slower; nothing is lost.
fn drop_quietly(database: Database) {
    if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
        tracing::warn!("the embedded store's file could not be closed properly");
    }
}

fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}
