//! A master and its replicas, and no Sentinel: the test says who is promoted, and when.

use std::sync::atomic::{AtomicUsize, Ordering};

use redis::cmd;

use crate::{RedisOptions, RedisServer, eventually};

/// Real servers that replicate from one of them. Killed when this is dropped.
///
/// A promotion leaves the old master as it is, so that there are two masters until it [rejoins](Self::rejoin): what a client
/// is told by the old one in between is forgotten.
#[derive(Debug)]
pub struct RedisPair {
    members: Vec<RedisServer>,
    master: AtomicUsize,
}

impl RedisPair {
    /// Starts a master and so many replicas with these settings, and returns when the replicas have all that it has.
    pub async fn start(options: RedisOptions, replicas: usize) -> Self {
        let options = replicating(options);
        let servers = (0..=replicas).map(|_| RedisServer::start(options.clone()));
        let members = futures_util::future::join_all(servers).await;
        let pair = Self { members, master: AtomicUsize::new(0) };
        for replica in 1..=replicas {
            follow(pair.member(replica), pair.master()).await;
        }
        pair.until_in_sync().await;
        pair
    }

    /// The server of this number; the first master is 0.
    pub fn member(&self, number: usize) -> &RedisServer {
        &self.members[number]
    }

    /// How many servers there are, dead ones included.
    #[allow(clippy::len_without_is_empty, reason = "a pair is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The number of the server that was promoted last.
    pub fn master_number(&self) -> usize {
        self.master.load(Ordering::SeqCst)
    }

    /// The server that was promoted last.
    pub fn master(&self) -> &RedisServer {
        self.member(self.master_number())
    }

    /// The others.
    pub fn replicas(&self) -> impl Iterator<Item = &RedisServer> {
        let master = self.master_number();
        self.members.iter().enumerate().filter(move |(number, _)| *number != master).map(|(_, server)| server)
    }

    /// Waits until every replica that runs follows the master and has all that it has.
    pub async fn until_in_sync(&self) {
        for replica in self.replicas().filter(|replica| replica.is_running()) {
            until_synced(self.master(), replica).await;
        }
    }

    /// Makes a replica a master, with what it has. The old one is not told, and goes on if it can.
    pub async fn promote(&self, number: usize) {
        let promoted = self.member(number);
        promoted.ask::<()>(cmd("REPLICAOF").arg("NO").arg("ONE")).await;
        self.master.store(number, Ordering::SeqCst);
    }

    /// Has a server follow the master, and forget what only it knows; returns when it has all that the master has.
    pub async fn rejoin(&self, number: usize) {
        let (server, master) = (self.member(number), self.master());
        if !server.is_running() {
            server.restart().await;
        }
        follow(server, master).await;
        until_synced(master, server).await;
    }
}

/// What makes replicas follow quickly, and whatever password there is, to each other.
pub(crate) fn replicating(options: RedisOptions) -> RedisOptions {
    let options = match options.default_password().map(str::to_owned) {
        Some(password) if !options.has("masterauth") => options.set("masterauth", &password),
        _ => options,
    };
    options.set("repl-diskless-sync", "yes").set("repl-diskless-sync-delay", "0").set("repl-ping-replica-period", "1")
}

pub(crate) async fn follow(replica: &RedisServer, master: &RedisServer) {
    let (host, port) = (master.address().ip().to_string(), master.address().port());
    replica.ask::<()>(cmd("REPLICAOF").arg(host).arg(port)).await;
}

/// Waits until the replica follows this master, has all that the master had when it was asked, and gets what comes after that.
pub(crate) async fn until_synced(master: &RedisServer, replica: &RedisServer) {
    let port = master.address().port().to_string();
    let synced = || async {
        // In this order: while clients write, the master is always a little ahead.
        let (theirs, ours) = (info(master).await, info(replica).await);
        let follows = field(&ours, "master_port") == Some(&port) && field(&ours, "master_link_status") == Some("up");
        let offset = |info: &str, name: &str| field(info, name)?.parse::<u64>().ok();
        let (written, read) = (offset(&theirs, "master_repl_offset")?, offset(&ours, "slave_repl_offset")?);
        (follows && is_fed(&theirs, replica) && read >= written).then_some(())
    };
    eventually(&format!("{} follows {}", replica.address(), master.address()), synced).await;
}

/// Whether the master sends this replica what is written. After the copy it waits for a first acknowledgement before it does,
/// for up to a second; a replica that is promoted in that time lacks everything since.
fn is_fed(master: &str, replica: &RedisServer) -> bool {
    let port = format!("port={},", replica.address().port());
    let mut lines = master.lines().filter(|line| line.starts_with("slave") && line.contains(&port));
    lines.any(|line| line.contains("state=online") && !line.contains(",offset=0,"))
}

/// `INFO replication`. Asked again where it fails: a server that changes its role drops its clients.
pub(crate) async fn info(server: &RedisServer) -> String {
    let asked = || async {
        let mut connection = Box::pin(server.client().get_multiplexed_async_connection()).await.ok()?;
        cmd("INFO").arg("replication").query_async(&mut connection).await.ok()
    };
    eventually(&format!("{} says how it replicates", server.address()), asked).await
}

pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
