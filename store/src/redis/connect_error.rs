//! Why a store could not be connected.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a store could not be connected. Nothing was written but keys of this check's own, which expire in a second.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConnectError {
    /// The server cannot even be tried.
    #[error(transparent)]
    Url(#[from] super::RedisConfigError),
    /// Nobody answers at the address, or not as a Redis server does.
    #[error("cannot reach the Redis server; is the address right, and is the server running?")]
    Unreachable(#[source] RedisError),
    /// The server's certificate is not one that can be trusted: expired, of another name, or of an unknown authority.
    #[error("the Redis server's certificate is refused; check its dates, its name and the root certificate")]
    Certificate(#[source] RedisError),
    /// The server does not take the user or password, or does not allow the user what the store needs.
    #[error("the Redis server refuses the credentials; check user and password in the URL, and the user's ACL")]
    Credentials(#[source] RedisError),
    /// The server does not have the database.
    #[error("the Redis server refuses the database of the URL")]
    Database(#[source] RedisError),
    /// The server is too old.
    #[error("found {found}; this store needs Redis 7.0 or Valkey 7.2, whose SET takes NX and GET together")]
    TooOld {
        /// What the server says it is.
        found: String,
    },
    /// The server speaks like Redis but does not act like it.
    #[error("found {found}, which does not act like Redis: {fault}")]
    Foreign {
        /// What the server says it is.
        found: String,
        /// What it does otherwise.
        fault: &'static str,
    },
    /// The server did not answer in time.
    #[error("the Redis server accepts connections but does not answer; is it paused, overloaded, or another service?")]
    Silent,
    /// The server follows another one, so that it takes no writes.
    #[error(
        "the Redis server is a replica; give the master's address, or redis+sentinel:// so that the master is found"
    )]
    Replica,
    /// The server is a node of a Cluster, and was to be used alone.
    #[error("the Redis server is a node of a Cluster; use redis+cluster:// with the addresses of some of its nodes")]
    ClusterNode(#[source] RedisError),
    /// The servers were to be a Cluster.
    #[error("the Redis server is not a node of a Cluster; use redis:// for a server that stands alone")]
    NotACluster(#[source] RedisError),
    /// Some keys have no node to live on.
    #[error("{slots} of the Cluster's 16384 slots are served by nobody; see CLUSTER INFO, and mend the Cluster")]
    Uncovered {
        /// How many slots.
        slots: usize,
    },
    /// None of the Sentinels can be asked.
    #[error("none of the Sentinels answers; are their addresses right, and do they ask for credentials of their own?")]
    Sentinels(#[source] RedisError),
    /// The Sentinels do not know a master of this name.
    #[error("no Sentinel knows a master named {name:?}; the name is the one in `sentinel monitor NAME ..`")]
    Master {
        /// What was asked for.
        name: String,
    },
    /// [`Durability::Fsynced`](super::Durability::Fsynced) was chosen, and the server cannot tell of its disk.
    #[error(
        "the Redis server refuses WAITAOF, which Durability::Fsynced needs: Redis 7.2 or Valkey 7.2, and appendonly yes"
    )]
    NoFsync(#[source] RedisError),
    /// [`Durability::Auto`](super::Durability::Auto) was chosen, and the user may not see whether there are replicas.
    #[error(
        "the user may not see the replicas, which Durability::Auto needs: allow INFO or ROLE, or choose a durability"
    )]
    Replicas,
    /// [`Scripting::Functions`](super::Scripting::Functions) was chosen, and the server does not have them.
    #[error("the Redis server lacks this store's functions; load RedisStore::function_library with FUNCTION LOAD")]
    Functions(#[source] RedisError),
}

/// Why a server did not want to be talked to.
pub(super) fn refused(error: RedisError) -> RedisConnectError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => return RedisConnectError::Credentials(error),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => return RedisConnectError::Replica,
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::ClusterDown) => {
            return RedisConnectError::ClusterNode(error);
        }
        _ => {}
    }
    let text = error.to_string();
    match error.code() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => RedisConnectError::Credentials(error),
        _ if text.contains("Function not found") => RedisConnectError::Functions(error),
        _ if text.contains("cluster support disabled") => RedisConnectError::NotACluster(error),
        _ if text.contains("certificate") => RedisConnectError::Certificate(error),
        _ if text.contains("database") => RedisConnectError::Database(error),
        _ if error.is_timeout() => RedisConnectError::Silent,
        _ => RedisConnectError::Unreachable(error),
    }
}
