//! A master, two replicas and three Sentinels, which fail over by themselves or when they are told.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{RedisResult, cmd};

use crate::redis_pair::{field, info, until_synced};
use crate::{RedisOptions, RedisPair, RedisServer, eventually};

/// Whom the Sentinels and the replicas come as: so that the master can be cut off from them, and not from clients.
const INTERNAL: &str = "internal";
const PASSWORD: &str = "between-servers";

/// What clients come with unless the settings say otherwise.
const CLIENTS: &str = "of-clients";

/// The name of the master.
pub const MASTER: &str = "mymaster";

/// After which a fail-over that was begun is taken for one that failed.
const AGAIN: Duration = Duration::from_secs(4);

const QUORUM: usize = 2;

/// Three servers and three Sentinels that watch them. Killed when this is dropped.
#[derive(Debug)]
pub struct SentinelGroup {
    servers: RedisPair,
    sentinels: Vec<RedisServer>,
    scheme: &'static str,
    client: String,
}

impl SentinelGroup {
    /// Starts one whose Sentinels take a master for lost after half a second.
    pub async fn start(options: RedisOptions) -> Self {
        Self::start_with(options, Duration::from_millis(500)).await
    }

    /// Starts one whose Sentinels take a master for lost after `down_after`. Returns when they all know of each other and
    /// of the replicas.
    pub async fn start_with(options: RedisOptions, down_after: Duration) -> Self {
        // A server that asks for no password takes whoever has none for a client, and nobody could be cut off.
        let client = options.default_password().unwrap_or(CLIENTS).to_owned();
        let internal = options.password(&client).user(INTERNAL, PASSWORD, "~* &* +@all");
        let internal = internal.set("masteruser", INTERNAL).set("masterauth", PASSWORD);
        let certificates = internal.certificates().cloned();
        let scheme = if certificates.is_some() { "rediss+sentinel" } else { "redis+sentinel" };
        let servers = RedisPair::start(internal, 2).await;
        let sentinel = || {
            let sentinel = RedisOptions::sentinel(configuration(servers.master().address(), down_after));
            match &certificates {
                Some(certificates) => sentinel.tls(certificates),
                None => sentinel,
            }
        };
        let sentinels = join_all((0..3).map(|_| RedisServer::start(sentinel()))).await;
        let group = Self { servers, sentinels, scheme, client };
        group.hasten().await;
        group.until_complete().await;
        group
    }

