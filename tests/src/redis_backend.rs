//! [`RedisStore`] for the scenarios and for the laws of a store: a database of its own on a server that one test process
//! shares.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use idempotency_store::conformance::Fixture;
use idempotency_store::fence_store::conformance::FenceFixture;
use idempotency_store::{BoxStore, RedisFenceStore, RedisStore};
use redis::Script;
use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;

use crate::{Backend, RedisOptions, RedisServer};

/// More databases than a test process opens stores.
const DATABASES: u32 = 16_384;

/// Makes every record of the database older: what is left of it is shortened, and what has nothing left is gone.
const AGE: &str = r"
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    if left <= tonumber(ARGV[1]) then redis.call('DEL', key)
    else redis.call('PEXPIRE', key, left - ARGV[1]) end
  end
end
return 1";

/// A store in a database of its own.
#[derive(Debug)]
pub struct Redis {
    store: RedisStore,
    url: String,
}

impl Redis {
    /// The server that all of them share. It is not to be paused, killed or reconfigured.
    async fn server() -> &'static RedisServer {
        static SHARED: OnceCell<RedisServer> = OnceCell::const_new();
        let options = || RedisOptions::default().set("databases", &DATABASES.to_string());
        SHARED.get_or_init(|| RedisServer::start(options())).await
    }

    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let database = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(database < DATABASES, "more stores than databases");
        let url = format!("{}/{database}", Self::server().await.url());
        let store = RedisStore::connect(&url).await.expect("a server of one's own");
        Self { store, url }
    }

    /// Makes every record of the database older.
    async fn age(&self, by: Duration) {
        let mut connection = self.connection().await;
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let aged: Result<i64, _> = Script::new(AGE).arg(by).invoke_async(&mut connection).await;
        aged.expect("the server answers");
    }

    async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).expect("its own address");
        client.get_multiplexed_async_connection().await.expect("the server accepts")
    }
}

impl Backend for Redis {
    /// Its clock is the server's, which nobody stops.
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

    /// The same database: served by another process than this one.
    fn served(&self) -> String {
        self.url.clone()
    }
}

impl Fixture for Redis {
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

/// The highest fences of a store in a database of its own.
#[derive(Debug)]
pub struct RedisFences {
    redis: Redis,
    fences: RedisFenceStore,
}

impl RedisFences {
    /// A connection to the database, to see what stands there.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.redis.connection().await
    }

    /// The database.
    pub fn url(&self) -> &str {
        &self.redis.url
    }
}

impl FenceFixture for RedisFences {
    type Store = RedisFenceStore;

    async fn open() -> Self {
        let redis = Redis::new().await;
        let fences = redis.store.fences();
        Self { redis, fences }
    }

    fn store(&self) -> &RedisFenceStore {
        &self.fences
    }

    async fn advance(&self, duration: Duration) {
        self.redis.age(duration).await;
    }
}
