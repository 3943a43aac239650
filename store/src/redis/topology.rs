//! Which server serves a key, and what to do when it is another one than it was.
//!
//! A call that a server refuses because it is not, or not now, the one for the key was not carried out, and goes to the one
//! that is, until its deadline. A call whose reply is lost is never sent again here: whether it was carried out is for its
//! owner to ask.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::cluster::Cluster;
use super::connect_error::RedisConnectError;
use super::failure::sort;
use super::line::{Sent, Via};
use super::link::{Link, Live, Tries};
use super::origin::Origin;
use super::pause::Pause;
use super::script::Call;
use super::servers::Servers;
use super::slots::{Address, slot};
use super::{NAME, Shared};
use crate::{Deadline, StoreError};

/// Servers that were found.
pub(super) enum Topology {
    /// One that is always at the same address.
    One(Arc<Link>),
    /// One that may move.
    Sentinel(Arc<Link>),
    Cluster(Arc<Cluster>),
}

/// A server, and the line to it.
pub(super) type Hop = (Arc<Link>, Arc<Live>);

/// Where a refused call goes.
enum Detour {
    /// The slot has moved.
    Moved,
    /// The slot is moving; this call only.
    Ask,
    /// Nobody serves the key at the moment, or somebody else does whom we do not know yet.
    Later,
}

/// Redirections that are followed in one call. Each other one is a topology that changes faster than one can ask.
const HOPS: usize = 16;

impl Topology {
    pub(super) async fn open(shared: &Arc<Shared>) -> Result<Self, RedisConnectError> {
        let connected = async |origin| {
            let link = Link::new(Arc::clone(shared), origin);
            link.connect(shared.config.connect_timeout).await.map(|_| link)
        };
        match &shared.config.servers {
            Servers::One(info) => connected(Origin::At(info.clone())).await.map(Self::One),
            Servers::Sentinel(sentinels) => connected(Origin::Sentinels(sentinels.clone())).await.map(Self::Sentinel),
            Servers::Cluster(like, seeds) => {
                Cluster::open(Arc::clone(shared), like.clone(), seeds.clone()).await.map(Self::Cluster)
            }
        }
    }

    /// The way to the server of a record, and the line there.
    pub(super) async fn live(&self, name: &str, deadline: Deadline) -> Result<Hop, StoreError> {
        match self {
            Self::One(link) | Self::Sentinel(link) => {
                link.live(deadline, Tries::Many).await.map(|live| (Arc::clone(link), live))
            }
            Self::Cluster(cluster) => cluster.live(slot(name.as_bytes()), deadline).await,
        }
    }

    /// The ways to all masters, in an order of their own.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        match self {
            Self::One(link) | Self::Sentinel(link) => vec![Arc::clone(link)],
            Self::Cluster(cluster) => cluster.nodes().into_iter().map(|(_, link)| link).collect(),
        }
    }

    /// The same, with what tells one from another: a digest of its address in a Cluster, 0 elsewhere.
    pub(super) fn named_links(&self) -> Vec<(u64, Arc<Link>)> {
        let digest = |address: &Address| {
            let mut hasher = DefaultHasher::new();
            address.hash(&mut hasher);
            hasher.finish()
        };
        match self {
            Self::One(link) | Self::Sentinel(link) => vec![(0, Arc::clone(link))],
            Self::Cluster(cluster) => {
                cluster.nodes().into_iter().map(|(address, link)| (digest(&address), link)).collect()
            }
        }
    }

    /// Whether keys live on different servers.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Sends a call to the server of a record, wherever that is by now.
    pub(super) async fn send(
        &self,
        name: &str,
        call: &Call<'_>,
        via: Via,
        deadline: Deadline,
    ) -> Result<Sent, StoreError> {
        let first = self.live(name, deadline).await?;
        self.send_on(first, name, call, via, deadline).await
    }

    /// The same, for who has looked up just now where that is.
    pub(super) async fn send_on(
        &self,
        first: Hop,
        name: &str,
        call: &Call<'_>,
        via: Via,
        deadline: Deadline,
    ) -> Result<Sent, StoreError> {
        let mut pause = Pause::new();
        let mut known = Some(first);
        let mut asking = false;
        for hop in 0..HOPS {
            let (link, live) = match known.take() {
                Some(hop) => hop,
                None => self.live(name, deadline).await?,
            };
            let sent = link.send(&live, call, via, std::mem::take(&mut asking), deadline).await?;
            if let Some(is_acknowledged) = sent.acknowledged {
                link.acknowledged(is_acknowledged);
                if !is_acknowledged {
                    self.doubt(&link, &live);
                }
            }
            let Some((detour, error)) = sent.reply.as_ref().err().and_then(|error| Some((self.detour(error)?, error)))
            else {
                return Ok(sent);
            };
            // Two servers that send each other's clients back and forth agree in a moment.
            if hop > 0 || matches!(detour, Detour::Later) {
                pause.lengthen();
                if pause.outlasts(deadline) {
                    return Ok(sent);
                }
                Box::pin(pause.over()).await;
            }
            match (detour, self) {
                (Detour::Moved, Self::Cluster(cluster)) => cluster.moved(error, &live),
                // One that cannot be reached is asked for again where the call came from.
                (Detour::Ask, Self::Cluster(cluster)) => {
                    known = Box::pin(cluster.asked(error, &live, deadline)).await.unwrap_or(None);
                    asking = known.is_some();
                }
                (_, Self::Cluster(cluster)) => Box::pin(cluster.refresh(deadline)).await,
                _ => {}
            }
        }
        Err(StoreError::not_applied(NAME, Wandering))
    }

    /// What to do about a refusal; `None` if it is an answer.
    fn detour(&self, error: &RedisError) -> Option<Detour> {
        let ErrorKind::Server(kind) = error.kind() else { return None };
        match (kind, self) {
            (_, Self::One(_)) => None,
            (ServerErrorKind::Moved, Self::Cluster(_)) => Some(Detour::Moved),
            (ServerErrorKind::Ask, Self::Cluster(_)) => Some(Detour::Ask),
            (
                ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown,
                _,
            ) => Some(Detour::Later),
            _ => None,
        }
    }

    /// A write was not acknowledged: the server may have been cut off.
    fn doubt(&self, link: &Arc<Link>, live: &Arc<Live>) {
        match self {
            Self::One(_) => {}
            Self::Sentinel(_) => link.doubt(live),
            Self::Cluster(cluster) => cluster.doubt(),
        }
    }
}

/// A call was redirected more often than a topology changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the servers keep redirecting to each other")]
struct Wandering;

/// The reply, or what its refusal says about the record.
pub(super) fn answer(sent: Sent) -> Result<redis::Value, StoreError> {
    sent.reply.map_err(sort)
}
