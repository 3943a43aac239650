//! [`RedisStore`] on everything that it can be connected to, for the scenarios and for the laws of a store: each kind is started
//! once per test process, and each store has a prefix of its own there.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use idempotency_store::conformance::Fixture;
use idempotency_store::{BoxStore, Durability, RedisConfig, RedisStore, Scripting};
use redis::Script;
use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;

use crate::{Backend, Certificates, Program, RedisCluster, RedisOptions, RedisServer, SentinelGroup};

/// Long enough for a busy machine not to look like a dead one.
const UNHURRIED: Duration = Duration::from_secs(20);

/// What replicas may take on a busy machine. Claims wait so long for nothing only where a test stops a replica.
const PATIENT: &str = "replication_timeout_ms=10000";

/// What the smallest user may do: the list in the documentation of the store, and what listing keys needs.
pub const SMALLEST: &str = "resetchannels -@all +set +get +getrange +pttl +pexpire +rename +time +eval +evalsha +wait \
                            +info +ping +cluster|slots +asking +scan +strlen";

/// Makes every record of a prefix older: what is left of it is shortened, and what has nothing left is gone.
const AGE: &str = r"
for _, key in ipairs(redis.call('KEYS', ARGV[2] .. ':*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    if left <= tonumber(ARGV[1]) then redis.call('DEL', key)
    else redis.call('PEXPIRE', key, left - ARGV[1]) end
  end
end
return 1";

/// One way of running Redis.
pub trait Kind: Send + Sync + 'static {
    /// What a store is connected to, without a query.
    fn url() -> impl Future<Output = String> + Send;

    /// Every master, as somebody who may do everything.
    fn masters() -> impl Future<Output = Vec<MultiplexedConnection>> + Send;

    /// What is special about the store's settings.
    fn config(config: RedisConfig) -> RedisConfig {
        config
    }
}

/// A store with a prefix of its own on servers of a kind.
#[derive(Debug)]
pub struct On<K> {
    store: RedisStore,
    url: String,
    prefix: String,
    kind: PhantomData<K>,
}

impl<K: Kind> On<K> {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = format!("{}?prefix={prefix}&{PATIENT}", K::url().await);
        let config = RedisConfig::new(&url).expect("a URL of the harness").connect_timeout(UNHURRIED);
        let config = K::config(config);
        let store = RedisStore::connect_with(config).await.expect("servers of one's own");
        Self { store, url, prefix, kind: PhantomData }
    }

    async fn age(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        for mut master in K::masters().await {
            let aged: Result<i64, _> = Script::new(AGE).arg(by).arg(&self.prefix).invoke_async(&mut master).await;
            aged.expect("a master answers");
        }
    }
}

impl<K: Kind> Backend for On<K> {
    const DRIFT: Duration = Duration::from_secs(1);

    async fn open() -> Self {
        Self::new().await
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.store.clone())
    }

    async fn advance(&self, by: Duration) {
        self.age(by).await;
    }

    fn served(&self) -> String {
        self.url.clone()
    }
}

impl<K: Kind> Fixture for On<K> {
    type Store = RedisStore;

    async fn open() -> Self {
        Self::new().await
    }

    fn store(&self) -> &RedisStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        self.age(by).await;
    }
}

/// A master with two replicas, behind three Sentinels.
#[derive(Debug)]
pub struct Sentinel;

impl Sentinel {
    async fn group() -> &'static SentinelGroup {
        static GROUP: OnceCell<SentinelGroup> = OnceCell::const_new();
        GROUP.get_or_init(|| SentinelGroup::start_with(RedisOptions::default(), UNHURRIED)).await
    }
}

impl Kind for Sentinel {
    async fn url() -> String {
        Self::group().await.url()
    }

    async fn masters() -> Vec<MultiplexedConnection> {
        vec![Self::group().await.master().await.connection().await]
    }
}

/// Three masters with a replica each.
#[derive(Debug)]
pub struct Cluster;

impl Cluster {
    async fn nodes() -> &'static RedisCluster {
        static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
        CLUSTER.get_or_init(|| RedisCluster::start_with(RedisOptions::default(), 3, true, UNHURRIED)).await
    }
}

