//! How an answer gets into Redis: by the script that carries it, which always does, or by a shorter way where the server at
//! the other end was found to have one. All write the same bytes.
//!
//! | way | where | what it spares the server |
//! |---|---|---|
//! | compared: `SET` with `IFEQ` | Valkey 8.1, Redis 8.4 | the script |
//! | staged: `SET` beside the record, and a script that renames | elsewhere, answers from 2 KiB on | the script's copies of the answer |
//! | script | whatever the others have not done | - |
//!
//! A shorter way says that it has recorded the answer, or says nothing: then the script is asked, on the same line, and its
//! reply counts. So a record with a checkpoint that nobody heard of, a server that is full, a script that nobody knows or may
//! run, or a stage that has vanished cost a round trip, and never an answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value, cmd};

use super::line::{ask, cut_short, is_broken, is_unknown_script};
use super::script::Scripts;
use super::transact::millis;
use super::value::{self, life};
use crate::codec;
use crate::record::Record;
use crate::{Completion, Grant, StoreTime};

/// From so many bytes on an answer is staged. Below, a second command costs a server more than the script's copies do: at 1 KiB
/// it is 7.1 µs staged and 7.5 by the script, at 4 KiB 12.6 and 17.7 (Redis 7.0, 16 at once).
const STAGED_FROM: usize = 2048;

/// An answer that is to be recorded under a grant.
pub(super) struct Completing<'a> {
    pub(super) scripts: &'a Scripts,
    /// The record's.
    pub(super) name: &'a str,
    pub(super) grant: &'a Grant,
    pub(super) completion: &'a Completion,
    /// When it was asked for.
    pub(super) at: StoreTime,
}

/// The shortest way of a server, as it was found when it was greeted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Script,
    Stage,
    Comparison,
}

impl Way {
    /// Tries what the server does. What is tried on it is recorded once, and must be found recorded the second time.
    ///
    /// A server that refuses to write for now is found to have no other way than the script.
    pub(super) async fn find(connection: &mut MultiplexedConnection, trial: &Completing<'_>) -> RedisResult<Self> {
        // A server that does not know the word answers that it cannot read the command, and has written nothing.
        if trial.compared(connection).await? == Some(RECORDED) && trial.compared(connection).await?.is_none() {
            return Ok(Self::Comparison);
        }
        if trial.staged(connection).await? == Some(RECORDED) && trial.staged(connection).await? == Some(FOREIGN) {
            return Ok(Self::Stage);
        }
        Ok(Self::Script)
    }

    /// 1 if the answer was recorded, 0 if another record stands, as the script says it; `None` if it is for the script to say.
    ///
    /// An error means that the connection is broken, and that the answer may have been recorded.
    pub(super) async fn record(
        self,
        connection: &mut MultiplexedConnection,
        completing: &Completing<'_>,
    ) -> RedisResult<Option<Value>> {
        match self {
            Self::Comparison => completing.compared(connection).await,
            Self::Stage if completing.payload().1.len() >= STAGED_FROM => Box::pin(completing.staged(connection)).await,
            Self::Stage | Self::Script => Ok(None),
        }
    }
}

const RECORDED: Value = Value::Int(1);
const FOREIGN: Value = Value::Int(0);

impl Completing<'_> {
    /// The script that carries the answer.
    pub(super) fn command(&self) -> Cmd {
        self.carried(|names, arguments| self.scripts.complete.command(names, arguments))
    }

    /// The same to a server that does not know it.
    pub(super) fn with_text(&self) -> Option<Cmd> {
        self.carried(|names, arguments| self.scripts.complete.with_text(names, arguments))
    }

    fn carried<T>(&self, send: impl FnOnce(&[&str], &[&[u8]]) -> T) -> T {
        let (state, payload) = self.payload();
        let time = self.at.as_micros().to_be_bytes();
        let retention = self.completion.retention.map(codec::retention);
        let retention = retention.as_ref().map_or(&[][..], |retention| retention);
        send(&[self.name], &[&value::holder(self.grant), &time, &[state], payload, retention])
    }

    /// Writes the whole record if what stands is exactly what the claim wrote.
    async fn compared(&self, connection: &mut MultiplexedConnection) -> RedisResult<Option<Value>> {
        let mut set = self.set(self.name);
        match ask(connection, set.arg("IFEQ").arg(self.pending())).await {
            Ok(Value::Okay) => Ok(Some(RECORDED)),
            Err(error) if is_broken(&error) => Err(error),
            // Nil says that another record stands, or none.
            _ => Ok(None),
        }
    }

    /// Writes the whole record beside the one that stands, with the expiry that it is to have, and has a script put it there
    /// if everything is as the grant says. Both go out together.
    async fn staged(&self, connection: &mut MultiplexedConnection) -> RedisResult<Option<Value>> {
        let (stage, pending, promote) = (self.stage(), self.pending(), &self.scripts.promote);
        let names = [self.name, &stage];
        let mut both = Pipeline::with_capacity(2);
        both.add_command(self.set(&stage)).add_command(promote.command(&names, &[&pending]));
        let mut replies = connection.send_packed_commands(&both, 0, 2).await?.into_iter().map(Value::extract_error);
        let (staged, mut promoted) = replies.next().zip(replies.next()).ok_or_else(cut_short)?;
        if promoted.as_ref().is_err_and(is_unknown_script)
            && let Some(text) = promote.with_text(&names, &[&pending])
        {
            promoted = ask(connection, &text).await;
        }
        match promoted {
            Ok(reply) if reply == RECORDED || reply == FOREIGN => Ok(Some(reply)),
            Err(error) if is_broken(&error) => Err(error),
            _ => {
                if staged.is_ok() {
                    self.unstage(connection).await?;
                }
                Ok(None)
            }
        }
    }

    /// Removes a stage that nobody takes. One whose connection breaks before lasts as long as the answer would have.
    async fn unstage(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        match ask(connection, cmd("PEXPIRE").arg(self.stage()).arg(0)).await {
            Err(error) if is_broken(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Begins with the record's name and so lives where the record does; ends with its holder, and so is nobody else's.
    fn stage(&self) -> String {
        format!("{}:stage:{}", self.name, URL_SAFE_NO_PAD.encode(value::holder(self.grant)))
    }

    /// Writes what is to stand, with its expiry.
    fn set(&self, name: &str) -> Cmd {
        let record = Record::in_flight(self.grant, self.at).with_answer(self.completion, self.at);
        let value = value::write(&self.grant.attempt.key, &record);
        let mut set = cmd("SET");
        set.arg(name).arg(value).arg("PX").arg(millis(life(&record)));
        set
    }

    /// What the claim wrote, byte for byte.
    fn pending(&self) -> Vec<u8> {
        value::write(&self.grant.attempt.key, &Record::in_flight(self.grant, self.at))
    }

    /// The state and the answer's bytes, as they stand in a record.
    fn payload(&self) -> (u8, &[u8]) {
        codec::completed(&self.completion.answer)
    }
}
