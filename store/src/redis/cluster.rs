//! A Cluster: a way to each of its masters, and the map of who serves what, which is asked for again when it proves wrong.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, RedisError, Value, cmd};
use tokio::time::timeout;

use super::connect_error::{RedisConnectError, refused};
use super::line::ask;
use super::link::{Link, Live, Tries};
use super::origin::Origin;
use super::pause::Pause;
use super::servers::like;
use super::slots::{Address, SlotMap, address};
use super::topology::Hop;
use super::{NAME, Shared};
use crate::{Deadline, StoreError};

/// How often the map is asked for where nothing happens.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Cluster {
    shared: Arc<Shared>,
    /// How to talk to any node.
    like: ConnectionInfo,
    /// Where to ask when no known node answers.
    seeds: Vec<ConnectionInfo>,
    map: Arc<Mutex<SlotMap>>,
    links: Mutex<HashMap<Address, Arc<Link>>>,
    /// Held while the map is asked for, so that many verbs ask once.
    refreshing: tokio::sync::Mutex<()>,
    /// How often it was.
    refreshes: AtomicUsize,
    /// The greatest epoch that a node told of.
    newest: AtomicU64,
    doubted: AtomicBool,
}

/// A slot that nobody serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nobody in the Cluster serves the key's slot")]
struct Uncovered;

impl Cluster {
    /// Finds the nodes, and greets each of the masters.
    pub(super) async fn open(
        shared: Arc<Shared>,
        like: ConnectionInfo,
        seeds: Vec<ConnectionInfo>,
    ) -> Result<Arc<Self>, RedisConnectError> {
        let cluster = Arc::new(Self {
            shared,
            like,
            seeds,
            map: Arc::default(),
            links: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            refreshes: AtomicUsize::new(0),
            newest: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
        });
        let within = cluster.shared.config.connect_timeout;
        let map = cluster.ask_around(within).await?;
        match map.uncovered() {
            0 => *cluster.map() = map,
            slots => return Err(RedisConnectError::Uncovered { slots }),
        }
        for (_, link) in cluster.nodes() {
            link.connect(within).await?;
        }
        tokio::spawn(watch(Arc::downgrade(&cluster)));
        Ok(cluster)
    }

    /// The way to the node of a slot, if the map has one.
    pub(super) fn known(&self, slot: u16) -> Option<Arc<Link>> {
        let node = self.map().node(slot).cloned();
        node.map(|node| self.link(&node))
    }

    /// All masters by their addresses, in an order of their own.
    pub(super) fn nodes(&self) -> Vec<(Address, Arc<Link>)> {
        let nodes = self.map().nodes();
        nodes.into_iter().map(|node| (node.clone(), self.link(&node))).collect()
    }

    /// The line to the node of a slot. One that cannot be reached may have been replaced: the map is asked for again.
    pub(super) async fn live(&self, slot: u16, deadline: Deadline) -> Result<Hop, StoreError> {
        let mut pause = Pause::new();
        loop {
            let reached = match self.known(slot) {
                Some(link) => link.live(deadline, Tries::One).await.map(|live| (link, live)),
                None => Err(StoreError::not_applied(NAME, Uncovered)),
            };
            let Err(error) = reached else { return reached };
            pause.lengthen();
            if pause.outlasts(deadline) {
                return Err(error);
            }
            pause.over().await;
            Box::pin(self.refresh(deadline)).await;
        }
    }

    /// Asks for the map again, unless somebody has while the caller waited for its turn.
    pub(super) async fn refresh(&self, deadline: Deadline) {
        let before = self.refreshes.load(Ordering::Acquire);
        let Ok(_asking) = timeout(deadline.remaining(), self.refreshing.lock()).await else { return };
        if self.refreshes.load(Ordering::Acquire) != before {
            return;
        }
        match self.ask_around(deadline.remaining().min(self.shared.config.connect_timeout)).await {
            Ok(map) => self.adopt(map),
            Err(error) => tracing::warn!(%error, "nobody tells the map of the Cluster"),
        }
        self.refreshes.fetch_add(1, Ordering::AcqRel);
    }

    fn adopt(&self, map: SlotMap) {
        let nodes = map.nodes();
        *self.map() = map;
        // Whoever serves nothing any more is not waited for.
        self.links().retain(|node, _| nodes.contains(node));
    }

    /// A slot has moved; the rest of the map is asked for in the background.
    pub(super) fn moved(self: &Arc<Self>, error: &RedisError, from: &Live) {
        if let Some((node, slot)) = redirection(error, from) {
            self.map().moved(slot, node);
        }
        self.doubt();
    }

