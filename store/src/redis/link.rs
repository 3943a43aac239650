//! The one connection: made when it is needed, shared by all verbs, replaced when it is of no use any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use super::NAME;
use super::clock::ServerClock;
use super::config::RedisConfig;
use super::greeting::{RedisConnectError, greet, refused, time};
use super::patience::Patience;
use crate::{Deadline, DeadlinePassed, StoreError};

/// Commands that may be written and not yet answered; the next one waits, and its deadline with it.
const IN_FLIGHT: usize = 4096;

/// How often the server's clock is read. It also notices a connection that died without a word.
const CALIBRATION: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Link {
    client: redis::Client,
    config: RedisConfig,
    live: Mutex<Option<Live>>,
    /// Held while connecting, so that many verbs make one connection.
    connecting: tokio::sync::Mutex<Pause>,
    pub(super) patience: Patience,
    pub(super) clock: ServerClock,
    generations: AtomicU64,
}

/// A connection that was greeted.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    generation: u64,
}

/// When the next attempt to connect may be made.
struct Pause {
    not_before: Instant,
    next: Duration,
}

impl Link {
    /// Connects for the first time.
    pub(super) async fn open(config: RedisConfig) -> Result<Arc<Self>, RedisConnectError> {
        let client = config.client().map_err(refused)?;
        let link = Arc::new(Self {
            client,
            config,
            live: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(Pause { not_before: Instant::now(), next: FIRST_PAUSE }),
            patience: Patience::new(),
            clock: ServerClock::new(),
            generations: AtomicU64::new(0),
        });
        link.connect(None).await?;
        Ok(link)
    }

    /// The connection; a new one if there is none, for which the caller waits until its deadline.
    pub(super) async fn live(self: &Arc<Self>, deadline: Deadline) -> Result<Live, StoreError> {
        if deadline.is_past() {
            return Err(StoreError::not_applied(NAME, DeadlinePassed));
        }
        if let Some(live) = self.current() {
            return Ok(live);
        }
        timeout(deadline.remaining(), self.reconnect(deadline))
            .await
            .unwrap_or_else(|_| Err(StoreError::not_applied(NAME, DeadlinePassed)))
    }

    /// Gives up a connection, so that the next verb makes a new one. What was sent on it may still be carried out.
    pub(super) fn give_up(&self, live: &Live) {
        self.lock().take_if(|current| current.generation == live.generation);
    }

    async fn reconnect(self: &Arc<Self>, deadline: Deadline) -> Result<Live, StoreError> {
        let mut pause = self.connecting.lock().await;
        loop {
            if let Some(live) = self.current() {
                return Ok(live);
            }
            tokio::time::sleep_until(pause.not_before.into()).await;
            match self.connect(Some(deadline)).await {
                Ok(live) => {
                    *pause = Pause { not_before: Instant::now(), next: FIRST_PAUSE };
                    return Ok(live);
                }
                Err(error) => {
                    pause.lengthen();
                    tracing::warn!(%error, "no connection to Redis");
                    if pause.not_before >= Instant::now() + deadline.remaining() {
                        return Err(StoreError::not_applied(NAME, error));
                    }
                }
            }
        }
    }

    async fn connect(self: &Arc<Self>, deadline: Option<Deadline>) -> Result<Live, RedisConnectError> {
        let within = deadline
            .map_or(self.config.connect_timeout, |deadline| deadline.remaining().min(self.config.connect_timeout));
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(within))
            // The deadline of a verb is watched by one tick for all of them.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(IN_FLIGHT)
            .set_concurrency_limit(IN_FLIGHT);
        let greeted = timeout(within, async {
            let mut connection =
                self.client.get_multiplexed_async_connection_with_config(&settings).await.map_err(refused)?;
            let server = greet(&mut connection, &self.config.prefix).await?;
            self.clock.calibrate(server);
            Ok(connection)
        });
        let connection = greeted.await.unwrap_or(Err(RedisConnectError::Silent))?;
        let live = Live { connection, generation: self.generations.fetch_add(1, Ordering::Relaxed) };
        *self.lock() = Some(live.clone());
        tokio::spawn(watch(Arc::downgrade(self), live.clone()));
        Ok(live)
    }

    /// Reads the server's clock. If it cannot be read in time, the connection is given up.
    pub(super) async fn calibrate(&self, live: &Live, within: Duration) -> bool {
        let mut connection = live.connection.clone();
        let Ok(Ok(Some(server))) = timeout(within, time(&mut connection)).await else {
            self.give_up(live);
            return false;
        };
        self.clock.calibrate(server);
        true
    }

    /// Whether the connection is the one that verbs are sent on.
    pub(super) fn is_current(&self, live: &Live) -> bool {
        self.lock().as_ref().is_some_and(|current| current.generation == live.generation)
    }

    /// The connection, if there is one.
    pub(super) fn current(&self) -> Option<Live> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pause {
    /// Doubles the pause, and draws it between half and the whole, so that many servers do not return at once.
    fn lengthen(&mut self) {
        let spread = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let half = self.next / 2;
        self.not_before = Instant::now() + half + half.mul_f64(spread);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

/// Reads the server's clock every few seconds, until the connection or the store is gone.
async fn watch(link: Weak<Link>, live: Live) {
    loop {
        tokio::time::sleep(CALIBRATION).await;
        let Some(link) = link.upgrade().filter(|link| link.is_current(&live)) else { return };
        if !link.calibrate(&live, CALIBRATION).await {
            return;
        }
    }
}
