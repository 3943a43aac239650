//! The one thread that writes: it takes whatever waits, appends it with one write and one sync, and only then answers.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::LedgerError;
use super::book::{Book, Entry};
use super::file::LedgerFile;
use crate::bank::charge::{Charge, Refund};
use crate::bank::clock;

/// How many orders share a sync at most.
const BATCH: usize = 1024;

/// Something to be executed, and whom to tell.
#[derive(Debug)]
pub(super) struct Ticket<T> {
    /// The record; the writer sets its id and its time.
    pub(super) record: T,
    /// Refused when the writer comes to it later than this.
    pub(super) latest: Option<u64>,
    pub(super) reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T> Ticket<T> {
    /// A caller that has left is no reason not to execute, and there is nobody to tell of it.
    fn answer(self, answer: impl FnOnce(T) -> Result<T, LedgerError>) {
        let _ = self.reply.send(answer(self.record));
    }
}

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Order {
    Charge(Ticket<Charge>),
    Refund(Ticket<Refund>),
    /// Answered when everything ordered before it is in the book.
    Settled(oneshot::Sender<()>),
    /// Answered when the file is closed; later orders are refused.
    Close(oneshot::Sender<()>),
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) file: LedgerFile,
    pub(super) book: Arc<RwLock<Book>>,
    pub(super) orders: mpsc::Receiver<Order>,
    /// After a failed write or sync nobody knows what the disk holds, so nothing is added to it.
    pub(super) broken: bool,
}

/// What shares one sync.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    charges: Vec<Ticket<Charge>>,
    refunds: Vec<Ticket<Refund>>,
    settled: Vec<oneshot::Sender<()>>,
}

impl Writer {
    /// Works until it is told to close, or nobody is left who could order anything.
    pub(super) fn run(mut self) {
        let mut waiting = Vec::new();
        let mut closed = Vec::new();
        while self.orders.blocking_recv_many(&mut waiting, BATCH) > 0 {
            let mut batch = Batch::default();
            for order in waiting.drain(..) {
                match order {
                    Order::Charge(ticket) => self.admit_charge(ticket, &mut batch),
                    Order::Refund(ticket) => self.admit_refund(ticket, &mut batch),
                    Order::Settled(reply) => batch.settled.push(reply),
                    Order::Close(reply) => {
                        self.orders.close();
                        closed.push(reply);
                    }
                }
            }
            self.settle(batch);
        }
        drop(self.file);
        tell(closed);
    }

    fn admit_charge(&self, mut ticket: Ticket<Charge>, batch: &mut Batch) {
        if let Err(refusal) = self.check(ticket.latest) {
            return ticket.answer(|_| Err(refusal));
        }
        ticket.record.id = format!("ch_{}", Uuid::now_v7().simple());
        ticket.record.at = clock::now();
        ticket.record.refunded = 0;
        batch.charges.push(ticket);
    }

    fn admit_refund(&self, mut ticket: Ticket<Refund>, batch: &mut Batch) {
        let verdict = self.check(ticket.latest).and_then(|()| self.check_refund(&ticket.record, batch));
        if let Err(refusal) = verdict {
            return ticket.answer(|_| Err(refusal));
        }
        ticket.record.id = format!("re_{}", Uuid::now_v7().simple());
        ticket.record.at = clock::now();
        batch.refunds.push(ticket);
    }

    fn check(&self, latest: Option<u64>) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::Broken);
        }
        match latest {
            Some(latest) if clock::now() > latest => Err(LedgerError::Expired),
            _ => Ok(()),
        }
    }

    /// Counts what is in the book and what is about to be: two refunds in one batch must not exceed the charge together.
    fn check_refund(&self, refund: &Refund, batch: &Batch) -> Result<(), LedgerError> {
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        let charge = book.charge(&refund.charge);
        let charge = charge.ok_or_else(|| LedgerError::UnknownCharge(refund.charge.clone()))?;
        let same = batch.refunds.iter().filter(|other| other.record.charge == refund.charge);
        let waiting: u64 = same.map(|other| other.record.amount).sum();
        let left = charge.amount.saturating_sub(charge.refunded).saturating_sub(waiting);
        if refund.amount > left {
            return Err(LedgerError::OverRefund { left });
        }
        Ok(())
    }

    fn settle(&mut self, mut batch: Batch) {
        if let Err(error) = batch.write().and_then(|()| self.append(&batch.lines)) {
            self.broken = true;
            tracing::error!(%error, "the ledger cannot be written; nothing is executed until the bank is started anew");
        }
        if self.broken {
            return batch.fail();
        }
        self.publish(&batch);
        batch.confirm();
    }

    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.file.append(lines)
    }

    fn publish(&self, batch: &Batch) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        for ticket in &batch.charges {
            book.add_charge(ticket.record.clone());
        }
        for ticket in &batch.refunds {
            if let Err(error) = book.add_refund(ticket.record.clone()) {
                // It was admitted because its charge is in the book, and nothing ever leaves the book.
                tracing::error!(%error, "a refund of an unknown charge was written");
            }
        }
    }
}

impl Batch {
    fn write(&mut self) -> std::io::Result<()> {
        for ticket in &self.charges {
            line(&mut self.lines, &Entry::Charge(ticket.record.clone()))?;
        }
        for ticket in &self.refunds {
            line(&mut self.lines, &Entry::Refund(ticket.record.clone()))?;
        }
        Ok(())
    }

    fn confirm(self) {
        self.charges.into_iter().for_each(|ticket| ticket.answer(Ok));
        self.refunds.into_iter().for_each(|ticket| ticket.answer(Ok));
        tell(self.settled);
    }

    /// Whoever asked whether everything is settled hears nothing, for it is not.
    fn fail(self) {
        self.charges.into_iter().for_each(|ticket| ticket.answer(|_| Err(LedgerError::Broken)));
        self.refunds.into_iter().for_each(|ticket| ticket.answer(|_| Err(LedgerError::Broken)));
    }
}

/// Who does not listen any more needs no word.
fn tell(replies: Vec<oneshot::Sender<()>>) {
    for reply in replies {
        let _ = reply.send(());
    }
}

fn line(lines: &mut Vec<u8>, entry: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *lines, entry)?;
    lines.push(b'\n');
    Ok(())
}
