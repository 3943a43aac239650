//! Where the server is and what its keys are called.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates};

/// A server, how to reach it, and the prefix of its keys. `Debug` shows neither user nor password.
///
/// ```
/// use idempotency_store::RedisConfig;
///
/// let config = RedisConfig::new("redis://user:password@127.0.0.1:6379/0")?.prefix("payments")?;
/// # let _ = config;
/// # Ok::<(), idempotency_store::RedisConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    pub(super) info: ConnectionInfo,
    pub(super) prefix: Box<str>,
    pub(super) connect_timeout: Duration,
    pub(super) root_certificate: Option<Vec<u8>>,
}

/// Why a server cannot even be tried. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConfigError {
    /// The URL is not one of a single Redis server.
    #[error(
        "not the URL of a Redis server: use redis://[user:password@]host[:port][/database], rediss://.. for TLS, or \
         unix:///path"
    )]
    Url(#[source] RedisError),
    /// The prefix would be mistaken for a part of a key.
    #[error("a key prefix must be 1 to 64 visible ASCII characters without braces")]
    Prefix,
}

impl RedisConfig {
    /// The server of a URL: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database.
    ///
    /// # Errors
    ///
    /// [`RedisConfigError::Url`].
    pub fn new(url: &str) -> Result<Self, RedisConfigError> {
        let info = url.into_connection_info().map_err(RedisConfigError::Url)?;
        // Without it, Nagle's algorithm holds back a command until the previous reply has been acknowledged.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        Ok(Self { info, prefix: "idem".into(), connect_timeout: Duration::from_secs(1), root_certificate: None })
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

    /// How long one attempt to connect may take. Default 1 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The certificate, in PEM, that the server's is verified against instead of the system's.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    pub(super) fn client(&self) -> Result<redis::Client, RedisError> {
        // rustls is compiled without a provider unless somebody chooses one. An application that has is left its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match &self.root_certificate {
            None => redis::Client::open(self.info.clone()),
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                redis::Client::build_with_tls(self.info.clone(), certificates)
            }
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.info.addr().to_string();
        f.debug_struct("RedisConfig").field("address", &address).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
