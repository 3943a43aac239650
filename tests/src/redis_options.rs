//! What is special about a [`RedisServer`](crate::RedisServer).

use std::ffi::OsString;

/// Settings of a server. By default it persists nothing, evicts nothing and asks for no password.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    arguments: Vec<OsString>,
    password: Option<String>,
    unix_socket: bool,
}

impl Default for RedisOptions {
    fn default() -> Self {
        let new = Self { arguments: Vec::new(), password: None, unix_socket: false };
        new.set("save", "").set("appendonly", "no").set("maxmemory-policy", "noeviction")
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

    /// Any other setting, by its name in `redis.conf`. The last one of a name counts.
    pub fn set(self, name: &str, value: &str) -> Self {
        self.with([format!("--{name}").into(), value.into()])
    }

    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    pub(crate) fn default_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub(crate) const fn has_unix_socket(&self) -> bool {
        self.unix_socket
    }

    fn with(mut self, arguments: impl IntoIterator<Item = OsString>) -> Self {
        self.arguments.extend(arguments);
        self
    }
}
