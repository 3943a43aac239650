//! What a claim waits for before it counts.

use redis::{Cmd, Value, cmd};
use std::time::Duration;

/// What must have happened to a claim before it is granted: [`RedisConfig::durability`](super::RedisConfig::durability).
///
/// Replication in Redis is asynchronous. A master that dies takes the claims with it that no replica has, and the server that
/// follows it grants them again. [`WAIT`](https://redis.io/docs/latest/commands/wait/) closes that gap for claims as long as one
/// replica that acknowledged survives and is the one that is promoted; it does not make Redis a consensus system.
///
/// Renewals and completions do not wait. A completion that is lost in a fail-over makes its key indeterminate; a claim that is
/// lost makes its request run twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The master has it. For a server without replicas whose log is trusted, for services whose writes are durable before they
    /// answer, and for tests.
    Local,
    /// Where there are replicas, one of them has it: enough for a master with one replica. Of two or more, another one than that
    /// may be promoted, and forgets the claim; there, choose `Replicated` with the number of all. Where there are none, as `Local`. A replica that was seen once is expected
    /// from then on, so that an outage of all replicas refuses claims instead of silently granting what would be lost.
    ///
    /// Replicas are looked for when a connection is made and every five seconds after. A server that gets its first one counts
    /// as alone until then; from then on claims are refused until it has been copied to. A master that less than half of the
    /// Sentinels name may have been cut off with them, so there a replica is expected, too.
    #[default]
    Auto,
    /// So many replicas have it, in every case. With the number of all replicas, the one that is promoted is among them.
    Replicated {
        /// How many replicas.
        replicas: u32,
    },
    /// It is on the disk of the master and of so many replicas
    /// ([`WAITAOF`](https://redis.io/docs/latest/commands/waitaof/), Redis 7.2 or Valkey 7.2).
    Fsynced {
        /// How many replicas besides the master; may be 0.
        replicas: u32,
    },
}

/// What becomes of a claim that its [`Durability`] was not reached for:
/// [`RedisConfig::on_unreplicated`](super::RedisConfig::on_unreplicated).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnUnreplicated {
    /// It is given back and the request is answered with 503. The handler has not run.
    #[default]
    Refuse,
    /// It counts all the same, and is counted: [`RedisCounts::proceeded`](super::RedisCounts::proceeded). A fail-over before
    /// the replicas catch up may run the request again.
    Proceed,
}

/// The waiting of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    Replicas(u32),
    Disks(u32),
}

impl Durability {
    /// What claims wait for, with or without replicas that are expected.
    pub(super) const fn wait(self, expects_replicas: bool) -> Option<Wait> {
        match self {
            Self::Auto if expects_replicas => Some(Wait::Replicas(1)),
            Self::Local | Self::Auto | Self::Replicated { replicas: 0 } => None,
            Self::Replicated { replicas } => Some(Wait::Replicas(replicas)),
            Self::Fsynced { replicas } => Some(Wait::Disks(replicas)),
        }
    }
}

impl Wait {
    pub(super) fn command(self, timeout: Duration) -> Cmd {
        // Zero would wait for ever.
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut command = cmd(match self {
            Self::Replicas(_) => "WAIT",
            Self::Disks(_) => "WAITAOF",
        });
        match self {
            Self::Replicas(replicas) => command.arg(replicas),
            Self::Disks(replicas) => command.arg(1).arg(replicas),
        };
        command.arg(millis);
        command
    }

    /// Whether the reply says that enough have acknowledged.
    pub(super) fn is_reached(self, reply: &Value) -> bool {
        match (self, reply) {
            (Self::Replicas(wanted), Value::Int(acknowledged)) => *acknowledged >= i64::from(wanted),
            (Self::Disks(wanted), Value::Array(acknowledged)) => {
                matches!(acknowledged[..], [Value::Int(local), Value::Int(replicas)]
                    if local >= 1 && replicas >= i64::from(wanted))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_waits_once_a_replica_is_expected() {
        assert_eq!(Durability::Auto.wait(false), None);
        assert_eq!(Durability::Auto.wait(true), Some(Wait::Replicas(1)));
        assert_eq!(Durability::Local.wait(true), None);
        assert_eq!(Durability::Replicated { replicas: 2 }.wait(false), Some(Wait::Replicas(2)));
        assert_eq!(Durability::Fsynced { replicas: 0 }.wait(false), Some(Wait::Disks(0)));
    }

    #[test]
    fn only_enough_acknowledgements_count() {
        let two = Wait::Replicas(2);
        assert!(two.is_reached(&Value::Int(2)));
        assert!(!two.is_reached(&Value::Int(1)));
        assert!(!two.is_reached(&Value::Nil));
        let disks = |local, replicas| Value::Array(vec![Value::Int(local), Value::Int(replicas)]);
        assert!(Wait::Disks(1).is_reached(&disks(1, 1)));
        assert!(!Wait::Disks(1).is_reached(&disks(0, 1)));
        assert!(!Wait::Disks(1).is_reached(&disks(1, 0)));
        assert!(!Wait::Disks(0).is_reached(&Value::Int(1)));
    }
}
