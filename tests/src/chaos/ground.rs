//! The Redis servers of a run, and how a client comes to them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::cmd;
use tokio::sync::RwLock;

use super::{Tally, Topology};
use crate::{RedisCluster, RedisOptions, RedisPair, RedisProxy, RedisServer, SentinelGroup, ServerClock};

/// How long the nodes of a cluster wait for each other: short, so that fail-overs are many.
const NODE_TIMEOUT: Duration = Duration::from_millis(800);

/// The servers, the lines to them where there are any, and who may change them.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) redis: Servers,
    /// To a server of the harness each, where all go to one Redis.
    pub(super) lines: Vec<RedisProxy>,
    pub(super) clock: ServerClock,
    /// What was done to them.
    pub(super) tally: Tally,
    /// Written while a fail-over is under way. A process that starts then may find a master whose replica is not there yet, and
    /// take it for one that has none: the documented limit of `Auto`, which is not what is tested here.
    pub(super) whole: Arc<RwLock<()>>,
}

/// The processes.
#[derive(Debug)]
pub(super) enum Servers {
    Standalone(RedisServer),
    Pair(RedisPair),
    Sentinel(SentinelGroup),
    Cluster(RedisCluster),
}

impl Ground {
    /// Starts what the topology needs, and lines for so many clients.
    pub(super) async fn start(topology: Topology, clients: usize, tally: &Tally) -> Self {
        let clock = ServerClock::new();
        let options = RedisOptions::default().clock(&clock);
        let redis = match topology {
            Topology::Standalone => Servers::Standalone(RedisServer::start(options.append_only("everysec")).await),
            // Whoever comes back takes everything from the other, so nothing has to be on a disk.
            Topology::Pair => Servers::Pair(RedisPair::start(options, 1).await),
            Topology::Sentinel => Servers::Sentinel(SentinelGroup::start(RedisOptions::default()).await),
            Topology::Cluster => {
                Servers::Cluster(RedisCluster::start_with(RedisOptions::default(), 3, true, NODE_TIMEOUT).await)
            }
        };
        let address = match &redis {
            Servers::Standalone(server) => Some(server.address()),
            Servers::Pair(pair) => Some(pair.master().address()),
            Servers::Sentinel(_) | Servers::Cluster(_) => None,
        };
        let lines = join_all(address.iter().flat_map(|address| (0..clients).map(|_| RedisProxy::to(*address)))).await;
        Self { redis, lines, clock, tally: tally.clone(), whole: Arc::default() }
    }

    /// What this client connects to.
    pub(super) fn url(&self, client: usize) -> String {
        match &self.redis {
            Servers::Standalone(_) | Servers::Pair(_) => self.lines[client].url(),
            Servers::Sentinel(group) => group.url(),
            Servers::Cluster(cluster) => cluster.url(),
        }
    }

    /// The servers that take writes at this moment.
    pub(super) async fn masters(&self) -> Vec<&RedisServer> {
        match &self.redis {
            Servers::Standalone(server) => vec![server],
            Servers::Pair(pair) => vec![pair.master()],
            Servers::Sentinel(group) => vec![group.master().await],
            Servers::Cluster(cluster) => cluster.masters().await.into_iter().map(|node| cluster.node(node)).collect(),
        }
    }
}

/// Sends a command that may not be answered: the server may be dead, or drop its clients.
pub(super) async fn tell(server: &RedisServer, arguments: &[&str]) {
    let told = async {
        let mut connection = Box::pin(server.client().get_multiplexed_async_connection()).await?;
        let mut command = cmd(arguments[0]);
        for argument in &arguments[1..] {
            command.arg(*argument);
        }
        command.query_async::<redis::Value>(&mut connection).await
    };
    // Whether it was obeyed shows in what clients see.
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}
