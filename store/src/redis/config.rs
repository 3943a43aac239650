//! Where the servers are, what their keys are called, and what a claim has to wait for.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, RedisError, TlsCertificates};

use super::durability::{Durability, OnUnreplicated};
use super::parameters::{Parts, split};
use super::script::Scripting;
use super::servers::Servers;

/// Servers, how to reach them, and the prefix of the keys. `Debug` shows neither user nor password.
///
/// | URL | what it means |
/// |---|---|
/// | `redis://[user:password@]host[:port][/database]` | one server |
/// | `unix:///path` | one server on this host |
/// | `redis+sentinel://[user:password@]host:port,host:port/master[/database]` | the master of this name, as these Sentinels have it |
/// | `redis+cluster://[user:password@]host:port,host:port` | a Cluster, found through any of these nodes |
/// | `rediss://`, `rediss+sentinel://`, `rediss+cluster://` | the same over TLS |
///
/// User and password are those of the servers; Sentinels have [their own](RedisConfig::sentinel_credentials). A query sets what the
/// methods set: `?prefix=payments&durability=replicated:2&on_unreplicated=proceed&replication_timeout_ms=250`, and `protocol=resp3`.
///
/// ```
/// use idempotency_store::{Durability, RedisConfig};
///
/// let one = RedisConfig::new("redis://user:password@127.0.0.1:6379/0")?.prefix("payments")?;
/// let pair = RedisConfig::new("redis+sentinel://10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379/payments")?
///     .durability(Durability::Replicated { replicas: 2 });
/// # let _ = (one, pair);
/// # Ok::<(), idempotency_store::RedisConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    pub(super) servers: Servers,
    pub(super) prefix: Box<str>,
    pub(super) connect_timeout: Duration,
    pub(super) root_certificate: Option<Vec<u8>>,
    pub(super) durability: Durability,
    pub(super) on_unreplicated: OnUnreplicated,
    pub(super) replication_timeout: Duration,
    pub(super) scripting: Scripting,
}

/// Why servers cannot even be tried. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConfigError {
    /// The URL is of something else.
    #[error(
        "not the URL of a Redis server: use redis://[user:password@]host[:port][/database], rediss://.. for TLS, \
         unix:///path, redis+sentinel://host:port,host:port/master or redis+cluster://host:port,host:port"
    )]
    Scheme,
    /// The scheme is right and the rest is not.
    #[error(
        "the URL of the Redis server cannot be read: redis://[user:password@]host[:port][/database], percent-encoded"
    )]
    Url(#[source] RedisError),
    /// The query says something that is not known, or not understood.
    #[error(
        "the URL's query has a parameter other than prefix, durability, on_unreplicated, replication_timeout_ms and protocol, \
         or one with a value that it does not take"
    )]
    Parameter,
    /// Sentinels were given, and not what to ask them for.
    #[error(
        "the URL names no master: redis+sentinel://host:port,host:port/NAME, with the name that the Sentinels monitor"
    )]
    MasterName,
    /// A Cluster has one database only.
    #[error("a Cluster has only database 0: leave the path out of redis+cluster://host:port,host:port")]
    ClusterDatabase,
    /// The prefix would be mistaken for a part of a key.
    #[error("a key prefix must be 1 to 64 visible ASCII characters without braces")]
    Prefix,
}

impl RedisConfig {
    /// The servers of a URL.
    ///
    /// # Errors
    ///
    /// [`RedisConfigError`], by what is wrong with it.
    pub fn new(url: &str) -> Result<Self, RedisConfigError> {
        let Parts { url, query, parameters } = split(url)?;
        let config = Self {
            servers: Servers::of(url, &query)?,
            prefix: "idem".into(),
            connect_timeout: Duration::from_secs(1),
            root_certificate: None,
            durability: Durability::default(),
            on_unreplicated: OnUnreplicated::default(),
            replication_timeout: Duration::from_millis(100),
            scripting: Scripting::default(),
        };
        parameters.into_iter().try_fold(config, |config, (name, value)| config.parameter(name, value))
    }

    /// What every key begins with, followed by `:{..}`. Default `idem`. Give services that share a server one each.
    ///
    /// # Errors
    ///
    /// [`RedisConfigError::Prefix`] unless it is 1 to 64 visible ASCII characters without braces, which delimit the part
    /// of a key that decides where it lives in a cluster.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, RedisConfigError> {
        let visible = prefix.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'{' && byte != b'}');
        if !visible || !(1..=64).contains(&prefix.len()) {
            return Err(RedisConfigError::Prefix);
        }
        self.prefix = prefix.into();
        Ok(self)
    }

    /// How long one attempt to connect may take, asking a Sentinel included. Default 1 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The certificate, in PEM, that the servers' are verified against instead of the system's.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// What a claim waits for before it is granted. Default [`Durability::Auto`].
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What becomes of a claim that its durability was not reached for. Default [`OnUnreplicated::Refuse`].
    pub const fn on_unreplicated(mut self, on_unreplicated: OnUnreplicated) -> Self {
        self.on_unreplicated = on_unreplicated;
        self
    }

    /// How long a claim waits for replicas and disks. Default 100 ms; what is less than a millisecond counts as one. Claims of
    /// a process share the wait, and the next ones begin theirs when it is over.
    pub const fn replication_timeout(mut self, timeout: Duration) -> Self {
        self.replication_timeout = timeout;
        self
    }

    /// User and password of the Sentinels. Default none. Of no effect on other servers.
    pub fn sentinel_credentials(mut self, user: Option<&str>, password: &str) -> Self {
        if let Servers::Sentinel(sentinels) = self.servers {
            self.servers = Servers::Sentinel(sentinels.authenticated(user, password));
        }
        self
    }

    /// How scripts are run. Default [`Scripting::Eval`].
    pub const fn scripting(mut self, scripting: Scripting) -> Self {
        self.scripting = scripting;
        self
    }

    pub(super) fn client(&self, info: ConnectionInfo) -> Result<redis::Client, RedisError> {
        // rustls is compiled without a provider unless somebody chooses one. An application that has is left its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match &self.root_certificate {
            None => redis::Client::open(info),
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                redis::Client::build_with_tls(info, certificates)
            }
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &self.servers.addresses())
            .field("prefix", &self.prefix)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
