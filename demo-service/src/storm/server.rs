//! The storm's own processes: servers that are killed and started again.
//!
//! Each is this same program, started once more. None of them outlives the storm: a process is killed when its handle is dropped.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::base::Base;
use super::error::Error;
use super::ready::is_ready;

/// A debug build on a busy machine needs a second; a database that was killed is repaired on top of it.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Enough to find the cause, little enough to be read.
const LAST_WORDS: usize = 20;

/// How to start a process.
#[derive(Debug)]
pub(crate) struct Spec {
    /// What the user knows it as.
    pub(crate) name: &'static str,
    /// The program, which is this one outside of tests.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// Variables of its environment: what must not be seen in a list of processes.
    pub(crate) secrets: Vec<(&'static str, OsString)>,
    /// Where it will answer.
    pub(crate) base: Base,
    /// What it answers once it is ready.
    pub(crate) ready: &'static str,
}

/// A process that is running, or was killed and can be started again.
#[derive(Debug)]
pub(crate) struct Process {
    spec: Spec,
    child: Child,
    last_words: LastWords,
}

impl Process {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(spec: Spec) -> Result<Self, Error> {
        let (child, last_words) = spawn(&spec)?;
        let mut process = Self { spec, child, last_words };
        process.become_ready().await?;
        Ok(process)
    }

    /// Kills it without a word, as a lost machine would, and starts it again at the same address.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        self.kill().await?;
        (self.child, self.last_words) = spawn(&self.spec)?;
        self.become_ready().await
    }

    /// SIGKILL, and the wait for its end, so that its files and its port are free.
    pub(crate) async fn kill(&mut self) -> Result<(), Error> {
        let name = self.spec.name;
        // What has ended cannot be killed, and need not be.
        let killed = match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => self.child.kill().await,
        };
        killed.map_err(|source| Error::Kill { name, source })
    }

    /// Resolves when it ends without having been killed, which it never should.
    pub(crate) async fn ended(&mut self) -> Error {
        let what = match self.child.wait().await {
            Ok(status) => format!("ended by itself ({status})"),
            Err(error) => format!("was lost from sight ({error})"),
        };
        self.failed(what).await
    }

    async fn become_ready(&mut self) -> Result<(), Error> {
        let gives_up = Instant::now() + STARTS_WITHIN;
        while Instant::now() < gives_up {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failed(format!("ended before it was ready ({status})")).await);
            }
            if is_ready(&self.spec.base, self.spec.ready).await.is_ok() {
                return Ok(());
            }
            sleep(ASKED_EVERY).await;
        }
        let waited = humantime::format_duration(STARTS_WITHIN);
        Err(self.failed(format!("was not ready after {waited}")).await)
    }

    async fn failed(&self, what: String) -> Error {
        // What it wrote last may still be in the pipe.
        sleep(ASKED_EVERY).await;
        Error::Process { name: self.spec.name, what, stderr: self.last_words.to_string() }
    }
}

fn spawn(spec: &Spec) -> Result<(Child, LastWords), Error> {
    let mut child = Command::new(&spec.program)
        .args(&spec.args)
        .envs(spec.secrets.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Spawn { name: spec.name, source })?;
    let last_words = LastWords::default();
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(last_words.clone().listen(stderr));
    }
    Ok((child, last_words))
}

/// The end of what a process wrote on its standard error. Somebody has to read it, or a full pipe stops the process.
#[derive(Debug, Clone, Default)]
struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    async fn listen(self, stderr: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == LAST_WORDS {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    }
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            return f.write_str("  (it wrote nothing)");
        }
        let lines: Vec<_> = kept.iter().map(|line| format!("  {line}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// A port that stays free while the server that has it is dead.
///
/// It must lie outside of the range from which the kernel takes the ports of outgoing connections: otherwise one of the storm's
/// own connections could take the port of the dead server, or even connect to itself.
pub(crate) async fn free_port(seed: u64) -> Result<u16, Error> {
    let mut refused = None;
    let first = seed % u64::from(PORTS.1);
    for port in (0..64).filter_map(|n| u16::try_from((first + n * 97) % u64::from(PORTS.1)).ok()) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.0 + port));
        match TcpListener::bind(address).await {
            Ok(_) => return Ok(address.port()),
            Err(error) => refused = Some(error),
        }
    }
    Err(Error::NoPort(refused.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into())))
}

/// The first, and how many: above the well-known services, below Linux's 32768.
const PORTS: (u16, u16) = (20_000, 12_000);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Spec {
        Spec {
            name: "server",
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            secrets: vec![("DEMO_SECRET", "from the environment".into())],
            base: Base::loopback(9),
            ready: "/readyz",
        }
    }

    #[tokio::test]
    async fn a_process_that_ends_is_reported_with_its_last_words() {
        let error = Process::start(shell("echo the store is locked >&2; exit 3")).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("exit status: 3") && said.contains("the store is locked"), "{said}");
    }

    #[tokio::test]
    async fn a_process_finds_its_secrets_in_its_environment() {
        let error = Process::start(shell("echo $DEMO_SECRET >&2; exit 3")).await.unwrap_err();
        assert!(error.to_string().contains("from the environment"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_reported() {
        let spec = Spec { program: "/nowhere/at/all".into(), ..shell("") };
        assert!(matches!(Process::start(spec).await, Err(Error::Spawn { name: "server", .. })));
    }

    #[tokio::test]
    async fn only_the_last_words_are_kept() {
        let words = LastWords::default();
        let text = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        words.clone().listen(text.as_bytes()).await;
        let kept = words.to_string();
        assert_eq!(kept.lines().count(), LAST_WORDS);
        assert!(kept.ends_with("line 99"));
    }

    #[tokio::test]
    async fn ports_lie_below_those_of_outgoing_connections() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port(5).await.unwrap())).await.unwrap();
        let other = free_port(5).await.unwrap();
        assert_ne!(taken.local_addr().unwrap().port(), other);
        assert!((20_000..32_000).contains(&other));
    }
}
