//! A server that greets as Redis does, and then answers what it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::resp::{Boundary, Command, is_push};

/// What is answered to the commands after the greeting, one after another. Then the connection is closed.
#[derive(Debug, Default)]
pub(super) struct Script(Mutex<Said>);

/// How far it has come.
#[derive(Debug, Default)]
struct Said {
    to_say: VecDeque<Vec<u8>>,
    bytes: Vec<u8>,
    commands: usize,
    skill: Skill,
}

/// How it lets the answer of a completion be recorded, beside the script that carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Skill {
    #[default]
    None,
    /// By `SET` with `IFEQ`.
    Compares,
    /// By a script that renames.
    Renames,
}

impl Script {
    /// Nothing is answered any more after these.
    pub(super) fn say(&self, replies: impl IntoIterator<Item = Vec<u8>>) {
        let replies: Vec<_> = replies.into_iter().collect();
        self.0.lock().unwrap().to_say.extend(replies);
    }

    /// It greets as a server that can do this.
    pub(super) fn master(&self, skill: Skill) {
        self.0.lock().unwrap().skill = skill;
    }

    /// What it can do.
    pub(super) fn skill(&self) -> Skill {
        self.0.lock().unwrap().skill
    }

    /// How many commands were answered, and all that was answered to them.
    pub(super) fn said(&self) -> (usize, Vec<u8>) {
        let said = self.0.lock().unwrap();
        (said.commands, said.bytes.clone())
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut said = self.0.lock().unwrap();
        let reply = said.to_say.pop_front()?;
        said.commands += 1;
        said.bytes.extend_from_slice(&reply);
        Some(reply)
    }
}

pub(super) async fn serve(listener: UnixListener, script: Arc<Script>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(answer(stream, Arc::clone(&script)));
    }
}

/// Until the client leaves, nothing is left to say, or what was said is no reply.
async fn answer(mut stream: UnixStream, script: Arc<Script>) {
    let (mut read, mut boundary, mut greeting) = (Vec::new(), Boundary::default(), Greeting::default());
    loop {
        while let Some(end) = boundary.end(&read).expect("a client that speaks RESP") {
            let command = Command::read(read.drain(..end).collect::<Bytes>()).expect("a command");
            let Some(reply) = greeting.reply(&command, &script).or_else(|| script.next()) else { return };
            // Or the client would wait for the rest, or for the reply after what came unasked.
            let is_reply = !is_push(&reply) && matches!(Boundary::default().end(&reply), Ok(Some(_)));
            if stream.write_all(&reply).await.is_err() || !is_reply {
                return;
            }
        }
        if matches!(stream.read_buf(&mut read).await, Ok(0) | Err(_)) {
            return;
        }
    }
}

/// The first words on a connection, up to the server's time.
#[derive(Default)]
struct Greeting {
    is_over: bool,
    sets: usize,
    renames: usize,
}

impl Greeting {
    fn reply(&mut self, command: &Command, script: &Script) -> Option<Vec<u8>> {
        if self.is_over {
            return None;
        }
        Some(match command.name().as_str() {
            "INFO" => bulk(b"redis_version:7.0.15\r\nrole:master\r\n"),
            "SET" => {
                self.sets += 1;
                match (self.sets, command.arguments(), script.skill()) {
                    (1, ..) | (4, _, Skill::Compares) => b"$-1\r\n".to_vec(),
                    (2, [_, record, ..], _) => bulk(record),
                    (3, _, Skill::Compares) => b"+OK\r\n".to_vec(),
                    _ => b"-ERR syntax error\r\n".to_vec(),
                }
            }
            "EVALSHA" if script.skill() == Skill::Renames => {
                self.renames += 1;
                if self.renames == 1 { b":1\r\n".to_vec() } else { b":0\r\n".to_vec() }
            }
            "TIME" => {
                self.is_over = true;
                b"*2\r\n$10\r\n1780000100\r\n$1\r\n0\r\n".to_vec()
            }
            _ => b"+OK\r\n".to_vec(),
        })
    }
}

/// A bulk string.
pub(super) fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
