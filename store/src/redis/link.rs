//! The way to one server: a line that is made when it is needed, shared by all verbs, and replaced when it is of no use any
//! more. Where the server is found is [`Origin`]'s business; which server serves a key is [`topology`](super::topology)'s.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo};
use tokio::time::timeout;

use super::clock::ServerClock;
use super::connect_error::{RedisConnectError, refused};
use super::failure::spoils_connection;
use super::greeting::{greet, greet_lane, time};
use super::lane::Lane;
use super::line::{Line, Sent, Via};
use super::origin::{Found, Origin};
use super::pause::Pause;
use super::role::Role;
use super::script::Call;
use super::{NAME, Shared};
use crate::{Deadline, DeadlinePassed, StoreError};

/// Commands that may be written and not yet answered; the next one waits, and its deadline with it.
const IN_FLIGHT: usize = 4096;

/// How often the server's clock is read and its place is looked at. It also notices a connection that died without a word.
const CALIBRATION: Duration = Duration::from_secs(5);

pub(super) struct Link {
    shared: Arc<Shared>,
    origin: Origin,
    live: Mutex<Option<Live>>,
    /// Held while connecting, so that many verbs make one connection.
    connecting: tokio::sync::Mutex<Pause>,
    pub(super) clock: ServerClock,
    generations: AtomicU64,
    /// Whether somebody is looking after where the server is.
    looking: AtomicBool,
}

/// A line that was greeted.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) line: Line,
    generation: u64,
    found: Found,
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
            looking: AtomicBool::new(false),
        })
    }

    /// The line; a new one if there is none, for which the caller waits until its deadline.
    pub(super) async fn live(self: &Arc<Self>, deadline: Deadline, tries: Tries) -> Result<Live, StoreError> {
        if deadline.is_past() {
            return Err(StoreError::not_applied(NAME, DeadlinePassed));
        }
        if let Some(live) = self.current() {
            return Ok(live);
        }
        timeout(deadline.remaining(), self.reconnect(deadline, tries))
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
        self.watched(live, deadline, live.line.send(call, via, asking)).await
    }

    /// Waits for something that is asked on this line, by the same rules.
    pub(super) async fn watched<T: Spoils>(
        &self,
        live: &Live,
        deadline: Deadline,
        asked: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, StoreError> {
        // Somebody else may find out first that the connection is dead.
        let is_given_up = || !self.is_current(live);
        let reply = self.shared.patience.wait(deadline, is_given_up, asked).await;
        // A connection that does not answer may hang for ever; a new one shows whether the server does.
        let is_spoilt = match &reply {
            Ok(Ok(reply)) => reply.spoils(),
            Ok(Err(_)) | Err(_) => true,
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

    async fn reconnect(self: &Arc<Self>, deadline: Deadline, tries: Tries) -> Result<Live, StoreError> {
        let mut pause = self.connecting.lock().await;
        loop {
            if let Some(live) = self.current() {
                return Ok(live);
            }
            pause.over().await;
            match self.connect(deadline.remaining()).await {
                Ok(live) => {
                    *pause = Pause::new();
                    return Ok(live);
                }
                Err(error) => {
                    pause.lengthen();
                    tracing::warn!(%error, "no connection to Redis");
                    if tries == Tries::One || pause.outlasts(deadline) {
                        return Err(StoreError::not_applied(NAME, error));
                    }
                }
            }
        }
    }

    /// Connects, at most for this long.
    pub(super) async fn connect(self: &Arc<Self>, within: Duration) -> Result<Live, RedisConnectError> {
        let within = within.min(self.shared.config.connect_timeout);
        let opened = timeout(within, self.open(within)).await.unwrap_or(Err(RedisConnectError::Silent))?;
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let live = Live { line: opened.0, generation, found: opened.1 };
        *self.lock() = Some(live.clone());
        tokio::spawn(watch(Arc::downgrade(self), live.clone()));
        Ok(live)
    }

    async fn open(&self, within: Duration) -> Result<(Line, Found), RedisConnectError> {
        let shared = &self.shared;
        let found = self.origin.find(&shared.config, within).await?;
        let client = shared.config.client(found.info.clone()).map_err(refused)?;
        let mut connection = connection(&client, Some(IN_FLIGHT)).await?;
        let greeted = greet(&mut connection, shared, found.owns.as_ref()).await?;
        self.clock.calibrate(greeted.time);
        shared.note(greeted.role);
        let lane = match shared.wait() {
            None => None,
            Some(wait) => {
                let mut claims = self::connection(&client, None).await?;
                greet_lane(&mut claims, shared, found.owns.as_ref(), wait).await?;
                Some(Lane::open(claims, wait, shared.config.replication_timeout))
            }
        };
        Ok((Line::new(connection, lane), found))
    }

    /// Reads the server's clock. If it cannot be read in time, the line is given up.
    pub(super) async fn calibrate(&self, live: &Live, within: Duration) -> bool {
        let mut connection = live.line.connection.clone();
        let Ok(Ok(Some(server))) = timeout(within, time(&mut connection, &self.shared.scripts)).await else {
            self.give_up(live);
            return false;
        };
        self.clock.calibrate(server);
        true
    }

    /// Whether the line is the one that verbs are sent on.
    pub(super) fn is_current(&self, live: &Live) -> bool {
        self.lock().as_ref().is_some_and(|current| current.generation == live.generation)
    }

    pub(super) fn current(&self) -> Option<Live> {
        self.lock().clone()
    }

    /// Looks in the background whether the server still is where it was found, and gives up the line if it is not: a master
    /// that was cut off from its replicas and Sentinels does not know that there is another one.
    pub(super) fn doubt(self: &Arc<Self>, live: &Live) {
        if self.origin.is_certain() || self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (link, live) = (Arc::clone(self), live.clone());
        tokio::spawn(async move {
            link.look_after(&live).await;
            link.looking.store(false, Ordering::Release);
        });
    }

    async fn look_after(&self, live: &Live) {
        let found = self.origin.find(&self.shared.config, self.shared.config.connect_timeout).await;
        // Sentinels that do not answer say nothing about the master.
        if found.is_ok_and(|found| found.info.addr() != live.found.info.addr()) {
            self.give_up(live);
        }
    }

    /// Looks at the server's place. A line without a lane is given up when claims have to wait from now on.
    async fn look_at_role(&self, live: &Live) {
        let before = self.shared.wait();
        let mut connection = live.line.connection.clone();
        match timeout(CALIBRATION, Role::of(&mut connection)).await {
            Ok(Ok(role)) => self.shared.note(role),
            // Whether the line still works is for the clock's reading to find out.
            _ => return,
        }
        if before != self.shared.wait() {
            self.give_up(live);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Live>> {
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

/// Looks at the server every few seconds, until the line or the store is gone.
async fn watch(link: Weak<Link>, live: Live) {
    loop {
        tokio::time::sleep(CALIBRATION).await;
        let Some(link) = link.upgrade().filter(|link| link.is_current(&live)) else { return };
        if !link.calibrate(&live, CALIBRATION).await {
            return;
        }
        link.look_at_role(&live).await;
        link.doubt(&live);
    }
}
