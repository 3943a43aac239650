//! What is known of one node. Any of it may be unknown: the user may not ask, or the server does not say.

use std::fmt;
use std::time::Duration;

use super::settings::{Setting, Settings};
use super::version::Version;

/// What one node says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// `INFO` and `CONFIG GET`.
    pub(crate) settings: Settings,
    pub(crate) version: Option<Version>,
    pub(crate) run_id: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) replication_id: Option<String>,
    /// What the replication id was before this node was made master. None if it never was.
    pub(crate) former_replication_id: Option<String>,
    pub(crate) online_replicas: Option<u64>,
    /// Replicas that do not lag too much for `min-replicas-max-lag`, where that is set.
    pub(crate) good_replicas: Option<u64>,
    pub(crate) evicted_keys: Option<u64>,
    pub(crate) system_memory: Option<u64>,
    pub(crate) aof_write_failed: Option<bool>,
    pub(crate) aof_rewrite_failed: Option<bool>,
    pub(crate) snapshot_failed: Option<bool>,
    pub(crate) is_cluster: Option<bool>,
    pub(crate) clock: Option<Skew>,
    pub(crate) cluster: Option<ClusterFacts>,
    pub(crate) scripts: Probe,
    pub(crate) rights: Option<Rights>,
    pub(crate) transport: Option<Transport>,
    /// What was asked, and what came of it.
    pub(crate) looks: Vec<Look>,
}

/// A node and what it says.
#[derive(Clone, Debug)]
pub(crate) struct NodeFacts {
    /// What it is called in findings: `host:port`.
    pub(crate) node: String,
    pub(crate) duty: Duty,
    pub(crate) facts: Facts,
}

/// What a node is used for here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Duty {
    /// It is written to.
    Master,
    /// It may be promoted, and then has to be fit for it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for topologies with replicas that are looked at themselves"))]
    Replica,
}

/// What a node says that it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Master,
    Replica,
    /// `KeyDB`: one of several that take writes at once.
    ActiveReplica,
    Other(String),
}

/// By how much the server's clock is ahead of this host's, and how well that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Skew {
    /// Microseconds; negative where the server is behind.
    pub(crate) ahead: i64,
    /// Half the round trip: the server read its clock somewhere within it.
    pub(crate) give_or_take: Duration,
}

impl Skew {
    /// From the server's time and this host's before and after it was asked, all in microseconds since 1970.
    pub(crate) fn measured(server: u64, asked: u64, answered: u64) -> Self {
        let half = answered.saturating_sub(asked) / 2;
        let ahead = i128::from(server) - i128::from(asked.saturating_add(half));
        let bound = |ahead: i128| i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX });
        Self { ahead: bound(ahead), give_or_take: Duration::from_micros(half) }
    }

    /// By how much the clocks differ at least.
    pub(crate) const fn at_least(self) -> Duration {
        Duration::from_micros(self.ahead.unsigned_abs()).saturating_sub(self.give_or_take)
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = Duration::from_millis(self.ahead.unsigned_abs() / 1000);
        write!(f, "{by:?} {}", if self.ahead < 0 { "behind" } else { "ahead" })
    }
}

/// What a node of a Cluster says of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ClusterFacts {
    pub(crate) is_ok: Option<bool>,
    /// How many of the 16,384 slots are served.
    pub(crate) slots: Option<u64>,
    /// Masters that have slots and no replica that is connected.
    pub(crate) lone_masters: Option<Vec<String>>,
}

/// What Sentinels say of a master.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SentinelFacts {
    /// Whether enough Sentinels are there to fail over, or what they say is missing.
    pub(crate) quorum: Option<Result<(), String>>,
    /// The `replica-priority` of each replica.
    pub(crate) priorities: Option<Vec<u64>>,
}

/// How the store reaches its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Topology {
    Single,
    Sentinel(SentinelFacts),
    Cluster,
}

/// What the claims wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Demand {
    /// How many replicas must have a claim before it counts.
    pub(crate) replicas: u64,
    /// One replica, if there is any.
    pub(crate) is_auto: bool,
    /// They, and the master, must have it on disk.
    pub(crate) fsync: bool,
}

