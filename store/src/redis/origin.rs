//! Where a server is: at an address, where Sentinels say that the master is, or at a place in a Cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, RedisError, cmd};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::RedisConfig;
use super::connect_error::RedisConnectError;
use super::line::ask;
use super::servers::{Sentinels, like};
use super::slots::{Address, SlotMap, SlotRanges};

/// Where to look for a server.
pub(super) enum Origin {
    At(ConnectionInfo),
    Sentinels(Sentinels),
    Node { info: ConnectionInfo, address: Address, map: Arc<Mutex<SlotMap>> },
}

/// Where it was found.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) info: ConnectionInfo,
    /// The slots that it serves, in a Cluster.
    pub(super) owns: Option<SlotRanges>,
    /// Whether enough agree that it is there. Otherwise it may have been cut off together with who named it.
    pub(super) is_agreed: bool,
}

impl Origin {
    /// Whether the server cannot be anywhere else.
    pub(super) const fn is_certain(&self) -> bool {
        !matches!(self, Self::Sentinels(_))
    }

    /// Finds the server. Asking all Sentinels takes this long at most.
    pub(super) async fn find(&self, config: &RedisConfig, within: Duration) -> Result<Found, RedisConnectError> {
        match self {
            Self::At(info) => Ok(Found { info: info.clone(), owns: None, is_agreed: true }),
            Self::Sentinels(sentinels) => sentinels.master(config, within).await,
            Self::Node { info, address, map } => {
                let owns = map.lock().unwrap_or_else(PoisonError::into_inner).served_by(address);
                Ok(Found { info: info.clone(), owns: Some(owns), is_agreed: true })
            }
        }
    }
}

impl Sentinels {
    /// Asks all Sentinels at once, and believes the one with the newest configuration: one that was cut off with an old master
    /// goes on naming it. Whether the server is a master indeed is for its greeting to find out.
    async fn master(&self, config: &RedisConfig, within: Duration) -> Result<Found, RedisConnectError> {
        let mut asking = JoinSet::new();
        for sentinel in &self.addresses {
            let (config, sentinel, name) = (config.clone(), sentinel.clone(), self.master.clone());
            asking.spawn(async move { timeout(within, ask_one(&config, &sentinel, &name)).await });
        }
        let until = Instant::now() + within;
        let (mut newest, mut knows_none, mut why) = (None::<Named>, false, None);
        let mut naming = 0;
        // More than half that name one are enough, as they are to fail over: one that hangs is not waited for.
        let is_majority = |naming: usize| naming * 2 > self.addresses.len();
        while !is_majority(naming)
            && let Ok(Some(said)) = timeout_at(until, asking.join_next()).await
        {
            match said {
                Ok(Ok(Ok(Some(named)))) => {
                    naming += 1;
                    newest = newest.filter(|newest| newest.epoch >= named.epoch).or(Some(named));
                }
                Ok(Ok(Ok(None))) => knows_none = true,
                Ok(Ok(Err(error))) => why = Some(error),
                // It hangs, or the runtime ends.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        match newest {
            Some(Named { address: (host, port), .. }) => {
                Ok(Found { info: like(&self.like, &host, port), owns: None, is_agreed: is_majority(naming) })
            }
            None if knows_none => Err(RedisConnectError::Master { name: self.master.to_string() }),
            None => {
                let hung = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
                Err(RedisConnectError::Sentinels(why.unwrap_or_else(hung)))
            }
        }
    }

    /// A connection to the first Sentinel that accepts one.
    pub(super) async fn any(
        &self,
        config: &RedisConfig,
        within: Duration,
    ) -> Result<MultiplexedConnection, RedisConnectError> {
        let each = within / (u32::try_from(self.addresses.len()).unwrap_or(u32::MAX).max(1));
        let mut why = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        for sentinel in &self.addresses {
            match timeout(each, connect(config, sentinel)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => why = error,
                Err(_) => {}
            }
        }
        Err(RedisConnectError::Sentinels(why))
    }
}

/// Whom a Sentinel takes for the master, by which configuration.
struct Named {
    address: Address,
    epoch: u64,
}

/// What one Sentinel says; `None` if it does not know the name.
async fn ask_one(config: &RedisConfig, sentinel: &ConnectionInfo, master: &str) -> Result<Option<Named>, RedisError> {
    let mut connection = connect(config, sentinel).await?;
    let mut question = cmd("SENTINEL");
    question.arg("MASTER").arg(master);
    let fields = match ask(&mut connection, &question).await {
        Ok(reply) => redis::from_redis_value::<HashMap<String, String>>(reply)?,
        // `-ERR No such master with that name`
        Err(error) if error.to_string().contains("No such master") => return Ok(None),
        Err(error) => return Err(error),
    };
    let number = |name: &str| fields.get(name).and_then(|value| value.parse::<u64>().ok());
    // While a fail-over is under way, the address is the old master's until the new one is one.
    let address = fields.get("ip").cloned().zip(number("port").and_then(|port| u16::try_from(port).ok()));
    let unreadable = || RedisError::from(std::io::Error::from(std::io::ErrorKind::InvalidData));
    let address = address.ok_or_else(unreadable)?;
    Ok(Some(Named { address, epoch: number("config-epoch").unwrap_or(0) }))
}

/// For one question. Whoever asks limits the time.
async fn connect(config: &RedisConfig, server: &ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
    let settings = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    config.client(server.clone())?.get_multiplexed_async_connection_with_config(&settings).await
}
