//! Real processes: started, paused, continued, killed; and never left behind.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::{Count, eventually, within};

/// A server in a process of its own. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    url: String,
    log: Arc<Mutex<String>>,
    lines: Count,
}

impl Process {
    /// Starts `command` and waits until it prints where it listens: `listening on http://...`.
    ///
    /// To be called from the test's own task, whose thread lives as long as the test: the programs of this crate die with
    /// the thread that started them ([`die_with_parent`]).
    pub async fn start(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let name = format!("{:?}", piped.as_std());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (log, lines) = (Arc::new(Mutex::new(String::new())), Count::default());
        collect(child.stdout.take().expect("piped"), &log, &lines);
        collect(child.stderr.take().expect("piped"), &log, &lines);
        let listens = async {
            for line in 1.. {
                if let Some(url) = address(&log.lock().unwrap()) {
                    return url;
                }
                tokio::select! {
                    () = lines.reached(line) => {}
                    status = child.wait() => panic!("{name} ended with {status:?}:\n{}", log.lock().unwrap()),
                }
            }
            unreachable!("the loop has no end")
        };
        let url = within(&format!("{name} listens"), listens).await;
        Self { child, url, log, lines }
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same as a socket's address.
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("an address and a port")
    }

    /// The system's number for it.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a process that has not been waited for")
    }

    /// What it printed, to stdout and stderr, once a line of it holds `text`.
    ///
    /// Lines arrive on their own way, so that an answer may be there before the line that was printed ahead of it.
    pub async fn logged(&self, text: &str) -> String {
        let line = async {
            loop {
                let seen = self.lines.get();
                let log = self.log();
                if log.contains(text) {
                    return log;
                }
                self.lines.reached(seen + 1).await;
            }
        };
        within(&format!("a line of the log with {text:?}"), line).await
    }

    /// What it printed so far, to stdout and stderr: lines may still be on their way.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Stops it with SIGSTOP, and waits until it stands still.
    pub async fn pause(&self) {
        signal(self.id(), Signal::STOP);
        until_stopped(self.id()).await;
    }

    /// Lets it go on with SIGCONT.
    pub fn resume(&self) {
        signal(self.id(), Signal::CONT);
    }

    /// Asks it to end with SIGTERM.
    pub fn terminate(&self) {
        signal(self.id(), Signal::TERM);
    }

    /// Waits until it has ended by itself.
    pub async fn ended(mut self) -> ExitStatus {
        let status = within("the process ends", self.child.wait()).await;
        status.expect("a child can be waited for")
    }
}

/// A command with these arguments. Nothing of this process's `DEMO_*` environment reaches it.
pub fn command(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DEMO_")) {
        command.env_remove(name);
    }
    command
}

/// Has the system kill this process as soon as its parent is gone, even if that was killed and could not.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).expect("Linux can do that");
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal(id: u32, signal: Signal) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process number");
    kill_process(pid, signal).expect("a child can be signalled");
}

/// Waits until a child that was sent SIGSTOP stands still.
pub(crate) async fn until_stopped(id: u32) {
    eventually("the process stands still", || async { (state(id) == 'T').then_some(()) }).await;
}

/// The letter for a process's state in `/proc`, after the name in parentheses.
fn state(id: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a running process");
    let after_name = stat.rsplit(") ").next();
    after_name.and_then(|state| state.chars().next()).expect("a state")
}

/// Keeps what comes line by line, so that the process never waits for a reader.
fn collect(pipe: impl AsyncRead + Unpin + Send + 'static, log: &Arc<Mutex<String>>, count: &Count) {
    let (log, count) = (Arc::clone(log), count.clone());
    let mut lines = BufReader::new(pipe).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            log.lock().unwrap().extend([line.as_str(), "\n"]);
            count.up();
        }
    });
}

fn address(log: &str) -> Option<String> {
    let line = log.lines().find_map(|line| line.strip_prefix("listening on "))?;
    Some(line.trim().to_owned())
}
