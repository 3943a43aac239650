//! The first words with a server: whether it is one that keeps the promises that the store builds on.

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value, cmd};

use super::failure::refuses_writes;
use super::script::ask;
use crate::{Owner, StoreTime};

/// Why a store could not be connected. Nothing was written but a key of this check's own, which expires in a second.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConnectError {
    /// The server cannot even be tried.
    #[error(transparent)]
    Url(#[from] super::RedisConfigError),
    /// Nobody answers at the address, or not as a Redis server does.
    #[error("cannot reach the Redis server; is the address right, and is the server running?")]
    Unreachable(#[source] RedisError),
    /// The server does not take the user or password.
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
}

/// What the server says it is.
struct Identity {
    name: String,
    version: (u32, u32),
    is_supported: bool,
}

/// Checks the server at the other end and reads its clock.
pub(super) async fn greet(
    connection: &mut MultiplexedConnection,
    prefix: &str,
) -> Result<StoreTime, RedisConnectError> {
    let found = identify(connection).await?;
    let name = || found.as_ref().map_or_else(|| "an unknown server".to_owned(), Identity::to_string);
    if let Some(identity) = found.as_ref().filter(|identity| !identity.is_supported) {
        return Err(RedisConnectError::TooOld { found: identity.to_string() });
    }
    if let Some(fault) = claim_twice(connection, prefix).await.map_err(refused)? {
        return Err(RedisConnectError::Foreign { found: name(), fault });
    }
    time(connection)
        .await
        .map_err(refused)?
        .ok_or_else(|| RedisConnectError::Foreign { found: name(), fault: "its TIME is not a time" })
}

/// `None` where the user may not ask.
async fn identify(connection: &mut MultiplexedConnection) -> Result<Option<Identity>, RedisConnectError> {
    match cmd("INFO").arg("server").query_async::<String>(connection).await {
        Ok(info) => Ok(Some(Identity::read(&info))),
        Err(error) if error.code() == Some("NOPERM") => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

impl Identity {
    fn read(info: &str) -> Self {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let valkey = field("valkey_version");
        let version = number(valkey.or_else(|| field("redis_version")).unwrap_or_default());
        let is_supported = if valkey.is_some() { version >= (7, 2) } else { version >= (7, 0) };
        let name = if valkey.is_some() { "Valkey" } else { "Redis" };
        Self { name: name.to_owned(), version, is_supported }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}.{}", self.name, self.version.0, self.version.1)
    }
}

fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Claims a key of its own twice, as every claim is made: the first must find nothing, the second the first's value.
///
/// A server that refuses to write for now - out of memory, too few replicas - passes: it can still replay.
async fn claim_twice(connection: &mut MultiplexedConnection, prefix: &str) -> RedisResult<Option<&'static str>> {
    let Ok(nonce) = Owner::random() else {
        return Ok(Some("it cannot be tried without random bytes"));
    };
    let key = nonce.as_bytes().iter().fold(format!("{prefix}:probe:"), |key, byte| format!("{key}{byte:02x}"));
    let mut claim = cmd("SET");
    claim.arg(&key).arg("first").arg("NX").arg("GET").arg("PX").arg(1000);
    match ask(connection, &claim).await {
        Ok(Value::Nil) => {}
        Ok(_) => return Ok(Some("SET with NX and GET on an absent key does not answer nil")),
        Err(error) if refuses_writes(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    match ask(connection, &claim).await? {
        Value::BulkString(value) if value == b"first" => Ok(None),
        _ => Ok(Some("SET with NX and GET does not answer the value that stands")),
    }
}

/// The server's time; `None` if it does not answer with one.
pub(super) async fn time(connection: &mut MultiplexedConnection) -> RedisResult<Option<StoreTime>> {
    let reply = ask(connection, &cmd("TIME")).await?;
    Ok(redis::from_redis_value::<(u64, u64)>(reply).ok().and_then(|(seconds, micros)| micros_of(seconds, micros)))
}

/// The time of `TIME`'s two numbers.
pub(super) fn micros_of(seconds: u64, micros: u64) -> Option<StoreTime> {
    Some(StoreTime::from_micros(seconds.checked_mul(1_000_000)?.checked_add(micros)?))
}

/// Why a server did not want to be talked to.
pub(super) fn refused(error: RedisError) -> RedisConnectError {
    match error.code() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => RedisConnectError::Credentials(error),
        _ if error.kind() == redis::ErrorKind::AuthenticationFailed => RedisConnectError::Credentials(error),
        _ if error.to_string().contains("database") => RedisConnectError::Database(error),
        _ if error.is_timeout() => RedisConnectError::Silent,
        _ => RedisConnectError::Unreachable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_what_they_say() {
        let cases = [
            ("redis_version:7.0.15\r\n", "Redis 7.0", true),
            ("redis_version:6.2.7\r\n", "Redis 6.2", false),
            ("redis_version:8.0.2\r\n", "Redis 8.0", true),
            ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n", "Valkey 8.1", true),
            ("redis_version:7.2.4\r\nvalkey_version:7.1.9\r\n", "Valkey 7.1", false),
            ("nonsense", "Redis 0.0", false),
        ];
        for (info, name, is_supported) in cases {
            let identity = Identity::read(info);
            assert_eq!((identity.to_string().as_str(), identity.is_supported), (name, is_supported));
        }
    }
}
