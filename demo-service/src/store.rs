//! Where idempotency keys are kept: the choice, and opening what was chosen.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use std::time::{Duration, Instant};

use idempotency_store::embedded::OpenError;
use idempotency_store::{
    BoxStore, EmbeddedStore, EncryptedStore, KeyRing, MemoryStore, RedisConfig, RedisConnectError, RedisStore,
};
use thiserror::Error;

/// Where the keys are when nobody says otherwise; `data/` is git-ignored.
const DEFAULT_PATH: &str = "data/idempotency.redb";

/// Which store to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreChoice {
    /// In this process's memory, gone when it ends.
    Memory,
    /// In a file of this host.
    Embedded(PathBuf),
    /// In a Redis server, which other services may share.
    Redis(Url),
}

/// The URL of a Redis server. It may hold a password, so it is shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url(String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("redis", &self.0));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "{scheme}://{place}")
    }
}

/// The store cannot be opened.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// Its file.
    #[error(transparent)]
    File(#[from] OpenError),
    /// Its server.
    #[error("{}", chain(.0))]
    Server(#[from] RedisConnectError),
}

/// An error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// The store's name cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "write it as memory, as embedded:PATH with the path of a file, or as redis://HOST:PORT, \
     redis+sentinel://HOST:PORT,HOST:PORT/MASTER or redis+cluster://HOST:PORT,HOST:PORT (rediss:// for TLS, unix:///PATH)"
)]
pub(crate) struct UnknownStore;

impl Default for StoreChoice {
    fn default() -> Self {
        Self::Embedded(PathBuf::from(DEFAULT_PATH))
    }
}

impl FromStr for StoreChoice {
    type Err = UnknownStore;

    fn from_str(text: &str) -> Result<Self, UnknownStore> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            None if text == "embedded" => Ok(Self::default()),
            Some(("embedded", path)) if !path.is_empty() => Ok(Self::Embedded(path.into())),
            Some(_) if RedisConfig::new(text).is_ok() => Ok(Self::Redis(Url(text.into()))),
            _ => Err(UnknownStore),
        }
    }
}

impl StoreChoice {
    /// The value of `--store` that means this, with the password that a URL may hold: for a process's environment, and
    /// never to be shown.
    pub(crate) fn argument(&self) -> OsString {
        match self {
            Self::Memory => "memory".into(),
            Self::Embedded(path) => {
                let mut argument = OsString::from("embedded:");
                argument.push(path);
                argument
            }
            Self::Redis(Url(url)) => url.into(),
        }
    }
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

/// An open store.
#[derive(Clone, Debug)]
pub(crate) struct OpenStore {
    /// For the layer.
    pub(crate) store: BoxStore,
    /// The same once more, if it has a file to close.
    embedded: Option<EmbeddedStore>,
    /// And if it has a server to examine.
    redis: Option<RedisStore>,
}

impl OpenStore {
    /// Opens what was chosen. A server that is not there yet is tried again for as long as `patience` lasts.
    pub(crate) async fn open(choice: &StoreChoice, patience: Duration) -> Result<Self, StoreError> {
        match choice {
            StoreChoice::Redis(url) => {
                let redis = connect(&url.0, patience).await?;
                Ok(Self { store: BoxStore::new(redis.clone()), embedded: None, redis: Some(redis) })
            }
            StoreChoice::Memory => Ok(Self { store: BoxStore::new(MemoryStore::new()), embedded: None, redis: None }),
            StoreChoice::Embedded(path) => {
                create_directory(path).await;
                let embedded = EmbeddedStore::open(path).await?;
                Ok(Self { store: BoxStore::new(embedded.clone()), embedded: Some(embedded), redis: None })
            }
        }
    }

    /// The store, if it is one in Redis.
    pub(crate) const fn redis(&self) -> Option<&RedisStore> {
        self.redis.as_ref()
    }

    /// The same, and what it keeps of answers encrypted under these keys, if there are any. Whether those that are not are
    /// taken all the same is for `accept_plaintext` to say.
    pub(crate) fn sealed(self, ring: Option<KeyRing>, accept_plaintext: bool) -> Self {
        let Some(ring) = ring else { return self };
        if accept_plaintext {
            tracing::warn!(
                "answers that are not encrypted are served; unset --accept-plaintext when a retention has passed"
            );
        }
        let sealed = EncryptedStore::new(self.store, ring).accept_plaintext(accept_plaintext);
        Self { store: BoxStore::new(sealed), ..self }
    }

    /// Closes the file, so that the next process finds it free.
    pub(crate) async fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close().await;
        }
    }
}

/// How often a server that is not there yet is tried.
const RETRY: Duration = Duration::from_millis(250);

async fn connect(url: &str, patience: Duration) -> Result<RedisStore, RedisConnectError> {
    let begun = Instant::now();
    loop {
        match RedisStore::connect(url).await {
            Err(RedisConnectError::Unreachable(_) | RedisConnectError::Silent) if begun.elapsed() < patience => {
                tokio::time::sleep(RETRY).await;
            }
            connected => return connected,
        }
    }
}

/// Where this fails, opening the file fails as well, and says which file it is.
async fn create_directory(path: &Path) {
    if let Some(directory) = path.parent() {
        let _ = tokio::fs::create_dir_all(directory).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for choice in [StoreChoice::Memory, StoreChoice::default(), StoreChoice::Embedded("C:\\keys".into())] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("embedded".parse(), Ok(StoreChoice::default()));
        let text = "redis://user:secret@127.0.0.1:6379/1";
        assert_eq!(text.parse::<StoreChoice>().unwrap().argument(), text);
    }

    #[test]
    fn shows_no_password() {
        let choice: StoreChoice = "redis://user:secret@127.0.0.1:6379/1".parse().unwrap_or_default();
        assert_eq!(choice.to_string(), "redis://127.0.0.1:6379/1");
        assert_eq!(format!("{choice:?}"), "Redis(redis://127.0.0.1:6379/1)");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in ["", "Memory", "memory:", "redis:", "http://127.0.0.1", "embedded:"] {
            assert_eq!(text.parse::<StoreChoice>(), Err(UnknownStore), "{text:?}");
        }
    }
}