    /// The line to the node that a call is to be sent to this once. `None` if the redirection cannot be read.
    pub(super) async fn asked(
        &self,
        error: &RedisError,
        from: &Live,
        deadline: Deadline,
    ) -> Result<Option<Hop>, StoreError> {
        let Some((node, _)) = redirection(error, from) else { return Ok(None) };
        let link = self.link(&node);
        link.live(deadline, Tries::One).await.map(|live| Some((link, live)))
    }

    /// Asks for the map in the background.
    pub(super) fn doubt(self: &Arc<Self>) {
        if self.doubted.swap(true, Ordering::AcqRel) {
            return;
        }
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            cluster.refresh(Deadline::after(cluster.shared.config.connect_timeout)).await;
            cluster.doubted.store(false, Ordering::Release);
        });
    }

    /// Asks the nodes that are known, and then the seeds, for the map.
    async fn ask_around(&self, within: Duration) -> Result<SlotMap, RedisConnectError> {
        let known = self.map().nodes();
        let node = |(host, port): &Address| like(&self.like, host, *port);
        let mut everybody: Vec<_> = known.iter().map(node).collect();
        everybody.extend(
            self.seeds.iter().filter(|seed| !known.iter().any(|known| node(known).addr() == seed.addr())).cloned(),
        );
        // Somebody else each time: one that was cut off from the others goes on telling what was.
        let turn = self.refreshes.load(Ordering::Acquire).checked_rem(everybody.len());
        everybody.rotate_left(turn.unwrap_or(0));
        // One that hangs leaves time for others.
        let each = within / (u32::try_from(everybody.len()).unwrap_or(u32::MAX).clamp(1, 3));
        let (mut why, until) = (RedisConnectError::Silent, Instant::now() + within);
        for node in everybody {
            match timeout(each.min(until.saturating_duration_since(Instant::now())), self.ask_one(&node)).await {
                Ok(Ok(map)) => return Ok(map),
                Ok(Err(error)) => why = error,
                Err(_) => {}
            }
        }
        Err(why)
    }

    async fn ask_one(&self, node: &ConnectionInfo) -> Result<SlotMap, RedisConnectError> {
        let settings = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let client = self.shared.config.client(node.clone()).map_err(refused)?;
        let connection = client.get_multiplexed_async_connection_with_config(&settings).await;
        let mut connection = connection.map_err(refused)?;
        let reply = ask(&mut connection, cmd("CLUSTER").arg("SLOTS")).await.map_err(refused)?;
        let epoch = ask(&mut connection, cmd("CLUSTER").arg("INFO")).await.ok().and_then(|info| epoch(&info));
        // One that was cut off from the others goes on telling what was.
        if self.newest.fetch_max(epoch.unwrap_or(0), Ordering::AcqRel) > epoch.unwrap_or(u64::MAX) {
            return Err(RedisConnectError::Foreign {
                found: "a Cluster".to_owned(),
                fault: "the node was left behind",
            });
        }
        let fault = "its CLUSTER SLOTS are none";
        SlotMap::read(&reply, &host(node)).ok_or(RedisConnectError::Foreign { found: "a Cluster".to_owned(), fault })
    }

    fn link(&self, node: &Address) -> Arc<Link> {
        let mut links = self.links();
        let link = links.entry(node.clone()).or_insert_with(|| {
            let info = like(&self.like, &node.0, node.1);
            let origin = Origin::Node { info, address: node.clone(), map: Arc::clone(&self.map) };
            Link::new(Arc::clone(&self.shared), origin)
        });
        Arc::clone(link)
    }

    fn map(&self) -> MutexGuard<'_, SlotMap> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<Address, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for the map every few seconds, until the store is gone: what is only renewed and completed meets no refusal.
async fn watch(cluster: Weak<Cluster>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.refresh(Deadline::after(LOOK)).await;
    }
}

/// The epoch of a node's configuration, from `CLUSTER INFO`; `None` where it does not say.
fn epoch(info: &Value) -> Option<u64> {
    let info = redis::from_redis_value::<String>(info.clone()).ok()?;
    let epoch = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"))?;
    epoch.trim().parse().ok()
}

fn host(node: &ConnectionInfo) -> String {
    match node.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
}

/// Where an error of a server sends its call, and for which slot.
fn redirection(error: &RedisError, from: &Live) -> Option<(Address, u16)> {
    let (node, slot) = error.redirect_node()?;
    Some((address(node, &host(from.info()))?, slot))
}
