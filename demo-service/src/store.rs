//! Where idempotency keys are kept: the choice, and opening what was chosen.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use idempotency_store::embedded::OpenError;
use idempotency_store::{BoxStore, EmbeddedStore, MemoryStore};
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
}

/// The store's name cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("write it as memory, or as embedded:PATH with the path of a file")]
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
            _ => Err(UnknownStore),
        }
    }
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
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
}

impl OpenStore {
    /// Opens what was chosen.
    pub(crate) async fn open(choice: &StoreChoice) -> Result<Self, OpenError> {
        match choice {
            StoreChoice::Memory => Ok(Self { store: BoxStore::new(MemoryStore::new()), embedded: None }),
            StoreChoice::Embedded(path) => {
                create_directory(path).await;
                let embedded = EmbeddedStore::open(path).await?;
                Ok(Self { store: BoxStore::new(embedded.clone()), embedded: Some(embedded) })
            }
        }
    }

    /// Closes the file, so that the next process finds it free.
    pub(crate) async fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close().await;
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
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in ["", "Memory", "memory:", "redis://127.0.0.1", "embedded:"] {
            assert_eq!(text.parse::<StoreChoice>(), Err(UnknownStore), "{text:?}");
        }
    }
}
