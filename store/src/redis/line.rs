//! One connection to a server, with the lane of claims beside it, and what travels on them.

use std::borrow::Cow;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use super::completing::Way;
use super::lane::Lane;
use super::script::Call;

/// Connections to one server, which was greeted on both.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) connection: MultiplexedConnection,
    /// `None` where claims wait for nothing.
    lane: Option<Lane>,
    /// How answers are recorded at its server.
    way: Way,
}

/// How a call travels.
#[derive(Clone, Copy)]
pub(super) enum Via {
    /// On the connection that all share.
    Line,
    /// On the lane, and if its reply says that it wrote a grant, until that was acknowledged.
    Lane(fn(&Value) -> bool),
}

/// What came back.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) reply: RedisResult<Value>,
    /// Of a grant on the lane, whether it was acknowledged as it had to be.
    pub(super) acknowledged: Option<bool>,
}

impl Sent {
    /// Whether nothing is missing: it was acknowledged, or there was nothing to wait for.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged != Some(false)
    }
}

impl Line {
    pub(super) const fn new(connection: MultiplexedConnection, lane: Option<Lane>, way: Way) -> Self {
        Self { connection, lane, way }
    }

    /// Sends the call, and sends it again with its text to a server that does not know the script.
    ///
    /// `asking` says that the slot is on its way to this server. An error means that the line is broken, and that the call may
    /// have been carried out; so does dropping this.
    pub(super) async fn send(&self, call: &Call<'_>, via: Via, asking: bool) -> RedisResult<Sent> {
        // While a slot is on its way its keys are at two servers, and only one that is asked for alone is found.
        if let (Call::Completion(completing), false) = (call, asking)
            && self.way.is_shorter(completing)
        {
            let mut connection = self.connection.clone();
            if let Some(reply) = self.way.record(&mut connection, completing).await? {
                return Ok(Sent { reply: Ok(reply), acknowledged: None });
            }
        }
        let sent = self.pass(call.command(), via, asking).await?;
        match sent.reply.as_ref().err().filter(|error| is_unknown_script(error)).and_then(|_| call.with_text()) {
            Some(command) => Box::pin(self.pass(Cow::Owned(command), via, asking)).await,
            None => Ok(sent),
        }
    }

    /// Whether the lane, if there is one, is still there as far as anybody has noticed.
    pub(super) fn is_open(&self) -> bool {
        self.lane.as_ref().is_none_or(Lane::is_open)
    }

    /// Whether the server still hears what is sent on the lane, if there is one.
    pub(super) async fn is_heard(&self) -> bool {
        match &self.lane {
            Some(lane) => lane.is_heard().await,
            None => true,
        }
    }

    async fn pass(&self, command: Cow<'_, Cmd>, via: Via, asking: bool) -> RedisResult<Sent> {
        if let (Via::Lane(grants), Some(lane)) = (via, &self.lane) {
            return lane.send(command.into_owned(), asking, grants).await;
        }
        let mut connection = self.connection.clone();
        let reply = if asking {
            Box::pin(ask_for(&mut connection, command.into_owned())).await
        } else {
            ask(&mut connection, &command).await
        };
        match reply {
            Err(error) if is_broken(&error) => Err(error),
            reply => Ok(Sent { reply, acknowledged: None }),
        }
    }
}

/// Sends a command. An error that the server answers with is an error here.
pub(super) async fn ask(connection: &mut MultiplexedConnection, command: &Cmd) -> RedisResult<Value> {
    connection.send_packed_command(command).await.and_then(Value::extract_error)
}

/// The same for a slot that is on its way to this server: it answers for it once, if it is told so right before.
async fn ask_for(connection: &mut MultiplexedConnection, command: Cmd) -> RedisResult<Value> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("ASKING").add_command(command);
    let replies = connection.send_packed_commands(&pipeline, 0, 2).await?;
    // What did not come is not nil, which would grant a key.
    replies.into_iter().nth(1).ok_or_else(cut_short)?.extract_error()
}

/// Fewer replies came than were asked for.
pub(super) fn cut_short() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()
}

/// Whether a server says that it does not know the script, and so has not run it.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether an error is of the connection, and not something that the server has answered.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.code().is_none()
}
