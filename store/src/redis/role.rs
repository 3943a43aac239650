//! Whether a server is a master, and how many replicas it has.

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value, cmd};

use super::line::ask;

/// What is known of a server's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Master {
        replicas: usize,
    },
    Replica,
    /// The user may not ask.
    Unknown,
}

impl Role {
    /// Asks by `INFO`, or by `ROLE` where that is not allowed.
    pub(super) async fn of(connection: &mut MultiplexedConnection) -> RedisResult<Self> {
        match ask(connection, cmd("INFO").arg("replication")).await {
            Ok(info) => {
                return Ok(redis::from_redis_value::<String>(info).map_or(Self::Unknown, |info| Self::read(&info)));
            }
            Err(error) if error.code() == Some("NOPERM") => {}
            Err(error) => return Err(error),
        }
        match ask(connection, &cmd("ROLE")).await {
            Ok(role) => Ok(Self::of_role(&role)),
            Err(error) if error.code() == Some("NOPERM") => Ok(Self::Unknown),
            Err(error) => Err(error),
        }
    }

    fn read(info: &str) -> Self {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        match field("role") {
            Some("slave") => Self::Replica,
            // Also one that is still being copied to: a master that has one is not alone, and what it is told meanwhile may be
            // forgotten by it.
            Some(_) => {
                Self::Master { replicas: field("connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0) }
            }
            None => Self::Unknown,
        }
    }

    /// Of [`ROLE`](https://redis.io/docs/latest/commands/role/): its name, and of a master its offset and its replicas.
    fn of_role(role: &Value) -> Self {
        let Value::Array(parts) = role else { return Self::Unknown };
        match &parts[..] {
            [Value::BulkString(name), _, Value::Array(replicas), ..] if name == b"master" => {
                Self::Master { replicas: replicas.len() }
            }
            [Value::BulkString(name), ..] if name == b"slave" => Self::Replica,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_either_reply() {
        let info =
            "# Replication\r\nrole:master\r\nconnected_slaves:1\r\nslave0:ip=::1,port=2,state=wait_bgsave,offset=0\r\n";
        assert_eq!(Role::read(info), Role::Master { replicas: 1 });
        assert_eq!(Role::read("role:slave\r\n"), Role::Replica);
        assert_eq!(Role::read("nonsense"), Role::Unknown);
        let name = |name: &str| Value::BulkString(name.as_bytes().to_vec());
        let master = Value::Array(vec![name("master"), Value::Int(7), Value::Array(vec![Value::Nil])]);
        assert_eq!(Role::of_role(&master), Role::Master { replicas: 1 });
        assert_eq!(Role::of_role(&Value::Array(vec![name("slave"), name("host")])), Role::Replica);
        assert_eq!(Role::of_role(&Value::Nil), Role::Unknown);
    }
}
