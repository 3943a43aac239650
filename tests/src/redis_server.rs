//! A real `redis-server` on a port and in a directory of its own, to be paused, killed and started again.
//!
//! A test never talks to a server that it did not start: whoever answers must be the process that was started here.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult, TlsCertificates};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use crate::process::{signal, until_stopped};
use crate::{RedisOptions, eventually, within};

/// Becomes the server, and leaves a watcher behind that kills it when this end of the pipe is gone: also if the test was
/// killed itself. The watcher looks whether it still is the server's child, for the number may be another's by then.
const GUARD: &str = r#"
exec 3<&0
{
    read -r _ <&3
    read -r _ _ _ parent _ </proc/self/stat
    [ "$parent" != $$ ] || kill -KILL $$
} >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"#;

const MISSING: &str =
    "redis-server is missing: install redis-server (`apt-get install redis-server`), or run `./tests/run`";

/// On how many ports it is tried: what was a free port may be another's by the time the server binds it.
const ATTEMPTS: usize = 5;

/// A server of one's own. It is killed when this is dropped, and when the process that started it dies.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    port: u16,
    /// Where the nodes of a cluster talk to each other.
    bus: u16,
    directory: TempDir,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    _guard: ChildStdin,
}

impl RedisServer {
    /// Starts one, and returns when it answers.
    pub async fn start(options: RedisOptions) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut server = Self { options, port: 0, bus: 0, directory, running: Mutex::default() };
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            (server.port, server.bus) = (free_port().await, free_port().await);
            match server.launch().await {
                Ok(()) => return server,
                Err(failure) => why = failure,
            }
        }
        panic!("redis-server does not start: {why}")
    }

    /// One that the tests of this process share, with nothing special about it: for tests whose keys are nobody else's. It
    /// is not to be paused, killed or reconfigured.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RedisServer> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(RedisOptions::default())).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What a client connects to as the default user: `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        match self.options.default_password() {
            Some(password) => self.url_as("", password),
            None => format!("{}://{}", self.scheme(), self.address()),
        }
    }

    /// What a client connects to as this user. Name and password are of characters that need no escape.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@{}", self.scheme(), self.address())
    }

    /// The port on which the nodes of a cluster talk to each other.
    pub const fn bus(&self) -> u16 {
        self.bus
    }

    /// What a client on this machine connects to if there is a [`unix_socket`](RedisOptions::unix_socket).
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What it was started with.
    pub const fn options(&self) -> &RedisOptions {
        &self.options
    }

    /// Whether it has not been killed.
    pub fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// The system's number for its process.
    pub fn id(&self) -> u32 {
        self.running().as_ref().expect("a running redis-server").child.id()
    }

    /// What it has logged since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Kills it with SIGKILL, if it runs, and waits until it is gone.
    pub fn kill9(&self) {
        if let Some(mut running) = self.running().take() {
            running.child.kill().expect("a child can be killed");
            running.child.wait().expect("a child can be waited for");
        }
    }

    /// Stops it with SIGSTOP, and waits until it stands still. The system still accepts connections for it.
    pub async fn stop(&self) {
        signal(self.id(), Signal::STOP);
        until_stopped(self.id()).await;
    }

    /// Lets it go on with SIGCONT.
    pub fn cont(&self) {
        signal(self.id(), Signal::CONT);
    }

    /// Kills it, if it runs, and starts it on the same port and directory: what it persisted is there again.
    pub async fn restart(&self) {
        self.kill9();
        if let Err(why) = self.launch().await {
            panic!("redis-server does not start again on {}: {why}", self.address());
        }
    }

    /// As [`restart`](Self::restart), but what it persisted is lost.
    pub async fn restart_empty(&self) {
        self.kill9();
        std::fs::remove_dir_all(self.data()).expect("its directory can be removed");
        self.restart().await;
    }

    /// A connection of the default user that shares nothing with any other.
    pub async fn connection(&self) -> MultiplexedConnection {
        // Only `within` is to say that it takes too long.
        let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let opened = within("redis-server accepts", self.connect(&patient)).await;
        opened.unwrap_or_else(|error| panic!("no connection to redis-server: {error}\n{}", self.log()))
    }

    pub(crate) fn client(&self) -> redis::Client {
        match self.options.certificates() {
            None => redis::Client::open(self.url()).expect("a URL"),
            Some(certificates) => {
                // As a store does it: whoever is first chooses for the process.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let root_cert = Some(certificates.authority().as_bytes().to_vec());
                redis::Client::build_with_tls(self.url(), TlsCertificates { client_tls: None, root_cert })
                    .expect("a URL")
            }
        }
    }

    async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        self.client().get_multiplexed_async_connection_with_config(config).await
    }

    /// Starts the process and waits until it answers; if it is not it that does, or nothing ever will, says why.
    async fn launch(&self) -> Result<(), String> {
        std::fs::create_dir_all(self.data()).expect("a directory can be made");
        let child = self.spawn();
        *self.running() = Some(child);
        let answer = eventually("redis-server answers", || self.answer()).await;
        if answer.is_err() {
            self.kill9();
        }
        answer
    }

    fn spawn(&self) -> Running {
        let log = File::create(self.log_file()).expect("a file can be made");
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "redis-server"]).arg(self.options.executable());
        self.configure(&mut command);
        command.envs(self.options.environment().iter().cloned());
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a file")).stderr(log);
        let mut child = command.spawn().expect("a shell");
        let guard = child.stdin.take().expect("piped");
        Running { child, _guard: guard }
    }

    fn configure(&self, command: &mut Command) {
        if let Some(configuration) = self.options.sentinel_configuration() {
            let file = self.file("sentinel.conf");
            // It keeps there what it has found out.
            if !file.exists() {
                std::fs::write(&file, configuration).expect("a file can be written");
            }
            command.arg(file).arg("--sentinel");
        }
        let ports =
            if self.options.certificates().is_some() { ["--tls-port", "--port"] } else { ["--port", "--tls-port"] };
        command.args([ports[0], &self.port.to_string(), ports[1], "0", "--bind", "127.0.0.1"]);
        command.arg("--dir").arg(self.data()).args(self.options.arguments());
        if self.options.is_clustered() {
            command.args(["--cluster-port", &self.bus.to_string()]);
        }
        if self.options.has_unix_socket() {
            command.arg("--unixsocket").arg(self.socket());
        }
    }

    /// Whether our process answers; nothing while it may still come to that.
    async fn answer(&self) -> Option<Result<(), String>> {
        if let Some(status) = self.running().as_mut().and_then(|running| running.child.try_wait().expect("a child")) {
            assert_ne!(status.code(), Some(127), "{MISSING}");
            return Some(Err(format!("it ended with {status}:\n{}", self.log())));
        }
        let answered = self.process_id().await?;
        let ours = self.id();
        Some((answered == ours).then_some(()).ok_or_else(|| {
            format!("a foreign server answers on {}: its process is {answered}, ours is {ours}", self.address())
        }))
    }

    /// Who answers on the port: nobody as long as it loads its data.
    async fn process_id(&self) -> Option<u32> {
        let mut connection = self.connect(&AsyncConnectionConfig::new()).await.ok()?;
        redis::cmd("PING").query_async::<()>(&mut connection).await.ok()?;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
        info.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok()
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn scheme(&self) -> &'static str {
        if self.options.certificates().is_some() { "rediss" } else { "redis" }
    }

    fn data(&self) -> PathBuf {
        self.file("data")
    }

    fn socket(&self) -> PathBuf {
        self.file("socket")
    }

    fn log_file(&self) -> PathBuf {
        self.file("log")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A port that nobody listens on, to listen on again and again: below those that the system gives to outgoing connections.
/// Otherwise one of these could take it between a kill and a restart; or a client that knocks on the closed port could
/// be given the very port that it knocks on, and be connected to itself.
pub async fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const SPAN: u16 = 12_000;
    // Test processes that run at once begin in different places.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(0..SPAN)));
    for _ in 0..SPAN {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % SPAN;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}