    /// What a store is connected to: `redis+sentinel://default:PASSWORD@127.0.0.1:PORT,..,../mymaster`. The servers ask for
    /// the password; the Sentinels take any.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect();
        format!("{}://default:{}@{}/{MASTER}", self.scheme, self.client, addresses.join(","))
    }

    /// The servers that are watched. Its own idea of the master is the first one; ask [`master`](Self::master).
    pub const fn servers(&self) -> &RedisPair {
        &self.servers
    }

    /// The Sentinels.
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The server that the Sentinels send clients to.
    pub async fn master(&self) -> &RedisServer {
        let address = self.agreed_master().await;
        self.server_at(address)
    }

    /// Tells the Sentinels to fail over, and waits for the new master.
    pub async fn fail_over(&self) -> &RedisServer {
        let old = self.master().await.address();
        let told = tokio::sync::Mutex::new(None::<Instant>);
        let moved = || async {
            if let Some(new) = self.moved_from(old).await {
                return Some(new);
            }
            // One that does not come to an end on a busy machine is given up by the Sentinels, and begun again here.
            let mut told = told.lock().await;
            if told.is_none_or(|told| told.elapsed() > AGAIN) && self.begin_fail_over().await {
                *told = Some(Instant::now());
            }
            None
        };
        eventually("a Sentinel fails over", moved).await
    }

    async fn begin_fail_over(&self) -> bool {
        let mut connection = self.sentinels[0].connection().await;
        let told: RedisResult<()> = cmd("SENTINEL").arg("FAILOVER").arg(MASTER).query_async(&mut connection).await;
        told.is_ok()
    }

    /// Waits until all Sentinels send clients to another server than this one, and it is a master.
    pub async fn until_other_than(&self, old: SocketAddr) -> &RedisServer {
        eventually("the Sentinels send clients to another master", || self.moved_from(old)).await
    }

    async fn moved_from(&self, old: SocketAddr) -> Option<&RedisServer> {
        let master = self.agreed_master().await;
        if master == old {
            return None;
        }
        let server = self.server_at(master);
        (field(&info(server).await, "role") == Some("master")).then_some(server)
    }

    /// Cuts the master off from Sentinels and replicas, but not from clients, and waits until another was promoted: there
    /// are two masters. Returns the old one.
    pub async fn split(&self) -> &RedisServer {
        let old = self.master().await;
        old.ask::<()>(cmd("ACL").arg("SETUSER").arg(INTERNAL).arg("off")).await;
        old.ask::<()>(cmd("CLIENT").arg("KILL").arg("USER").arg(INTERNAL)).await;
        self.until_other_than(old.address()).await;
        old
    }

    /// Ends the cut, and waits until the Sentinels have made the old master follow the new one.
    pub async fn heal(&self, old: &RedisServer) {
        old.ask::<()>(cmd("ACL").arg("SETUSER").arg(INTERNAL).arg("on")).await;
        self.until_follows(old).await;
    }

    /// Waits until a server that runs again, or is reached again, follows the master.
    pub async fn until_follows(&self, old: &RedisServer) {
        let master = self.master().await;
        until_synced(master, old).await;
    }

    /// Waits until both replicas follow the master and every Sentinel knows everybody.
    pub async fn until_complete(&self) {
        let master = self.master().await;
        for replica in (0..self.servers.len()).map(|number| self.servers.member(number)) {
            if replica.address() != master.address() {
                self.until_follows(replica).await;
            }
        }
        for sentinel in &self.sentinels {
            let complete = || async {
                let known = master_fields(sentinel).await;
                let number = |name: &str| field_of(&known, name)?.parse::<usize>().ok();
                let all = number("num-slaves") == Some(2) && number("num-other-sentinels") == Some(2);
                (all && self.has_quorum(sentinel).await).then_some(())
            };
            eventually("every Sentinel knows everybody", complete).await;
        }
    }

    async fn has_quorum(&self, sentinel: &RedisServer) -> bool {
        let mut connection = sentinel.connection().await;
        let quorum: RedisResult<String> =
            cmd("SENTINEL").arg("CKQUORUM").arg(MASTER).query_async(&mut connection).await;
        quorum.is_ok()
    }

    /// Shortens what Sentinels wait for where nothing happens, which is seconds by default.
    async fn hasten(&self) {
        for sentinel in &self.sentinels {
            let mut debug = cmd("SENTINEL");
            debug.arg("DEBUG");
            // Four of the periods in which they publish pass before they demote whoever says that he is a master: longer than
            // the second after which the one that promotes him looks.
            for (name, millis) in
                [("info-period", 100), ("ping-period", 100), ("ask-period", 100), ("publish-period", 600)]
            {
                debug.arg(name).arg(millis);
            }
            sentinel.ask::<()>(&debug).await;
        }
    }

    /// The address on which all Sentinels that run agree.
    async fn agreed_master(&self) -> SocketAddr {
        let agreed = || async {
            let running = self.sentinels.iter().filter(|sentinel| sentinel.is_running());
            let named = join_all(running.map(named_master)).await;
            let first = *named.first().expect("a Sentinel that runs");
            named.iter().all(|address| *address == first).then_some(first)
        };
        eventually("the Sentinels agree on a master", agreed).await
    }

    fn server_at(&self, address: SocketAddr) -> &RedisServer {
        let mut servers = (0..self.servers.len()).map(|number| self.servers.member(number));
        servers.find(|server| server.address() == address).expect("one of the group's servers")
    }
}

async fn named_master(sentinel: &RedisServer) -> SocketAddr {
    let (host, port): (String, u16) = sentinel.ask(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(MASTER)).await;
    SocketAddr::new(host.parse().expect("an address"), port)
}

/// What a Sentinel knows of the master: names and values by turns.
async fn master_fields(sentinel: &RedisServer) -> Vec<String> {
    sentinel.ask(cmd("SENTINEL").arg("MASTER").arg(MASTER)).await
}

fn field_of<'a>(fields: &'a [String], name: &str) -> Option<&'a str> {
    fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str())
}

fn configuration(master: SocketAddr, down_after: Duration) -> String {
    let (host, port, down_after) = (master.ip(), master.port(), down_after.as_millis());
    format!(
        "sentinel monitor {MASTER} {host} {port} {QUORUM}\n\
         sentinel auth-user {MASTER} {INTERNAL}\n\
         sentinel auth-pass {MASTER} {PASSWORD}\n\
         sentinel down-after-milliseconds {MASTER} {down_after}\n\
         sentinel failover-timeout {MASTER} 2000\n\
         sentinel parallel-syncs {MASTER} 2\n"
    )
}