/// Whether something works.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Probe {
    /// It was not tried, or nobody answered.
    #[default]
    Unknown,
    Works,
    /// The user may not.
    Forbidden,
    /// The server does not; with its error's code.
    Fails(String),
}

/// Who asks, and what for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rights {
    pub(crate) user: String,
    /// Commands that the store sends and the user may not; `None` where the server does not say.
    pub(crate) missing: Option<Vec<&'static str>>,
    /// May empty the server.
    pub(crate) may_flush: Option<bool>,
    /// May read keys that are not the store's.
    pub(crate) reads_all_keys: Option<bool>,
}

/// How the connection gets there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Transport {
    /// Over a Unix socket or the loopback interface.
    pub(crate) is_local: bool,
    pub(crate) is_encrypted: bool,
    pub(crate) has_password: bool,
}

/// Something that a node was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Look {
    /// What was asked: a command, without anything secret.
    pub at: &'static str,
    /// The code of the server's error where it did not say, such as `NOPERM`.
    pub refused: Option<String>,
}

impl Facts {
    /// Takes in what `INFO` says, whatever sections it has.
    pub(crate) fn read_info(&mut self, info: &str) {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
        let failed = |name: &str| field(name).map(|status| status != "ok");
        self.version = Version::read(info).or(self.version.take());
        self.run_id = field("run_id").map(str::to_owned).or(self.run_id.take());
        self.role = field("role").map(Role::read).or(self.role.take());
        self.replication_id = field("master_replid").map(str::to_owned);
        let is_id = |id: &&str| id.bytes().any(|digit| digit != b'0');
        self.former_replication_id = field("master_replid2").filter(is_id).map(str::to_owned);
        self.online_replicas = number("connected_slaves").map(|connected| {
            let lines = info.lines().filter(|line| line.starts_with("slave") && line.contains(":ip="));
            let states: Vec<_> = lines.collect();
            let online = states.iter().filter(|line| line.contains("state=online")).count();
            if states.is_empty() { connected } else { online as u64 }
        });
        self.good_replicas = number("min_slaves_good_slaves");
        self.evicted_keys = number("evicted_keys");
        self.system_memory = number("total_system_memory");
        self.aof_write_failed = failed("aof_last_write_status");
        self.aof_rewrite_failed = failed("aof_last_bgrewrite_status");
        self.snapshot_failed = failed("rdb_last_bgsave_status");
        self.is_cluster = number("cluster_enabled").map(|enabled| enabled == 1);
        let yes_no = |value: u64| if value == 0 { "no" } else { "yes" };
        let known = [
            (Setting::Appendonly, number("aof_enabled").map(yes_no)),
            (Setting::Maxmemory, field("maxmemory")),
            (Setting::MaxmemoryPolicy, field("maxmemory_policy")),
            (Setting::ReplicaReadOnly, number("slave_read_only").map(yes_no)),
        ];
        for (setting, value) in known {
            if let Some(value) = value {
                self.settings.set(setting, value);
            }
        }
    }
}

