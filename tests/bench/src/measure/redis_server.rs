//! A Redis of the benchmarks' own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, cmd};
use tempfile::TempDir;

use crate::Outcome;

/// Becomes the server, and leaves a watcher behind that kills it when this end of the pipe is gone.
const GUARD: &str = r#"
exec 3<&0
{ read -r _ <&3; read -r _ _ _ parent _ </proc/self/stat; [ "$parent" != $$ ] || kill -KILL $$; } >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"#;

const STARTING: Duration = Duration::from_secs(10);

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// What the system has: Redis 7.0 in Debian 12.
    System,
    /// What `tests/servers.sh` unpacks: Redis 8.0.
    Redis8,
    /// The same: Valkey 8.1.
    Valkey8,
}

/// A server on a port of its own, which persists nothing. It is killed when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    _guard: ChildStdin,
    _directory: TempDir,
    port: u16,
}

impl Program {
    fn path(self) -> Outcome<PathBuf> {
        let name = match self {
            Self::System => return Ok("redis-server".into()),
            Self::Redis8 => "redis-8",
            Self::Valkey8 => "valkey-8",
        };
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let folder = std::env::var_os("IDEMPOTENCY_SERVERS")
            .map_or_else(|| PathBuf::from(root).join("target/servers"), PathBuf::from);
        let path = folder.join(name);
        if path.exists() {
            return Ok(path);
        }
        Err(format!("{} is missing: run `./tests/servers.sh`", path.display()).into())
    }
}

impl RedisServer {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    ///
    /// It is missing, or does not start.
    pub fn start(program: Program, arguments: &[&str]) -> Outcome<Self> {
        let directory = TempDir::new()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(program.path()?);
        command.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(directory.path()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        let guard = child.stdin.take().ok_or("standard input is a pipe")?;
        let mut server = Self { child, _guard: guard, _directory: directory, port };
        let begun = Instant::now();
        while server.ask::<String>(&["PING"]).is_err() {
            if server.child.try_wait()?.is_some() || begun.elapsed() > STARTING {
                return Err(
                    "redis-server does not start: `apt-get install redis-server`, or run `./tests/bench/run`".into()
                );
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What clients connect to.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A connection to it.
    ///
    /// # Errors
    ///
    /// As the client's.
    pub fn connect(&self) -> Outcome<Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }

    /// What it says to these words.
    ///
    /// # Errors
    ///
    /// As the client's.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Outcome<T> {
        let mut connection = self.connect()?;
        let (name, arguments) = words.split_first().ok_or("a command has a name")?;
        let mut command = cmd(name);
        for argument in arguments {
            command.arg(argument);
        }
        Ok(command.query(&mut connection)?)
    }

    /// Empties it.
    ///
    /// # Errors
    ///
    /// As the client's.
    pub fn flush(&self) -> Outcome {
        self.ask(&["FLUSHALL", "SYNC"])
    }

    /// The bytes that it uses.
    ///
    /// # Errors
    ///
    /// It does not say.
    pub fn used_memory(&self) -> Outcome<u64> {
        let info: String = self.ask(&["INFO", "memory"])?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.ok_or("INFO memory has used_memory")?.trim().parse()?)
    }

    /// How often this command was called since the server started.
    ///
    /// # Errors
    ///
    /// It does not say.
    pub fn calls(&self, command: &str) -> Outcome<u64> {
        let info: String = self.ask(&["INFO", "commandstats"])?;
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        Ok(line.and_then(|line| line.split(',').next()).map_or(Ok(0), str::parse)?)
    }

    /// What it is, and of which version.
    ///
    /// # Errors
    ///
    /// As the client's.
    pub fn version(&self) -> Outcome<String> {
        let info: String = self.ask(&["INFO", "server"])?;
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
        Ok(match field("valkey_version:") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", field("redis_version:").unwrap_or("?")),
        })
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
