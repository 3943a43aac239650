//! One connection of a client, carried on to the server, and cut where a fault says so.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::watch;

use super::LineFault;
use super::rules::Rules;
use crate::resp::{Boundary, Command, is_push};

/// What [`LineFault::Garble`] puts in a reply's place.
const NONSENSE: &[u8] = b"\x00\xff 200 nonsense\r\n\r\n";

/// Carries commands and replies until either side leaves or a fault cuts the line; then both connections are closed.
pub(super) async fn carry(mut client: TcpStream, mut server: TcpStream, rules: &Rules) {
    // Without it a small piece may wait for the acknowledgement of the one before it.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (commands, to_client) = client.split();
    let (replies, to_server) = server.split();
    let line = Line { rules, awaited: Mutex::default(), unanswered: watch::Sender::new(0), client: to_client.into() };
    // Whoever ends first ends the line. How, by an error or by itself, makes no difference to anybody.
    tokio::select! {
        _ = line.forward(Frames::of(commands), to_server) => {}
        _ = line.back(Frames::of(replies)) => {}
    }
}

struct Line<'a> {
    rules: &'a Rules,
    /// How the replies fail that the server owes, in their order.
    awaited: Mutex<VecDeque<Option<LineFault>>>,
    /// How many commands the server has and their client no reply to.
    unanswered: watch::Sender<usize>,
    client: AsyncMutex<WriteHalf<'a>>,
}

/// What the line does after a command.
enum Then {
    Continue,
    /// Reads whatever still comes, so that the client can write it, and drops it.
    Swallow,
    /// Waits for the other direction to end the line.
    Wait,
    Cut,
}

impl Line<'_> {
    async fn forward(&self, mut commands: Frames<'_>, mut server: WriteHalf<'_>) -> io::Result<()> {
        while let Some(frame) = commands.next().await? {
            let command = Command::read(frame).map_err(io::Error::other)?;
            match self.deliver(&command, &mut server).await? {
                Then::Continue => {}
                Then::Swallow => while commands.next().await?.is_some() {},
                Then::Wait => pending().await,
                Then::Cut => break,
            }
        }
        // What the client asked for before it left is still carried out.
        self.settled().await;
        Ok(())
    }

    /// Lets a command meet its fault, as far as that strikes before the reply.
    async fn deliver(&self, command: &Command, server: &mut WriteHalf<'_>) -> io::Result<Then> {
        let fault = self.rules.arrive(command);
        if let Some(then) = self.keep_from_server(fault.as_ref()).await {
            return Ok(then);
        }
        let then = match fault {
            Some(LineFault::CutAfter | LineFault::CutMidReply(_)) => Then::Wait,
            Some(LineFault::BlackHole { .. }) => Then::Swallow,
            Some(LineFault::Ghost(_)) => Then::Cut,
            _ => Then::Continue,
        };
        self.send(command, fault, server).await?;
        Ok(then)
    }

    /// Holds up a command that is not to be sent yet; says what comes then if it is never to be.
    async fn keep_from_server(&self, fault: Option<&LineFault>) -> Option<Then> {
        match fault? {
            LineFault::CutBefore => Some(Then::Cut),
            LineFault::BlackHole { delivered: false } => Some(Then::Swallow),
            LineFault::Answer(reply) => {
                self.settled().await;
                self.reply(reply).await;
                Some(Then::Continue)
            }
            LineFault::Ghost(gate) => {
                self.settled().await;
                let _ = self.client.lock().await.shutdown().await;
                gate.pass().await;
                None
            }
            LineFault::HoldBefore(gate) => {
                gate.pass().await;
                None
            }
            _ => None,
        }
    }

    async fn send(&self, command: &Command, fault: Option<LineFault>, server: &mut WriteHalf<'_>) -> io::Result<()> {
        self.awaited().push_back(fault);
        self.unanswered.send_modify(|unanswered| *unanswered += 1);
        server.write_all(command.frame()).await
    }

    async fn back(&self, mut replies: Frames<'_>) -> io::Result<()> {
        let mut kept: Option<Bytes> = None;
        while let Some(reply) = replies.next().await? {
            if is_push(&reply) {
                self.reply(&reply).await;
                continue;
            }
            let fault = self.awaited().pop_front().ok_or_else(|| io::Error::other("a reply to nothing"))?;
            match (fate(fault, reply).await, kept.take()) {
                (Fate::Passes(reply), None) => self.reply(&reply).await,
                (Fate::Passes(reply) | Fate::AfterTheNext(reply), Some(earlier)) => {
                    self.reply(&reply).await;
                    self.reply(&earlier).await;
                }
                (Fate::AfterTheNext(reply), None) => kept = Some(reply),
                (Fate::Last(part), _) => {
                    self.reply(&part).await;
                    return Ok(());
                }
                (Fate::Never, _) => {
                    self.answered();
                    pending::<()>().await;
                }
            }
            self.answered();
        }
        Ok(())
    }

    /// Writes to the client, if it is still there.
    async fn reply(&self, bytes: &[u8]) {
        let _ = self.client.lock().await.write_all(bytes).await;
    }

    fn answered(&self) {
        self.unanswered.send_modify(|unanswered| *unanswered -= 1);
    }

    /// Waits until whatever the server was given is answered.
    async fn settled(&self) {
        // An error means that the sender is gone, and the sender is `self`.
        let _ = self.unanswered.subscribe().wait_for(|unanswered| *unanswered == 0).await;
    }

    fn awaited(&self) -> MutexGuard<'_, VecDeque<Option<LineFault>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a reply.
enum Fate {
    Passes(Bytes),
    AfterTheNext(Bytes),
    /// These bytes pass, and then the line is cut.
    Last(Bytes),
    Never,
}

/// Lets a reply meet its command's fault.
async fn fate(fault: Option<LineFault>, reply: Bytes) -> Fate {
    match fault {
        Some(LineFault::CutAfter) => return Fate::Last(Bytes::new()),
        Some(LineFault::CutMidReply(bytes)) => return Fate::Last(reply.slice(..bytes.min(reply.len() - 1))),
        Some(LineFault::BlackHole { .. }) => return Fate::Never,
        Some(LineFault::SwapReplies) => return Fate::AfterTheNext(reply),
        Some(LineFault::Garble) => return Fate::Passes(Bytes::from_static(NONSENSE)),
        Some(LineFault::Replace(other)) => return Fate::Passes(other),
        Some(LineFault::Delay(by)) => tokio::time::sleep(by).await,
        Some(LineFault::HoldAfter(gate)) => gate.pass().await,
        _ => {}
    }
    Fate::Passes(reply)
}

/// The frames that come from one side.
struct Frames<'a> {
    from: ReadHalf<'a>,
    bytes: BytesMut,
    boundary: Boundary,
}

impl<'a> Frames<'a> {
    fn of(from: ReadHalf<'a>) -> Self {
        Self { from, bytes: BytesMut::new(), boundary: Boundary::default() }
    }

    /// Nothing once that side has left.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.boundary.end(&self.bytes).map_err(io::Error::other)? {
                return Ok(Some(self.bytes.split_to(end).freeze()));
            }
            self.bytes.reserve(16 << 10);
            if self.from.read_buf(&mut self.bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}
