//! Which server program a [`RedisServer`](crate::RedisServer) is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A kind of server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Program {
    /// The `redis-server` that the system has.
    #[default]
    System,
    /// Redis 8.0, which `tests/servers.sh` unpacks.
    Redis8,
    /// Valkey 8.1, which `tests/servers.sh` unpacks.
    Valkey8,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::System, Self::Redis8, Self::Valkey8];

    /// What to start. A test that needs a server that is not there fails, and says how to get it.
    pub(crate) fn path(self) -> OsString {
        match self {
            Self::System => "redis-server".into(),
            Self::Redis8 => unpacked("redis-8").into(),
            Self::Valkey8 => unpacked("valkey-8").into(),
        }
    }
}

fn unpacked(name: &str) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers");
    let program = std::env::var_os("IDEMPOTENCY_SERVERS").map_or_else(default, PathBuf::from).join(name);
    assert!(program.exists(), "{name} is missing: `./tests/servers.sh` brings it, and so does `./tests/run`");
    program
}
