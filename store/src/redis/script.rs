//! The scripts: each a file, sent by its digest and, where the server does not know it, as its text; or as functions that an
//! administrator has loaded.
//!
//! They give Redis strings where it wants a number that does not change: a number of Lua's is printed anew for each call, with
//! all digits that it might have, which takes Redis 7.0 a fifth of a microsecond.

use std::borrow::Cow;

use redis::{Cmd, cmd};

use super::completing::Completing;

/// How scripts are run: [`RedisConfig::scripting`](super::RedisConfig::scripting).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Scripting {
    /// By `EVALSHA`, and by `EVAL` where the server does not know the script. Claims are plain commands. The default.
    #[default]
    Eval,
    /// As [functions](https://redis.io/docs/latest/develop/programmability/functions-intro/) that an administrator has loaded
    /// ([`RedisStore::function_library`](super::RedisStore::function_library)), claims included. The store sends
    /// nothing but `FCALL`, `SET` and at times a `PEXPIRE` to record answers in a shorter way, and `WAIT` or `WAITAOF` where
    /// claims wait; its user can send no script of its own.
    Functions,
}

/// A script, in all the forms in which it is sent.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    sha1: String,
    function: String,
    scripting: Scripting,
}

/// All scripts of the store.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) scripting: Scripting,
    /// A plain command but for functions.
    claim: Script,
    /// A plain command but for functions.
    time: Script,
    pub(super) snapshot: Script,
    /// Refused by a server that is out of memory: for claims.
    pub(super) swap: Script,
    /// Taken by a server that is out of memory: for what has happened already.
    pub(super) swap_allow_oom: Script,
    pub(super) renew: Script,
    /// Carries the answer. Taken by a server that is out of memory.
    pub(super) complete: Script,
    /// Does not carry it. Taken by a server that is out of memory.
    pub(super) promote: Script,
    /// Refused by a server that is out of memory, and so is the attempt that asks.
    pub(super) admit: Script,
}

/// Something to ask a server about one key.
pub(super) enum Call<'a> {
    Plain(Cmd),
    /// An answer to be recorded. As a command it is the script that carries the answer.
    Completion(Completing<'a>),
    Script {
        script: &'a Script,
        name: &'a str,
        arguments: &'a [&'a [u8]],
    },
}

/// What the functions' names begin with. The number is that of the records' layout, so that two versions of a service can run
/// beside each other, each with the library that it knows.
const LIBRARY: &str = "idem_v1";

impl Scripts {
    pub(super) fn new(scripting: Scripting) -> Self {
        let script = |function: &str, text: &str| Script::new(scripting, function, text.to_owned());
        let swap = include_str!("swap.lua");
        Self {
            scripting,
            claim: script("claim", include_str!("claim.lua")),
            time: script("time", include_str!("time.lua")),
            snapshot: script("snapshot", include_str!("snapshot.lua")),
            swap: script("swap", swap),
            swap_allow_oom: script("swap_allow_oom", &format!("#!lua flags=allow-oom\n{swap}")),
            renew: script("renew", include_str!("renew.lua")),
            complete: script("complete", include_str!("complete.lua")),
            promote: script("promote", include_str!("promote.lua")),
            admit: script("admit", include_str!("admit.lua")),
        }
    }

    /// A first claim.
    pub(super) fn claim<'a>(&'a self, name: &'a str, arguments: &'a [&'a [u8]; 2]) -> Call<'a> {
        match self.scripting {
            Scripting::Functions => self.claim.call(name, arguments),
            Scripting::Eval => {
                // Seven arguments, whose bytes are these and those of the words between them.
                let mut set = Cmd::with_capacity(7, name.len() + arguments[0].len() + 32);
                set.arg("SET").arg(name).arg(arguments[0]).arg("NX").arg("GET").arg("PX").arg(arguments[1]);
                Call::Plain(set)
            }
        }
    }

    /// The server's time.
    pub(super) fn time(&self) -> Cmd {
        match self.scripting {
            Scripting::Eval => cmd("TIME"),
            Scripting::Functions => self.time.command(&[], &[]),
        }
    }

    /// The functions as a library for `FUNCTION LOAD`.
    pub(super) fn library(&self) -> String {
        let Self { scripting: _, claim, time, snapshot, swap, swap_allow_oom, renew, complete, promote, admit } = self;
        let functions = [claim, time, snapshot, swap, swap_allow_oom, renew, complete, promote, admit];
        let registered: Vec<_> = functions.into_iter().map(Script::registration).collect();
        format!("#!lua name={LIBRARY}\n\n{}", registered.join("\n"))
    }
}

impl Script {
    fn new(scripting: Scripting, function: &str, text: String) -> Self {
        let sha1 = redis::Script::new(&text).get_hash().to_owned();
        Self { text, sha1, function: format!("{LIBRARY}_{function}"), scripting }
    }

