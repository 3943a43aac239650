//! The lane of claims: a connection on which nothing is sent but what may grant a key, each batch with one `WAIT` behind it, and
//! now and then a question whether it is still there.
//!
//! `WAIT` tells of the writes of its own connection only, and blocks it. So grants have one of their own; whatever arrives while
//! it is blocked goes out together when it is not. A `WAIT` is never sent without writes before it: on Redis 8 and Valkey it
//! would answer for nothing. A lane that breaks is not mended: its claims end as unknown, and are asked again on another one.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value, cmd};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::counts::Degraded;
use super::durability::Wait;
use super::line::Sent;

/// Commands that wait for the lane to be free; the next one waits for room.
const WAITING: usize = 4096;

/// Commands of one batch.
const BATCH: usize = 1024;

/// A lane. Dropped, it gives up whatever is on its way.
#[derive(Clone, Debug)]
pub(super) struct Lane(Arc<Open>);

#[derive(Debug)]
struct Open {
    jobs: mpsc::Sender<Job>,
    running: AbortHandle,
}

/// A command, and how to know from its reply that it wrote what has to be waited for.
struct Job {
    command: Cmd,
    /// Whether the command is for a slot that is on its way to this node.
    asking: bool,
    grants: fn(&Value) -> bool,
    /// Whether it may be a write at all.
    waits: bool,
    reply: oneshot::Sender<RedisResult<Sent>>,
}

impl Lane {
    /// Opens the lane on a connection that nobody else has, on the current runtime.
    pub(super) fn open(
        connection: MultiplexedConnection,
        wait: Wait,
        timeout: Duration,
        degraded: Arc<Degraded>,
    ) -> Self {
        let (jobs, arriving) = mpsc::channel(WAITING);
        let running = tokio::spawn(run(connection, arriving, (wait, wait.command(timeout)), degraded)).abort_handle();
        Self(Arc::new(Open { jobs, running }))
    }

    /// Sends the command, and waits for what its reply and `grants` say is to be waited for.
    ///
    /// An error means that the lane is gone, and that the command may have been carried out. Dropped, the same.
    pub(super) async fn send(&self, command: Cmd, asking: bool, grants: fn(&Value) -> bool) -> RedisResult<Sent> {
        let (reply, replied) = oneshot::channel();
        self.0.jobs.send(Job { command, asking, grants, waits: true, reply }).await.map_err(|_| gone())?;
        replied.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Lane {
    /// Whether nobody has noticed yet that it is gone.
    pub(super) fn is_open(&self) -> bool {
        !self.0.jobs.is_closed()
    }

    /// Whether the server still answers on it.
    pub(super) async fn is_heard(&self) -> bool {
        let (reply, replied) = oneshot::channel();
        let job = Job { command: cmd("PING"), asking: false, grants: |_| false, waits: false, reply };
        // A user who may not send it is answered all the same.
        self.0.jobs.send(job).await.is_ok() && matches!(replied.await, Ok(Ok(_)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn gone() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()
}

async fn run(
    connection: MultiplexedConnection,
    mut jobs: mpsc::Receiver<Job>,
    wait: (Wait, Cmd),
    degraded: Arc<Degraded>,
) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        // Whoever has left would not hear of a grant.
        batch.retain(|job| !job.reply.is_closed());
        if !batch.is_empty() && pass(&connection, std::mem::take(&mut batch), &wait, &degraded).await.is_err() {
            return;
        }
    }
}

/// Sends one batch and its `WAIT`. Who wrote nothing has the reply at once; the others when it was acknowledged or not.
async fn pass(
    connection: &MultiplexedConnection,
    batch: Vec<Job>,
    wait: &(Wait, Cmd),
    degraded: &Degraded,
) -> Result<(), ()> {
    let mut pipeline = Pipeline::with_capacity(batch.len());
    for job in &batch {
        if job.asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(job.command.clone());
    }
    let (count, waits) = (pipeline.len(), batch.iter().any(|job| job.waits));
    let (mut front, mut rear) = (connection.clone(), connection.clone());
    let written = async {
        let replies = front.send_packed_commands(&pipeline, 0, count).await;
        hand_out(batch, replies)
    };
    if !waits {
        return written.await.map(drop);
    }
    // Polled in this order, the batch is on the line before its WAIT, and nobody else is on this line.
    let (granted, acknowledged) = tokio::join!(biased; written, rear.send_packed_command(&wait.1));
    let granted = granted?;
    let is_acknowledged = acknowledged.as_ref().is_ok_and(|reply| wait.0.is_reached(reply));
    // A batch without a grant has nobody else to tell that its WAIT was in vain, and held up the next one. One that was not
    // says nothing: it may have had nothing to wait for.
    if granted.is_empty() && acknowledged.is_ok() && !is_acknowledged {
        degraded.note(true);
    }
    for (reply, value) in granted {
        let _ = reply.send(Ok(Sent { reply: Ok(value), acknowledged: Some(is_acknowledged) }));
    }
    acknowledged.map(drop).map_err(drop)
}

type Granted = Vec<(oneshot::Sender<RedisResult<Sent>>, Value)>;

/// Answers those that have nothing to wait for, and returns the others.
fn hand_out(batch: Vec<Job>, replies: RedisResult<Vec<Value>>) -> Result<Granted, ()> {
    // Dropped, the senders say that the lane is gone.
    let mut replies = replies.map_err(drop)?.into_iter();
    let mut granted = Vec::new();
    for job in batch {
        let Some(value) = replies.by_ref().nth(usize::from(job.asking)) else { return Err(()) };
        // Each reply on its own: a refused write among others does not make theirs refused, nor is it covered by a WAIT.
        match value.extract_error() {
            Ok(value) if (job.grants)(&value) => granted.push((job.reply, value)),
            reply => drop(job.reply.send(Ok(Sent { reply, acknowledged: None }))),
        }
    }
    Ok(granted)
}