impl Kind for Cluster {
    async fn url() -> String {
        Self::nodes().await.url()
    }

    async fn masters() -> Vec<MultiplexedConnection> {
        let nodes = Self::nodes().await;
        let mut masters = Vec::new();
        for master in nodes.masters().await {
            masters.push(nodes.node(master).connection().await);
        }
        masters
    }
}

/// One server over TLS, with a certificate of an authority of one's own.
#[derive(Debug)]
pub struct Tls;

static TLS: OnceCell<(RedisServer, Certificates)> = OnceCell::const_new();

impl Tls {
    async fn server() -> &'static (RedisServer, Certificates) {
        let start = || async {
            let certificates = Certificates::new();
            (RedisServer::start(RedisOptions::default().tls(&certificates)).await, certificates)
        };
        TLS.get_or_init(start).await
    }
}

impl Kind for Tls {
    async fn url() -> String {
        Self::server().await.0.url()
    }

    async fn masters() -> Vec<MultiplexedConnection> {
        vec![Self::server().await.0.connection().await]
    }

    fn config(config: RedisConfig) -> RedisConfig {
        let (_, certificates) = TLS.get().expect("a server that the URL is of");
        config.root_certificate(certificates.authority())
    }
}

/// One server that is Redis 8.
#[derive(Debug)]
pub struct Redis8;

impl Redis8 {
    async fn server() -> &'static RedisServer {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        SERVER.get_or_init(|| RedisServer::start(RedisOptions::default().program(Program::Redis8))).await
    }
}

impl Kind for Redis8 {
    async fn url() -> String {
        Self::server().await.url()
    }

    async fn masters() -> Vec<MultiplexedConnection> {
        vec![Self::server().await.connection().await]
    }
}

/// One server that is Valkey 8.
#[derive(Debug)]
pub struct Valkey8;

impl Valkey8 {
    async fn server() -> &'static RedisServer {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        SERVER.get_or_init(|| RedisServer::start(RedisOptions::default().program(Program::Valkey8))).await
    }
}

impl Kind for Valkey8 {
    async fn url() -> String {
        Self::server().await.url()
    }

    async fn masters() -> Vec<MultiplexedConnection> {
        vec![Self::server().await.connection().await]
    }
}

/// One server, as the smallest user that can do everything, to whom nothing but the keys of stores is open.
#[derive(Debug)]
pub struct Smallest;

impl Smallest {
    async fn server() -> &'static RedisServer {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        let options = || RedisOptions::default().user("smallest", "secret", &format!("~t*:* {SMALLEST}"));
        SERVER.get_or_init(|| RedisServer::start(options())).await
    }
}

impl Kind for Smallest {
    async fn url() -> String {
        Self::server().await.url_as("smallest", "secret")
    }

    async fn masters() -> Vec<MultiplexedConnection> {
        vec![Self::server().await.connection().await]
    }
}

/// One server, as a user who may call functions and nothing else, but for listing keys.
#[derive(Debug)]
pub struct FunctionsOnly;

impl FunctionsOnly {
    async fn server() -> &'static RedisServer {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        let start = || async {
            let rules =
                "~t*:* resetchannels -@all +fcall +set +get +getrange +pttl +pexpire +rename +time +scan +strlen";
            let server = RedisServer::start(RedisOptions::default().user("caller", "secret", rules)).await;
            let library = RedisStore::function_library();
            let loaded: String = server.ask(redis::cmd("FUNCTION").arg("LOAD").arg(library)).await;
            assert_eq!(loaded, "idem_v1");
            server
        };
        SERVER.get_or_init(start).await
    }
}

impl Kind for FunctionsOnly {
    async fn url() -> String {
        Self::server().await.url_as("caller", "secret")
    }

    async fn masters() -> Vec<MultiplexedConnection> {
        vec![Self::server().await.connection().await]
    }

    fn config(config: RedisConfig) -> RedisConfig {
        // Replicas are not for him to see.
        config.scripting(Scripting::Functions).durability(Durability::Local)
    }
}
