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

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, RedisWrite, Value, cmd};

use super::line::{ask, cut_short, is_broken, is_unknown_script};
use super::script::Scripts;
use super::transact::whole_millis;
use super::value::{self, life};
use crate::record::Record;
use crate::{Answer, Completion, Grant, StoreTime};

/// From so many bytes on an answer is staged. Below, that spares a server less than a microsecond, and is a second command to
/// its client: at 1 KiB it is 6.2 µs staged and 7.0 by the script, at 4 KiB 11.0 and 16.1 (Redis 7.0, 16 at once).
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

    /// Whether this is another way than the script, for this answer.
    pub(super) fn is_shorter(self, completing: &Completing<'_>) -> bool {
        match self {
            Self::Comparison => true,
            Self::Stage => completing.answer().len() >= STAGED_FROM,
            Self::Script => false,
        }
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
            Self::Stage => Box::pin(completing.staged(connection)).await,
            Self::Script => Ok(None),
        }
    }
}

/// Says to the script that the retention in the record with the answer counts, and not that of the record that stands.
const OWN_RETENTION: &str = "1";

/// No life has more.
const DIGITS: usize = 20;

const RECORDED: Value = Value::Int(1);
const FOREIGN: Value = Value::Int(0);

impl Completing<'_> {
    /// The script that carries the answer.
    pub(super) fn command(&self) -> Cmd {
        self.carried(self.scripts.complete.opening(&[self.name], self.room()))
    }

    /// The same to a server that does not know it.
    pub(super) fn with_text(&self) -> Option<Cmd> {
        self.scripts.complete.opening_with_text(&[self.name], self.room()).map(|command| self.carried(command))
    }

    /// What the script needs to write the record as it is made here, or else to make it of what stands.
    fn carried(&self, mut command: Cmd) -> Cmd {
        let record = self.record();
        command.arg(&self.pending()[..]);
        self.write(&record, &mut command);
        command.arg(whole_millis(life(&record)));
        if self.completion.retention.is_some() {
            command.arg(OWN_RETENTION);
        }
        command
    }

    /// How many arguments that are, and of how many bytes.
    fn room(&self) -> (usize, usize) {
        (4, 2 * value::HEAD_LEN + self.answer().len() + DIGITS + OWN_RETENTION.len())
    }

    /// Writes the whole record if what stands is exactly what the claim wrote.
    async fn compared(&self, connection: &mut MultiplexedConnection) -> RedisResult<Option<Value>> {
        let mut set = self.set(self.name);
        match ask(connection, set.arg("IFEQ").arg(&self.pending()[..])).await {
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
        let record = self.record();
        // With the two that `compared` adds.
        let mut set = Cmd::with_capacity(7, name.len() + 2 * value::HEAD_LEN + self.answer().len() + DIGITS + 16);
        set.arg("SET").arg(name);
        self.write(&record, &mut set);
        set.arg("PX").arg(whole_millis(life(&record)));
        set
    }

    /// What is to stand if what stands is what the claim wrote, without the answer's bytes: sharing them takes a block.
    fn record(&self) -> Record {
        let answer = match self.completion.answer {
            Answer::Kept(_) => Answer::Kept(Bytes::new()),
            Answer::NotKept(_) => Answer::NotKept(Bytes::new()),
        };
        let completion = Completion { answer, retention: self.completion.retention };
        Record::in_flight(self.grant, self.at).with_answer(&completion, self.at)
    }

    /// Adds the record to a command, with the answer's bytes. They are copied nowhere else.
    fn write(&self, record: &Record, command: &mut Cmd) {
        let mut argument = command.writer_for_next_arg();
        for part in [&value::head(&self.grant.attempt.key, record), &self.answer()[..]] {
            // A command is memory, and takes whatever is written.
            drop(argument.write_all(part));
        }
    }

    /// What the claim wrote, byte for byte.
    fn pending(&self) -> [u8; value::HEAD_LEN] {
        value::head(&self.grant.attempt.key, &Record::in_flight(self.grant, self.at))
    }

    const fn answer(&self) -> &Bytes {
        self.completion.answer.as_bytes()
    }
}
