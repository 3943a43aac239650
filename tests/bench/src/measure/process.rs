//! The servers and the load generator as processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use clap::ValueEnum as _;
use tempfile::TempDir;

use super::leg::Subject;
use super::seed;
use crate::Outcome;
use crate::load::{Keys, READY, Report};
use crate::server::Kind;

/// What a server is run under.
#[derive(Clone, Copy, Debug)]
pub enum Wrapper<'a> {
    /// Nothing.
    None,
    /// The allocator that counts.
    Counting,
    /// callgrind, which writes to this file.
    Callgrind(&'a Path),
    /// strace, which writes to this file.
    Strace(&'a Path),
}

/// A server of the benchmarks. It ends when this is dropped, or when the process that started it dies.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub id: u32,
    _directory: TempDir,
}

impl Server {
    /// Starts it, and returns when it listens.
    ///
    /// # Errors
    ///
    /// A program that is missing, or a server that does not start.
    pub fn start(kind: Kind, answer: usize, redis: &str, wrapper: Wrapper<'_>) -> Outcome<Self> {
        // Beside the programs and not where temporary files are, which may be memory: there, nothing waits for a disk.
        let programs = program("bench-server")?;
        let directory = TempDir::new_in(programs.parent().ok_or("a program is in a folder")?)?;
        let mut command = wrapped(wrapper)?;
        let name = kind.to_possible_value().ok_or("every kind has a name")?;
        command.args(["--kind", name.get_name(), "--redis", redis, "--answer", &answer.to_string(), "--with-stdin"]);
        command.arg("--file").arg(directory.path().join("keys.redb"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // What a tool says beside its figures.
        if matches!(wrapper, Wrapper::Callgrind(_) | Wrapper::Strace(_)) {
            command.stderr(Stdio::null());
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("standard output is a pipe")?).read_line(&mut line)?;
        let (address, id) = line.trim().split_once(' ').ok_or_else(|| format!("{kind:?} does not start"))?;
        Ok(Self { stdin, address: address.parse()?, id: id.parse()?, child, _directory: directory })
    }

    /// Ends it, and waits until it is gone and its tools have written what they know.
    ///
    /// # Errors
    ///
    /// A process that cannot be waited for.
    pub fn stop(mut self) -> Outcome {
        self.end()
    }

    fn end(&mut self) -> Outcome {
        drop(self.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already where it was stopped.
        drop(self.end());
    }
}

fn wrapped(wrapper: Wrapper<'_>) -> Outcome<Command> {
    let server = program("bench-server")?;
    Ok(match wrapper {
        Wrapper::None => Command::new(server),
        Wrapper::Counting => Command::new(program("bench-server-counting")?),
        Wrapper::Callgrind(file) => {
            needs("valgrind", "--version")?;
            let mut command = Command::new("valgrind");
            command.args(["--tool=callgrind", "--quiet"]);
            command.arg(format!("--callgrind-out-file={}", file.display())).arg(server);
            command
        }
        Wrapper::Strace(file) => {
            needs("strace", "-V")?;
            let mut command = Command::new("strace");
            command.args(["-f", "-c", "-o"]).arg(file).arg(server);
            command
        }
    })
}

/// Fails if the tool is not there, with how to get it.
fn needs(tool: &str, question: &str) -> Outcome {
    match Command::new(tool).arg(question).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("{tool} is missing: `apt-get install {tool}`, or run `./tests/bench/run`").into()),
    }
}

/// A program of this package, which was built beside this one.
///
/// # Errors
///
/// It is not there.
pub fn program(name: &str) -> Outcome<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} was not built: run `./tests/bench/run`, which builds all", path.display()).into())
}

/// The load generator, ready to begin.
#[derive(Debug)]
pub(super) struct Generator {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Generator {
    /// Starts it, and returns when it has primed and warmed up.
    pub(super) fn start(address: SocketAddr, subject: &Subject) -> Outcome<Self> {
        let mut command = Command::new(program("bench-load")?);
        let keys = match subject.keys {
            Keys::Absent => "none".to_owned(),
            Keys::Unique => "unique".to_owned(),
            Keys::Repeated(keys) => format!("repeated:{keys}"),
        };
        let mut set = |name: &str, value: String| {
            command.arg(name).arg(value);
        };
        set("--address", address.to_string());
        set("--connections", subject.connections.to_string());
        set("--seconds", subject.seconds.to_string());
        set("--keys", keys);
        set("--body", subject.body.to_string());
        set("--seed", seed().to_string());
        if let Some(requests) = subject.requests {
            set("--requests", requests.to_string());
        }
        if let Some(rate) = subject.rate {
            set("--rate", rate.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("standard output is a pipe")?).lines();
        let mut generator = Self { child, lines };
        match generator.line()?.as_str() {
            READY => Ok(generator),
            other => Err(format!("the load generator said {other:?}").into()),
        }
    }

    /// Has it put its load on, and returns what came of it.
    pub(super) fn run(mut self) -> Outcome<Report> {
        self.child.stdin.take().ok_or("standard input is a pipe")?.write_all(b"\n")?;
        let report = serde_json::from_str(&self.line()?)?;
        self.child.wait()?;
        Ok(report)
    }

    fn line(&mut self) -> Outcome<String> {
        Ok(self.lines.next().ok_or("the load generator has ended")??)
    }
}
