//! A Redis Cluster: masters with a replica each, which fail over by themselves, and slots that move under traffic.

mod slots;

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{RedisResult, cmd};

pub use slots::Moving;

use crate::redis_pair::{field, info, replicating, until_synced};
use crate::{RedisOptions, RedisServer, eventually};

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// Real nodes, one half masters at first and the other half their replicas. Killed when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    ids: Vec<String>,
    scheme: &'static str,
}

impl RedisCluster {
    /// Starts three masters and a replica of each, which take a node for lost after a second.
    pub async fn start(options: RedisOptions) -> Self {
        Self::start_with(options, 3, true, Duration::from_secs(1)).await
    }

    /// Starts so many masters, with a replica each or none; returns when every node says that the cluster is well.
    ///
    /// Node `n` is a master at first, and node `masters + n` its replica. Slots are spread evenly, in their order.
    pub async fn start_with(options: RedisOptions, masters: usize, replicas: bool, node_timeout: Duration) -> Self {
        let timeout = u32::try_from(node_timeout.as_millis()).expect("a short time");
        // A replica whose link has just come back may be promoted too; and none changes its master by itself.
        let options = replicating(options.cluster(timeout))
            .set("cluster-replica-validity-factor", "0")
            .set("cluster-allow-replica-migration", "no");
        let scheme = if options.certificates().is_some() { "rediss+cluster" } else { "redis+cluster" };
        let number = if replicas { masters * 2 } else { masters };
        let nodes = join_all((0..number).map(|_| RedisServer::start(options.clone()))).await;
        let ids =
            join_all(nodes.iter().map(|node| async { node.ask::<String>(cmd("CLUSTER").arg("MYID")).await })).await;
        let cluster = Self { nodes, ids, scheme };
        cluster.join(masters).await;
        cluster.until_well().await;
        cluster
    }

    /// What a store is connected to: `redis+cluster://127.0.0.1:PORT,..`.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        format!("{}://{}", self.scheme, addresses.join(","))
    }

    /// The node of this number.
    pub fn node(&self, number: usize) -> &RedisServer {
        &self.nodes[number]
    }

    /// All nodes, dead ones included.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The numbers of the nodes that run and are masters.
    pub async fn masters(&self) -> Vec<usize> {
        let mut masters = Vec::new();
        for (number, node) in self.running() {
            if field(&info(node).await, "role") == Some("master") {
                masters.push(number);
            }
        }
        masters
    }

    /// The number of the replica that follows this master.
    pub async fn replica_of(&self, master: usize) -> usize {
        let port = self.node(master).address().port().to_string();
        for (number, node) in self.running() {
            let info = info(node).await;
            if field(&info, "role") == Some("slave") && field(&info, "master_port") == Some(&port) {
                return number;
            }
        }
        panic!("node {master} has no replica")
    }

    /// Kills a master with SIGKILL, and waits until its replica has taken its place; returns the number of that one.
    pub async fn kill_master(&self, master: usize) -> usize {
        let heir = self.replica_of(master).await;
        self.node(master).kill9();
        self.until_master(heir).await;
        self.until_well().await;
        heir
    }

    /// Tells a master's replica to take over; the master, if it answers, becomes its replica. Returns the new master.
    ///
    /// With `force`, the master is not asked, and what it has not replicated is forgotten.
    pub async fn fail_over(&self, master: usize, force: bool) -> usize {
        let heir = self.replica_of(master).await;
        let told = || async {
            let mut failover = cmd("CLUSTER");
            failover.arg("FAILOVER");
            if force {
                failover.arg("FORCE");
            }
            let mut connection = self.node(heir).connection().await;
            // An election may be lost or refused, and is held again then.
            let _: RedisResult<()> = failover.query_async(&mut connection).await;
            (field(&info(self.node(heir)).await, "role") == Some("master")).then_some(())
        };
        eventually("the replica takes over", told).await;
        heir
    }

    /// Starts a node that was killed again, and waits until it follows who has its slots.
    pub async fn rejoin(&self, number: usize) {
        self.node(number).restart().await;
        self.until_follows(number).await;
    }

    /// Waits until a node follows a master of the cluster and has all that it has.
    pub async fn until_follows(&self, number: usize) {
        let node = self.node(number);
        let followed = || async {
            let port: u16 = field(&info(node).await, "master_port")?.parse().ok()?;
            self.nodes.iter().find(|other| other.address().port() == port)
        };
        let master = eventually(&format!("node {number} follows another"), followed).await;
        until_synced(master, node).await;
        self.until_well().await;
    }

    /// Waits until every node that runs says that the cluster is well, and knows the same masters of the slots.
    pub async fn until_well(&self) {
        let well = || async {
            let mut views = Vec::new();
            for (_, node) in self.running() {
                let info: String = node.ask(cmd("CLUSTER").arg("INFO")).await;
                views.push((field(&info, "cluster_state") == Some("ok")).then_some(slots::view(node).await)?);
            }
            views.iter().all(|view| *view == views[0]).then_some(())
        };
        eventually("every node says that the cluster is well", well).await;
    }

    /// Waits until the cluster is well and every master has a replica that follows it.
    pub async fn until_whole(&self) {
        let whole = || async {
            let mut following = 0;
            for (_, node) in self.running() {
                let info = info(node).await;
                let follows = field(&info, "role") == Some("slave") && field(&info, "master_link_status") == Some("up");
                following += usize::from(follows);
            }
            (following * 2 == self.nodes.len()).then_some(())
        };
        eventually("every master has its replica", whole).await;
        self.until_well().await;
    }

    async fn until_master(&self, number: usize) {
        let master = || async { (field(&info(self.node(number)).await, "role") == Some("master")).then_some(()) };
        eventually(&format!("node {number} is a master"), master).await;
    }

    fn running(&self) -> impl Iterator<Item = (usize, &RedisServer)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_running())
    }

    async fn join(&self, masters: usize) {
        for (number, node) in self.nodes[..masters].iter().enumerate() {
            let share = share(number, masters);
            let mut add = cmd("CLUSTER");
            node.ask::<()>(add.arg("ADDSLOTSRANGE").arg(*share.start()).arg(*share.end())).await;
            // Otherwise two could have the same, and their order would be settled by a quarrel.
            node.ask::<()>(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(number + 1)).await;
        }
        for node in &self.nodes[1..] {
            let (host, port) = (node.address().ip().to_string(), node.address().port());
            let mut meet = cmd("CLUSTER");
            self.nodes[0].ask::<()>(meet.arg("MEET").arg(host).arg(port).arg(node.bus())).await;
        }
        for node in &self.nodes {
            let knows = || async {
                let known: String = node.ask(cmd("CLUSTER").arg("NODES")).await;
                let met = known.lines().filter(|line| !line.contains("handshake")).count();
                (met == self.nodes.len()).then_some(())
            };
            eventually("every node knows all others", knows).await;
        }
        for (number, replica) in self.nodes[masters..].iter().enumerate() {
            replica.ask::<()>(cmd("CLUSTER").arg("REPLICATE").arg(&self.ids[number])).await;
            until_synced(&self.nodes[number], replica).await;
        }
    }
}

/// The slots of one of so many masters.
fn share(number: usize, masters: usize) -> RangeInclusive<u16> {
    let bound = |number: usize| u16::try_from(usize::from(SLOTS) * number / masters).expect("at most 16384");
    bound(number)..=bound(number + 1) - 1
}
