//! How a line fails, and for which commands.

use std::time::Duration;

use bytes::Bytes;

use crate::Gate;
use crate::resp::Command;

/// What becomes of a command.
///
/// The commands before it on its connection are answered first. Those after it reach the server only if the connection
/// outlives it.
#[derive(Clone, Debug)]
pub enum LineFault {
    /// The connection is cut before the server sees it.
    CutBefore,
    /// The server carries it out; the reply is dropped and the connection cut.
    CutAfter,
    /// The server carries it out; so many bytes of the reply pass, but never all of them, and the connection is cut.
    CutMidReply(usize),
    /// The server carries it out; the reply, and all replies after it, come so much later.
    Delay(Duration),
    /// Nothing comes back any more, and nothing else gets through, but the connection stays open.
    BlackHole {
        /// Whether the server still carries it out.
        delivered: bool,
    },
    /// It gets the reply to the next command of its connection, and that one gets its. If there is none, neither comes.
    SwapReplies,
    /// The server carries it out; nonsense comes instead of the reply.
    Garble,
    /// The server carries it out; these bytes come instead of the reply.
    Replace(Bytes),
    /// The server never sees it; these bytes are the reply, such as `-READONLY ...`.
    Answer(Bytes),
    /// It waits at the gate before the server sees it; delivered even if its client has gone meanwhile.
    HoldBefore(Gate),
    /// The server carries it out; the reply waits at the gate.
    HoldAfter(Gate),
    /// The connection is cut, and yet the server carries it out: when the gate opens.
    Ghost(Gate),
}

/// Accepts commands of this name.
pub fn named(name: &str) -> impl Fn(&Command) -> bool + Send + 'static {
    let name = name.to_ascii_uppercase();
    move |command| command.name() == name
}

/// Accepts every command, those included with which a client introduces itself.
pub const fn any(_: &Command) -> bool {
    true
}