impl Role {
    pub(crate) fn read(role: &str) -> Self {
        match role {
            "master" => Self::Master,
            "slave" | "replica" => Self::Replica,
            "active-replica" => Self::ActiveReplica,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl ClusterFacts {
    /// Takes in `CLUSTER INFO`.
    pub(crate) fn read_info(&mut self, info: &str) {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        self.is_ok = field("cluster_state").map(|state| state == "ok");
        self.slots = field("cluster_slots_ok").and_then(|slots| slots.parse().ok());
    }

    /// Takes in `CLUSTER NODES`: a node a line, as id, address, flags, master, ping, pong, epoch, link, slots.
    pub(crate) fn read_nodes(&mut self, nodes: &str) {
        let nodes: Vec<Vec<&str>> = nodes.lines().map(|line| line.split_whitespace().collect()).collect();
        let part = |node: &[&str], at: usize| node.get(at).copied().unwrap_or_default().to_owned();
        let is = |node: &[&str], flag: &str| part(node, 2).split(',').any(|its| its == flag);
        let follows = |node: &[&str], master: &str| {
            part(node, 3) == master && part(node, 7) == "connected" && !is(node, "fail") && !is(node, "fail?")
        };
        let serving = nodes.iter().filter(|node| is(node, "master") && node.len() > 8);
        let lone = serving.filter(|master| !nodes.iter().any(|node| follows(node, &part(master, 0))));
        let address = |node: &Vec<&str>| part(node, 1).split(['@', ',']).next().unwrap_or_default().to_owned();
        self.lone_masters = Some(lone.map(address).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a Redis 7.0 of Debian's says, as far as it matters here.
    const DEBIAN: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:8f1c\r\n\r\n# Memory\r\n\
        total_system_memory:8000000000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\r\n# Persistence\r\n\
        rdb_last_bgsave_status:ok\r\naof_enabled:0\r\naof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\n\r\n\
        # Stats\r\nevicted_keys:0\r\n\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=0\r\n\
        slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\nmaster_replid:77aa\r\n\
        master_replid2:0000000000000000000000000000000000000000\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n";

    #[test]
    fn info_is_read() {
        let mut facts = Facts::default();
        facts.read_info(DEBIAN);
        assert_eq!(facts.version.as_ref().map(ToString::to_string).as_deref(), Some("Redis 7.0.15"));
        assert_eq!((facts.run_id.as_deref(), facts.role), (Some("8f1c"), Some(Role::Master)));
        assert_eq!((facts.evicted_keys, facts.aof_write_failed, facts.is_cluster), (Some(0), Some(false), Some(false)));
        assert_eq!((facts.online_replicas, facts.good_replicas), (Some(1), None), "one of them is not online yet");
        assert_eq!((facts.replication_id.as_deref(), facts.former_replication_id), (Some("77aa"), None));
        let setting = |setting| facts.settings.get(setting);
        assert_eq!((setting(Setting::Appendonly), setting(Setting::MaxmemoryPolicy)), (Some("no"), Some("noeviction")));
        assert_eq!((setting(Setting::Maxmemory), setting(Setting::Appendfsync)), (Some("0"), None));
    }

    #[test]
    fn what_is_not_said_is_unknown() {
        let mut facts = Facts::default();
        facts.read_info("redis_version:7.2.4\r\nrole:active-replica\r\nevicted_keys:many\r\n");
        assert_eq!(facts.role, Some(Role::ActiveReplica));
        assert_eq!((facts.evicted_keys, facts.online_replicas, facts.run_id), (None, None, None));
        assert_eq!(facts.settings, Settings::default());
    }

    #[test]
    fn half_the_round_trip_is_allowed_for() {
        let skew = Skew::measured(10_000_000, 7_000_000, 9_000_000);
        assert_eq!((skew.ahead, skew.give_or_take), (2_000_000, Duration::from_secs(1)));
        assert_eq!(skew.at_least(), Duration::from_secs(1));
        let behind = Skew::measured(1_000_000, 5_000_000, 5_000_000);
        assert_eq!((behind.at_least(), behind.to_string()), (Duration::from_secs(4), "4s behind".to_owned()));
        assert_eq!(Skew::measured(5, 0, 10).at_least(), Duration::ZERO);
        assert_eq!(Skew::measured(u64::MAX, 0, 0).ahead, i64::MAX);
    }

    #[test]
    fn a_master_of_a_cluster_without_a_replica_is_found() {
        let nodes = "a1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-8191\n\
                     b2 10.0.0.2:6379@16379,host master - 0 0 2 connected 8192-16383\n\
                     c3 10.0.0.3:6379@16379 slave a1 0 0 1 connected\n\
                     d4 10.0.0.4:6379@16379 slave,fail b2 0 0 2 disconnected\n\
                     e5 10.0.0.5:6379@16379 master - 0 0 3 connected\n";
        let mut cluster = ClusterFacts::default();
        cluster.read_nodes(nodes);
        cluster.read_info("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n");
        let lone = Some(vec!["10.0.0.2:6379".to_owned()]);
        assert_eq!(cluster, ClusterFacts { is_ok: Some(true), slots: Some(16_384), lone_masters: lone });
    }
}
