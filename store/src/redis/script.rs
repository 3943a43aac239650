//! The scripts: each a file, sent by its digest and, where the server does not know it, as its text.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value, cmd};

/// A script and its digest.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    sha1: String,
}

/// All scripts of the store.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) snapshot: Script,
    /// Refused by a server that is out of memory: for claims.
    pub(super) swap: Script,
    /// Taken by a server that is out of memory: for what has happened already.
    pub(super) swap_allow_oom: Script,
    pub(super) renew: Script,
    pub(super) complete: Script,
    /// Refused by a server that is out of memory, and so is the attempt that asks.
    pub(super) admit: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let swap = include_str!("swap.lua");
        Self {
            snapshot: Script::new(include_str!("snapshot.lua").to_owned()),
            swap: Script::new(swap.to_owned()),
            swap_allow_oom: Script::new(format!("#!lua flags=allow-oom\n{swap}")),
            renew: Script::new(include_str!("renew.lua").to_owned()),
            complete: Script::new(include_str!("complete.lua").to_owned()),
            admit: Script::new(include_str!("admit.lua").to_owned()),
        }
    }
}

impl Script {
    fn new(text: String) -> Self {
        let sha1 = redis::Script::new(&text).get_hash().to_owned();
        Self { text, sha1 }
    }

    /// Runs the script on one key. The server forgets scripts when it restarts or fails over; NOSCRIPT means that
    /// nothing was executed, so the same operation is sent again with the text.
    pub(super) async fn call(
        &self,
        connection: &mut MultiplexedConnection,
        key: &str,
        arguments: &[&[u8]],
    ) -> RedisResult<Value> {
        match ask(connection, &invocation("EVALSHA", &self.sha1, key, arguments)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                ask(connection, &invocation("EVAL", &self.text, key, arguments)).await
            }
            reply => reply,
        }
    }
}

/// Sends a command. An error that the server answers with is an error here.
pub(super) async fn ask(connection: &mut MultiplexedConnection, command: &Cmd) -> RedisResult<Value> {
    connection.send_packed_command(command).await.and_then(Value::extract_error)
}

fn invocation(verb: &str, script: &str, key: &str, arguments: &[&[u8]]) -> Cmd {
    let mut command = cmd(verb);
    command.arg(script).arg(1).arg(key);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}
