//! What is special about a [`RedisServer`](crate::RedisServer).

use std::ffi::OsString;

use crate::redis_program::Program;
use crate::{Certificates, ServerClock};

/// Settings of a server. By default it persists nothing, evicts nothing and asks for no password.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    arguments: Vec<OsString>,
    password: Option<String>,
    unix_socket: bool,
    program: Program,
    certificates: Option<Certificates>,
    environment: Vec<(OsString, OsString)>,
    sentinel: Option<String>,
    cluster: bool,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::bare().set("save", "").set("appendonly", "no").set("maxmemory-policy", "noeviction")
    }
}

impl RedisOptions {
    /// It logs each write to its file, and has the disk confirm it `always`, `everysec` or `no`: what is there after
    /// [`restart`](crate::RedisServer::restart).
    pub fn append_only(self, fsync: &str) -> Self {
        self.set("appendonly", "yes").set("appendfsync", fsync)
    }

    /// It refuses writes when it holds more than this, such as `8mb`.
    pub fn max_memory(self, limit: &str) -> Self {
        self.set("maxmemory", limit)
    }

    /// What it does when that is reached, other than to refuse.
    pub fn eviction(self, policy: &str) -> Self {
        self.set("maxmemory-policy", policy)
    }

    /// It asks the default user for this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", password)
    }

    /// It knows this user, who may do what `rules` say, such as `~* +@all`.
    pub fn user(self, name: &str, password: &str, rules: &str) -> Self {
        let rules = rules.split_whitespace().map(OsString::from);
        let words = ["--user", name, "on"].into_iter().map(OsString::from).chain([format!(">{password}").into()]);
        self.with(words.chain(rules))
    }

    /// It listens on a Unix socket too.
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// It is of this kind.
    pub fn program(mut self, program: Program) -> Self {
        self.program = program;
        self
    }

    /// It speaks only TLS: to clients, to its replicas, in its cluster.
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        let file = |path: std::path::PathBuf| path.display().to_string();
        self.set("tls-cert-file", &file(certificates.certificate()))
            .set("tls-key-file", &file(certificates.key()))
            .set("tls-ca-cert-file", &file(certificates.authority_file()))
            .set("tls-auth-clients", "no")
            .set("tls-replication", "yes")
            .set("tls-cluster", "yes")
    }

    /// It tells the time by this clock.
    pub fn clock(mut self, clock: &ServerClock) -> Self {
        self.environment.extend(clock.environment());
        self
    }

    /// It is a node of a cluster, which takes another for lost after so many milliseconds.
    pub fn cluster(mut self, node_timeout: u32) -> Self {
        self.cluster = true;
        self.set("cluster-enabled", "yes").set("cluster-node-timeout", &node_timeout.to_string())
    }

    /// A Sentinel that begins with this configuration, and rewrites it.
    pub(crate) fn sentinel(configuration: String) -> Self {
        Self { sentinel: Some(configuration), ..Self::bare() }
    }

    /// Any other setting, by its name in `redis.conf`. The last one of a name counts.
    pub fn set(self, name: &str, value: &str) -> Self {
        self.with([format!("--{name}").into(), value.into()])
    }

    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Whether this was set, by its name in `redis.conf`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.arguments.contains(&format!("--{name}").into())
    }

    pub(crate) fn default_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub(crate) const fn has_unix_socket(&self) -> bool {
        self.unix_socket
    }

    pub(crate) fn executable(&self) -> OsString {
        self.program.path()
    }

    pub(crate) const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    pub(crate) fn environment(&self) -> &[(OsString, OsString)] {
        &self.environment
    }

    pub(crate) fn sentinel_configuration(&self) -> Option<&str> {
        self.sentinel.as_deref()
    }

    pub(crate) const fn is_clustered(&self) -> bool {
        self.cluster
    }

    const fn bare() -> Self {
        Self {
            arguments: Vec::new(),
            password: None,
            unix_socket: false,
            program: Program::System,
            certificates: None,
            environment: Vec::new(),
            sentinel: None,
            cluster: false,
        }
    }

    fn with(mut self, arguments: impl IntoIterator<Item = OsString>) -> Self {
        self.arguments.extend(arguments);
        self
    }
}
