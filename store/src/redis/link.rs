//! The way to one server: a line that is made when it is needed, shared by all verbs, and replaced when it is of no use any
//! more. Where the server is found is [`Origin`]'s business; which server serves a key is [`topology`](super::topology)'s.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo};
use tokio::time::timeout;

use super::clock::ServerClock;
use super::connect_error::{RedisConnectError, refused};
use super::counts::Degraded;
use super::durability::Wait;
use super::failure::spoils_connection;
use super::greeting::{greet, greet_lane};
use super::lane::Lane;
use super::line::{Line, Sent, Via};
use super::origin::{Found, Origin};
use super::patience::Impatience;
use super::pause::Pause;
use super::script::Call;
use super::watching::watch;
use super::{NAME, Shared};
use crate::{Deadline, DeadlinePassed, StoreError};

/// Commands that may be written and not yet answered; the next one waits, and its deadline with it.
const IN_FLIGHT: usize = 4096;

/// A server that says nothing for so long may be gone.
const SILENT: Duration = Duration::from_secs(1);

pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) origin: Origin,
    live: Mutex<Option<Arc<Live>>>,
    /// Held while connecting, so that many verbs make one connection.
    connecting: tokio::sync::Mutex<Pause>,
    pub(super) clock: ServerClock,
    generations: AtomicU64,
    /// How often nobody could connect.
    failures: AtomicU64,
    /// Whether somebody is looking after where the server is.
    pub(super) looking: AtomicBool,
    degraded: Arc<Degraded>,
}

/// A line that was greeted.
pub(super) struct Live {
    pub(super) line: Line,
    pub(super) generation: u64,
    pub(super) found: Found,
    /// What claims wait for on it.
    waits: Option<Wait>,
}

impl Live {
    /// Where it leads.
    pub(super) const fn info(&self) -> &ConnectionInfo {
        &self.found.info
    }
}

