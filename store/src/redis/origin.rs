//! Where a server is: at an address, where Sentinels say that the master is, or at a place in a Cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, RedisError, Value, cmd};
use tokio::time::timeout;

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
}

impl Origin {
    /// Whether the server cannot be anywhere else.
    pub(super) const fn is_certain(&self) -> bool {
        !matches!(self, Self::Sentinels(_))
    }

    /// Finds the server. Asking all Sentinels takes this long at most.
    pub(super) async fn find(&self, config: &RedisConfig, within: Duration) -> Result<Found, RedisConnectError> {
        match self {
            Self::At(info) => Ok(Found { info: info.clone(), owns: None }),
            Self::Sentinels(sentinels) => sentinels.master(config, within).await.map(|info| Found { info, owns: None }),
            Self::Node { info, address, map } => {
                let owns = map.lock().unwrap_or_else(PoisonError::into_inner).served_by(address);
                Ok(Found { info: info.clone(), owns: Some(owns) })
            }
        }
    }
}

impl Sentinels {
    /// Asks one Sentinel after the other, as the
    /// [guidelines for clients](https://redis.io/docs/latest/develop/reference/sentinel-clients/) have it. Whether the server is
    /// a master indeed is for its greeting to find out.
    async fn master(&self, config: &RedisConfig, within: Duration) -> Result<ConnectionInfo, RedisConnectError> {
        // One that hangs leaves time for the others.
        let each = within / (u32::try_from(self.addresses.len()).unwrap_or(u32::MAX).max(1));
        let mut why = None;
        for sentinel in &self.addresses {
            match timeout(each, self.ask_one(config, sentinel)).await {
                Ok(Ok(Some((host, port)))) => return Ok(like(&self.like, &host, port)),
                Ok(Ok(None)) => return Err(RedisConnectError::Master { name: self.master.to_string() }),
                Ok(Err(error)) => why = Some(error),
                Err(_) => {}
            }
        }
        let hung = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        Err(RedisConnectError::Sentinels(why.unwrap_or_else(hung)))
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

    /// What one Sentinel says; `None` if it does not know the name.
    async fn ask_one(&self, config: &RedisConfig, sentinel: &ConnectionInfo) -> Result<Option<Address>, RedisError> {
        let mut connection = connect(config, sentinel).await?;
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&*self.master);
        match ask(&mut connection, &question).await? {
            Value::Nil => Ok(None),
            reply => redis::from_redis_value::<(String, u16)>(reply).map(Some).map_err(RedisError::from),
        }
    }
}

/// For one question. Whoever asks limits the time.
async fn connect(config: &RedisConfig, server: &ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
    let settings = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    config.client(server.clone())?.get_multiplexed_async_connection_with_config(&settings).await
}
