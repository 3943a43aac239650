//! A cluster of one node whose clients, whatever they find out about the cluster, come through a line that a test breaks.

use redis::cmd;

use crate::{RedisOptions, RedisProxy, RedisServer, eventually};

/// A node that has all slots, and the line to it. With [`CutAfter`](crate::LineFault::CutAfter) it carries a command out and
/// drops the socket, however the client finds its way to it.
#[derive(Debug)]
pub struct LoneNode {
    /// The node.
    pub server: RedisServer,
    /// The line to it.
    pub line: RedisProxy,
}

impl LoneNode {
    /// Starts one that is well.
    pub async fn start() -> Self {
        let server = RedisServer::start(RedisOptions::default().cluster(5000)).await;
        let line = RedisProxy::to(server.address()).await;
        server.config_set("cluster-announce-port", &line.address().port().to_string()).await;
        server.config_set("cluster-announce-ip", "127.0.0.1").await;
        server.ask::<()>(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383)).await;
        let well = || async {
            let info: String = server.ask(cmd("CLUSTER").arg("INFO")).await;
            info.contains("cluster_state:ok").then_some(())
        };
        eventually("the node is well", well).await;
        Self { server, line }
    }

    /// What a store is connected to.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.line.address())
    }
}
