//! The first words with a server: whether it is one that keeps the promises that the store builds on.

use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value, cmd};

use super::completing::{Completing, Way};
use super::connect_error::{RedisConnectError, refused};
use super::durability::{Durability, Wait};
use super::failure::refuses_writes;
use super::line::ask;
use super::role::Role;
use super::script::Scripts;
use super::slots::SlotRanges;
use super::transact::millis;
use super::{Shared, named, value};
use crate::record::Record;
use crate::{Answer, Attempt, Completion, Fence, Fingerprint, Grant, Key, Owner, StoreTime, Terms};

/// What a server said of itself.
pub(super) struct Greeted {
    pub(super) time: StoreTime,
    pub(super) role: Role,
    /// How answers are recorded there.
    pub(super) way: Way,
}

/// What the server says it is.
struct Identity {
    name: String,
    version: (u32, u32),
    is_supported: bool,
}

/// A key of one's own, to see what the server does.
struct Probe<'a> {
    scripts: &'a Scripts,
    name: String,
    grant: Grant,
}

/// Checks the server at the other end and reads its clock. `owns` are the slots that it serves, if it is a node of a Cluster.
pub(super) async fn greet(
    connection: &mut MultiplexedConnection,
    shared: &Shared,
    owns: Option<&SlotRanges>,
) -> Result<Greeted, RedisConnectError> {
    let found = identify(connection).await?;
    let name = || found.as_ref().map_or_else(|| "an unknown server".to_owned(), Identity::to_string);
    if let Some(identity) = found.as_ref().filter(|identity| !identity.is_supported) {
        return Err(RedisConnectError::TooOld { found: identity.to_string() });
    }
    let role = Role::of(connection).await.map_err(refused)?;
    match role {
        Role::Replica => return Err(RedisConnectError::Replica),
        Role::Unknown if shared.config.durability == Durability::Auto => return Err(RedisConnectError::Replicas),
        _ => {}
    }
    let way = match Probe::new(shared, owns) {
        None => Way::Script,
        Some(probe) => match probe.claim_twice(connection).await.map_err(refused)? {
            Claims::Foreign(fault) => return Err(RedisConnectError::Foreign { found: name(), fault }),
            Claims::Refused => Way::Script,
            Claims::Kept => probe.complete(connection).await.map_err(refused)?,
        },
    };
    let time = time(connection, &shared.scripts)
        .await
        .map_err(refused)?
        .ok_or_else(|| RedisConnectError::Foreign { found: name(), fault: "its TIME is not a time" })?;
    Ok(Greeted { time, role, way })
}

/// Checks that the server can tell what claims are to wait for.
pub(super) async fn greet_lane(
    connection: &mut MultiplexedConnection,
    shared: &Shared,
    owns: Option<&SlotRanges>,
    wait: Wait,
) -> Result<(), RedisConnectError> {
    let Some(probe) = Probe::new(shared, owns) else { return Ok(()) };
    match ask(connection, &probe.claim()).await {
        Err(error) if !refuses_writes(&error) => return Err(refused(error)),
        _ => {}
    }
    // Whether it can tell is the question, and not whether enough replicas are there now.
    match ask(connection, &wait.command(Duration::from_millis(1))).await {
        Err(error) if matches!(wait, Wait::Disks(_)) && error.code() != Some("NOPERM") => {
            Err(RedisConnectError::NoFsync(error))
        }
        Err(error) => Err(refused(error)),
        // Too few is for the claims to find out.
        Ok(_) => Ok(()),
    }
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

impl<'a> Probe<'a> {
    /// `None` without random bytes, or where the node serves no slot.
    fn new(shared: &'a Shared, owns: Option<&SlotRanges>) -> Option<Self> {
        // A few names for each slot of a node that serves at least one in a thousand.
        const TRIES: usize = 16_384;
        if owns.is_some_and(SlotRanges::is_empty) {
            return None;
        }
        let name = (0..TRIES).find_map(|_| {
            let nonce = Owner::random().ok()?;
            let name = named(&shared.config.prefix, "probe:", nonce.as_bytes());
            owns.is_none_or(|owns| owns.serve(&name)).then_some(name)
        })?;
        let attempt = Attempt { key: Key::new([0; 32]), owner: Owner::NOBODY, fingerprint: Fingerprint::new([0; 32]) };
        let terms = Terms::new(TRIAL / 2, TRIAL).ok()?;
        Some(Self { scripts: &shared.scripts, name, grant: Grant { attempt, fence: Fence::new(0), number: 1, terms } })
    }

    fn record(&self) -> Vec<u8> {
        value::write(&self.grant.attempt.key, &Record::in_flight(&self.grant, StoreTime::default()))
    }

    fn claim(&self) -> Cmd {
        self.scripts.claim(&self.name, &[&self.record(), millis(TRIAL).as_bytes()]).command().into_owned()
    }

    /// Claims the key twice, as every claim is made: the first must find nothing, the second the first's record.
    ///
    /// A server that refuses to write for now - out of memory, too few replicas - passes: it can still replay.
    async fn claim_twice(&self, connection: &mut MultiplexedConnection) -> RedisResult<Claims> {
        match ask(connection, &self.claim()).await {
            Ok(Value::Nil) => {}
            Ok(_) => return Ok(Claims::Foreign("SET with NX and GET on an absent key does not answer nil")),
            Err(error) if refuses_writes(&error) => return Ok(Claims::Refused),
            Err(error) => return Err(error),
        }
        match ask(connection, &self.claim()).await? {
            Value::BulkString(value) if value == self.record() => Ok(Claims::Kept),
            _ => Ok(Claims::Foreign("SET with NX and GET does not answer the value that stands")),
        }
    }

    /// Records an answer under the claim, as every answer is recorded.
    async fn complete(&self, connection: &mut MultiplexedConnection) -> RedisResult<Way> {
        let completion = Completion::from(Answer::Kept(Bytes::new()));
        let (scripts, name, grant) = (self.scripts, &*self.name, &self.grant);
        let trial = Completing { scripts, name, grant, completion: &completion, at: StoreTime::default() };
        Way::find(connection, &trial).await
    }
}

/// What became of the probe's claims.
enum Claims {
    Kept,
    Refused,
    Foreign(&'static str),
}

/// How long a probe stays: long enough for a server that is busy, and nobody asks for it again.
const TRIAL: Duration = Duration::from_secs(10);

/// The server's time; `None` if it does not answer with one.
pub(super) async fn time(connection: &mut MultiplexedConnection, scripts: &Scripts) -> RedisResult<Option<StoreTime>> {
    let reply = ask(connection, &scripts.time()).await?;
    Ok(redis::from_redis_value::<(u64, u64)>(reply).ok().and_then(|(seconds, micros)| micros_of(seconds, micros)))
}

/// The time of `TIME`'s two numbers.
pub(super) fn micros_of(seconds: u64, micros: u64) -> Option<StoreTime> {
    Some(StoreTime::from_micros(seconds.checked_mul(1_000_000)?.checked_add(micros)?))
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
