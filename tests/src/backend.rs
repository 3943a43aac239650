//! The stores that scenarios run on. A store joins by an implementation of [`Backend`] here and a line in
//! [`on_each_store!`](crate::on_each_store), or two if it outlives the process.

use std::sync::Arc;
use std::time::Duration;

use idempotency_store::{BoxStore, EmbeddedStore, ManualClock, MemoryStore};
use tempfile::TempDir;

/// A fresh, empty store for one scenario, and the clock that it judges by.
pub trait Backend: Sized + Send + Sync + 'static {
    /// How much time may pass for the store by itself, between two moments that a scenario takes for one.
    const DRIFT: Duration = Duration::ZERO;

    /// Opens one that shares nothing with any other scenario.
    fn open() -> impl Future<Output = Self> + Send;

    /// The store. Every call gives the same one.
    fn store(&self) -> BoxStore;

    /// Lets time pass for the store, without waiting for it.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// What the real server is started with to use a store of this kind, as its `--store`. Every call gives the same one.
    fn served(&self) -> String;
}

/// [`MemoryStore`] on a clock of its own.
#[derive(Debug)]
pub struct Memory {
    store: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Backend for Memory {
    async fn open() -> Self {
        let clock = Arc::new(ManualClock::new());
        Self { store: MemoryStore::new().with_clock(Arc::<ManualClock>::clone(&clock)), clock }
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.store.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn served(&self) -> String {
        "memory".to_owned()
    }
}

/// [`EmbeddedStore`] in a directory of its own, on a clock of its own.
#[derive(Debug)]
pub struct Embedded {
    store: EmbeddedStore,
    clock: Arc<ManualClock>,
    directory: TempDir,
}

impl Backend for Embedded {
    async fn open() -> Self {
        let clock = Arc::new(ManualClock::new());
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("keys.redb");
        let opened = EmbeddedStore::open_with_clock(path, Arc::<ManualClock>::clone(&clock)).await;
        Self { store: opened.expect("a new store"), clock, directory }
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.store.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// A file beside its own, which one process has to itself.
    fn served(&self) -> String {
        format!("embedded:{}", self.directory.path().join("served.redb").display())
    }
}

/// Makes each scenario a test on each store; those after `durable:`, in which a process dies, on the stores that outlive
/// it. A scenario is a function of one [`Backend`]; its tests are called `memory::s01_...` and so on.
#[macro_export]
macro_rules! on_each_store {
    (durable: $($durable:ident),+ $(,)?) => {
        $crate::on_store!(embedded, $crate::backend::Embedded, $($durable),+);
        $crate::on_store!(redis, $crate::Redis, $($durable),+);
        $crate::on_store!(sentinel, $crate::redis_kinds::On<$crate::redis_kinds::Sentinel>, $($durable),+);
        $crate::on_store!(cluster, $crate::redis_kinds::On<$crate::redis_kinds::Cluster>, $($durable),+);
    };
    ($($scenario:ident),+ $(,)? $(; durable: $($durable:ident),+ $(,)?)?) => {
        $crate::on_store!(memory, $crate::backend::Memory, $($scenario),+);
        $crate::on_store!(embedded, $crate::backend::Embedded, $($scenario),+ $(, $($durable),+)?);
        $crate::on_store!(redis, $crate::Redis, $($scenario),+ $(, $($durable),+)?);
        $crate::on_store!(
            sentinel,
            $crate::redis_kinds::On<$crate::redis_kinds::Sentinel>,
            $($scenario),+ $(, $($durable),+)?
        );
        $crate::on_store!(
            cluster,
            $crate::redis_kinds::On<$crate::redis_kinds::Cluster>,
            $($scenario),+ $(, $($durable),+)?
        );
    };
}

/// Makes each scenario a test on one store.
#[macro_export]
macro_rules! on_store {
    ($name:ident, $backend:ty, $($scenario:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$scenario(<$backend as $crate::Backend>::open().await).await;
                }
            )+
        }
    };
}