    pub(super) const fn call<'a>(&'a self, name: &'a str, arguments: &'a [&'a [u8]]) -> Call<'a> {
        Call::Script { script: self, name, arguments }
    }

    /// The flags of the first line, if it is one of flags, and the rest.
    fn parts(&self) -> (Option<&str>, &str) {
        let flagged = self.text.strip_prefix("#!lua flags=").and_then(|text| text.split_once('\n'));
        flagged.map_or((None, self.text.as_str()), |(flags, body)| (Some(flags), body))
    }

    fn registration(&self) -> String {
        let (flags, body) = self.parts();
        let flags = flags.map(|flags| format!("'{flags}'")).unwrap_or_default();
        let name = &self.function;
        format!(
            "redis.register_function{{function_name='{name}', flags={{{flags}}}, callback=function(KEYS, ARGV)\n\
             {body}end}}\n"
        )
    }

    /// What is sent first.
    pub(super) fn command(&self, names: &[&str], arguments: &[&[u8]]) -> Cmd {
        let mut command = self.opening(names, room(arguments));
        command.arg(arguments);
        command
    }

    /// What is sent to a server that does not know the script: it forgets scripts when it restarts or fails over. NOSCRIPT
    /// means that nothing was executed.
    pub(super) fn with_text(&self, names: &[&str], arguments: &[&[u8]]) -> Option<Cmd> {
        let mut command = self.opening_with_text(names, room(arguments))?;
        command.arg(arguments);
        Some(command)
    }

    /// What is sent first, up to the arguments, of which there is room for so many, and so many bytes.
    pub(super) fn opening(&self, names: &[&str], room: (usize, usize)) -> Cmd {
        match self.scripting {
            Scripting::Eval => opening("EVALSHA", &self.sha1, names, room),
            Scripting::Functions => opening("FCALL", &self.function, names, room),
        }
    }

    /// The same to a server that does not know the script.
    pub(super) fn opening_with_text(&self, names: &[&str], room: (usize, usize)) -> Option<Cmd> {
        (self.scripting == Scripting::Eval).then(|| opening("EVAL", &self.text, names, room))
    }
}

impl Call<'_> {
    /// What is sent first.
    pub(super) fn command(&self) -> Cow<'_, Cmd> {
        match self {
            Self::Plain(command) => Cow::Borrowed(command),
            Self::Completion(completing) => Cow::Owned(completing.command()),
            Self::Script { script, name, arguments } => Cow::Owned(script.command(&[name], arguments)),
        }
    }

    /// What is sent to a server that does not know the script.
    pub(super) fn with_text(&self) -> Option<Cmd> {
        match self {
            Self::Plain(_) => None,
            Self::Completion(completing) => completing.with_text(),
            Self::Script { script, name, arguments } => script.with_text(&[name], arguments),
        }
    }
}

fn room(arguments: &[&[u8]]) -> (usize, usize) {
    (arguments.len(), arguments.iter().map(|argument| argument.len()).sum())
}

fn opening(verb: &str, script: &str, names: &[&str], (arguments, bytes): (usize, usize)) -> Cmd {
    let keys: usize = names.iter().map(|name| name.len()).sum();
    let mut command = Cmd::with_capacity(3 + names.len() + arguments, verb.len() + script.len() + 2 + keys + bytes);
    command.arg(verb).arg(script).arg(names.len()).arg(names);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_has_every_script_with_its_flags() {
        let library = Scripts::new(Scripting::Functions).library();
        assert!(library.starts_with("#!lua name=idem_v1\n"));
        assert_eq!(library.matches("redis.register_function{").count(), 9);
        assert!(library.contains("function_name='idem_v1_complete', flags={'allow-oom'}"));
        assert!(library.contains("function_name='idem_v1_swap', flags={}"));
        assert_eq!(library.matches("#!lua").count(), 1);
    }
}
