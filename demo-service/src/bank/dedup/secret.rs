//! The secret that the bank's keys are digested with, in a file of its own: drawn once, and then always the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::task::spawn_blocking;
use tower_idempotency::Secret;

/// Hexadecimal digits of 32 bytes.
const DIGITS: usize = 64;

/// Why there is no secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read or written.
    #[error("the secret of the bank's keys, {}, cannot be read or written: {source}; let this user do both", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The keys are there, and the secret is not.
    #[error(
        "the secret of the bank's keys, {}, is gone, and with another one every key in {} is new: restore the file from a \
         backup. Removing the keys as well means that repeated transfers are executed again",
        path.display(), keys.display()
    )]
    Gone {
        /// The file of the secret.
        path: PathBuf,
        /// The file of the keys.
        keys: PathBuf,
    },
    /// The file is there and does not hold a secret.
    #[error("{} does not hold a secret of 64 hexadecimal digits; restore the file from a backup", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

/// The secret in this file. It is drawn and written down where there is none, unless there are keys already.
pub(super) async fn read_or_create(path: PathBuf, keys: &Path) -> Result<Secret, SecretError> {
    let (file, keys) = (path.clone(), keys.to_owned());
    let read = spawn_blocking(move || read_or_create_blocking(&file, &keys)).await;
    read.unwrap_or_else(|error| Err(SecretError::Io { path, source: error.into() }))
}

fn read_or_create_blocking(path: &Path, keys: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::Io { path: path.to_owned(), source };
    let digits = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if keys.try_exists().map_err(failed)? {
                return Err(SecretError::Gone { path: path.to_owned(), keys: keys.to_owned() });
            }
            create(path).map_err(failed)?
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let digits = digits.trim();
    let is_one = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let secret = Secret::new(digits).ok().filter(|_| is_one);
    secret.ok_or_else(|| SecretError::Foreign { path: path.to_owned() })
}

/// Complete from the moment that it has its name, and on the disk before anything is digested with it.
fn create(path: &Path) -> io::Result<String> {
    let digits = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    writeln!(file, "{digits}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    if let Some(directory) = path.parent().filter(|parent| cfg!(unix) && !parent.as_os_str().is_empty()) {
        File::open(directory)?.sync_all()?;
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_drawn_once() {
        let directory = tempfile::tempdir().unwrap();
        let (path, keys) = (directory.path().join("secret"), directory.path().join("keys"));
        read_or_create(path.clone(), &keys).await.unwrap();
        let drawn = fs::read_to_string(&path).unwrap();
        fs::write(&keys, "").unwrap();
        read_or_create(path.clone(), &keys).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), drawn);
    }

    #[tokio::test]
    async fn keys_without_their_secret_are_not_given_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let (path, keys) = (directory.path().join("secret"), directory.path().join("keys"));
        fs::write(&keys, "").unwrap();
        let error = read_or_create(path.clone(), &keys).await.unwrap_err();
        assert!(matches!(error, SecretError::Gone { .. }), "{error:?}");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_holds_none_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        for odd in ["", "a secret that is long enough but not drawn here", &"g".repeat(DIGITS)] {
            fs::write(&path, odd).unwrap();
            let error = read_or_create(path.clone(), directory.path()).await.unwrap_err();
            assert!(matches!(error, SecretError::Foreign { .. }), "{error:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), odd);
        }
    }
}