/// How long somebody waits for a line that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tries {
    /// Until the deadline.
    Many,
    /// Once: there may be another server to ask.
    One,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            shared,
            origin,
            live: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(Pause::new()),
            clock: ServerClock::new(),
            generations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            looking: AtomicBool::new(false),
            degraded: Arc::default(),
        })
    }

    /// The line; a new one if there is none, for which the caller waits until its deadline.
    pub(super) async fn live(self: &Arc<Self>, deadline: Deadline, tries: Tries) -> Result<Arc<Live>, StoreError> {
        if deadline.is_past() {
            return Err(StoreError::not_applied(NAME, DeadlinePassed));
        }
        if let Some(live) = self.current() {
            return Ok(live);
        }
        // Rare, and larger than everything that verbs have in hand while they wait.
        timeout(deadline.remaining(), Box::pin(self.reconnect(deadline, tries)))
            .await
            .unwrap_or_else(|_| Err(StoreError::not_applied(NAME, DeadlinePassed)))
    }

    /// Sends the call on this line, waits until the deadline, and gives up the line if it is of no use any more.
    pub(super) async fn send(
        &self,
        live: &Live,
        call: &Call<'_>,
        via: Via,
        asking: bool,
        deadline: Deadline,
    ) -> Result<Sent, StoreError> {
        let sent = pin!(live.line.send(call, via, asking));
        self.watched(live, deadline, sent).await
    }

    /// Waits for something that is asked on this line, by the same rules.
    pub(super) async fn watched<T: Spoils>(
        &self,
        live: &Live,
        deadline: Deadline,
        asked: Pin<&mut impl Future<Output = redis::RedisResult<T>>>,
    ) -> Result<T, StoreError> {
        // Somebody else may find out first that the connection is dead.
        let is_given_up = || !self.is_current(live);
        let asked_at = Instant::now();
        let reply = self.shared.patience.wait(deadline, is_given_up, asked).await;
        let is_spoilt = match &reply {
            Ok(Ok(reply)) => reply.spoils(),
            Ok(Err(_)) => true,
            // A connection that does not answer may hang for ever; a new one shows whether the server does. Whoever came
            // late, with little time left, has no say in that, or each would close the new line of the others.
            Err(Impatience::Deadline(_)) => asked_at.elapsed() >= self.shared.config.connect_timeout.min(SILENT),
            Err(Impatience::GivenUp) => false,
        };
        if is_spoilt {
            self.give_up(live);
        }
        match reply {
            Ok(reply) => reply.map_err(super::failure::sort),
            Err(impatience) => Err(StoreError::unknown(NAME, impatience)),
        }
    }

    /// Gives up a line, so that the next verb makes a new one. What was sent on it may still be carried out.
    pub(super) fn give_up(&self, live: &Live) {
        self.lock().take_if(|current| current.generation == live.generation);
    }

    async fn reconnect(self: &Arc<Self>, deadline: Deadline, tries: Tries) -> Result<Arc<Live>, StoreError> {
        let before = self.failures.load(Ordering::Acquire);
        let mut pause = self.connecting.lock().await;
        loop {
            if let Some(live) = self.current() {
                return Ok(live);
            }
            // Somebody has just found out for all who waited for their turn.
            if tries == Tries::One && self.failures.load(Ordering::Acquire) != before {
                return Err(StoreError::not_applied(NAME, Unreached));
            }
            pause.over().await;
            match self.connect(deadline.remaining()).await {
                Ok(live) => {
                    *pause = Pause::new();
                    return Ok(live);
                }
                Err(error) => {
                    pause.lengthen();
                    self.failures.fetch_add(1, Ordering::AcqRel);
                    tracing::warn!(%error, "no connection to Redis");
                    if tries == Tries::One || pause.outlasts(deadline) {
                        return Err(StoreError::not_applied(NAME, error));
                    }
                }
            }
        }
    }

    /// Connects, at most for this long.
    pub(super) async fn connect(self: &Arc<Self>, within: Duration) -> Result<Arc<Live>, RedisConnectError> {
        let within = within.min(self.shared.config.connect_timeout);
        let opened = timeout(within, self.open(within)).await.unwrap_or(Err(RedisConnectError::Silent))?;
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let live = Arc::new(Live { generation, ..opened });
        *self.lock() = Some(Arc::clone(&live));
        tokio::spawn(watch(Arc::downgrade(self), generation));
        Ok(live)
    }

    async fn open(&self, within: Duration) -> Result<Live, RedisConnectError> {
        let shared = &self.shared;
        let found = self.origin.find(&shared.config, within).await?;
        let client = shared.config.client(found.info.clone()).map_err(refused)?;
        let mut connection = connection(&client, Some(IN_FLIGHT)).await?;
        let greeted = greet(&mut connection, shared, found.owns.as_ref()).await?;
        self.clock.calibrate(greeted.time);
        shared.note(greeted.role, found.is_agreed);
        let waits = shared.wait();
        let lane = match waits {
            None => None,
            Some(wait) => {
                let mut claims = self::connection(&client, None).await?;
                greet_lane(&mut claims, shared, found.owns.as_ref(), wait).await?;
                Some(Lane::open(claims, wait, shared.config.replication_timeout, Arc::clone(&self.degraded)))
            }
        };
        Ok(Live { line: Line::new(connection, lane, greeted.way), generation: 0, found, waits })
    }

    /// Whether the line is the one that verbs are sent on.
    pub(super) fn is_current(&self, live: &Live) -> bool {
        self.lock().as_ref().is_some_and(|current| current.generation == live.generation)
    }

    /// The line, if there is one that claims can be sent on as they have to be: a replica that was seen at another node is
    /// expected here, too, from then on, and a line without a lane is of no use any more.
    pub(super) fn current(&self) -> Option<Arc<Live>> {
        let live = self.lock().clone()?;
        if live.waits == self.shared.wait() && live.line.is_open() {
            return Some(live);
        }
        self.give_up(&live);
        None
    }

    /// Whether grants of this server are not acknowledged at the moment.
    pub(super) fn is_degraded(&self) -> bool {
        self.degraded.is_so()
    }

    /// A grant was acknowledged as it had to be, or was not.
    pub(super) fn acknowledged(&self, is_acknowledged: bool) {
        if !is_acknowledged {
            self.shared.counts.unreplicated.up();
        }
        self.degraded.note(!is_acknowledged);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reply that may say that its connection is of no use any more.
pub(super) trait Spoils {
    fn spoils(&self) -> bool;
}

impl Spoils for Sent {
    fn spoils(&self) -> bool {
        self.reply.as_ref().is_err_and(spoils_connection)
    }
}

impl Spoils for Vec<redis::Value> {
    fn spoils(&self) -> bool {
        false
    }
}

async fn connection(client: &redis::Client, limit: Option<usize>) -> Result<MultiplexedConnection, RedisConnectError> {
    let settings = AsyncConnectionConfig::new()
        // The time is limited by the caller.
        .set_connection_timeout(None)
        // The deadline of a verb is watched by one tick for all of them.
        .set_response_timeout(None)
        .set_pipeline_buffer_size(IN_FLIGHT);
    let settings = match limit {
        Some(limit) => settings.set_concurrency_limit(limit),
        None => settings,
    };
    client.get_multiplexed_async_connection_with_config(&settings).await.map_err(refused)
}

/// Somebody else has just tried to connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server could not be reached a moment ago")]
struct Unreached;
