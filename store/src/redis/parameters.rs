//! What a URL says besides where the servers are: its query.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::config::{RedisConfig, RedisConfigError};
use super::durability::{Durability, OnUnreplicated};

/// A durability is `auto`, `local`, `replicated:N` or `fsynced:N`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a durability is written auto, local, replicated:N or fsynced:N, with a number of replicas")]
pub struct DurabilityError;

impl FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(text: &str) -> Result<Self, DurabilityError> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let replicas = number.map(str::parse).transpose().map_err(|_| DurabilityError)?;
        match (name, replicas) {
            ("auto", None) => Ok(Self::Auto),
            ("local", None) => Ok(Self::Local),
            ("replicated", Some(replicas)) => Ok(Self::Replicated { replicas }),
            ("fsynced", Some(replicas)) => Ok(Self::Fsynced { replicas }),
            _ => Err(DurabilityError),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Local => f.write_str("local"),
            Self::Replicated { replicas } => write!(f, "replicated:{replicas}"),
            Self::Fsynced { replicas } => write!(f, "fsynced:{replicas}"),
        }
    }
}

/// A URL taken apart.
pub(super) struct Parts<'a> {
    /// Without its query.
    pub(super) url: &'a str,
    /// What the client itself is told.
    pub(super) query: String,
    /// What is meant for the store.
    pub(super) parameters: Vec<(&'a str, &'a str)>,
}

pub(super) fn split(url: &str) -> Result<Parts<'_>, RedisConfigError> {
    let Some((url, query)) = url.split_once('?') else {
        return Ok(Parts { url, query: String::new(), parameters: Vec::new() });
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(RedisConfigError::Parameter)?;
        match name {
            // The client's own.
            "protocol" => theirs.push(pair),
            _ => ours.push((name, value)),
        }
    }
    let query = if theirs.is_empty() { String::new() } else { format!("?{}", theirs.join("&")) };
    Ok(Parts { url, query, parameters: ours })
}

impl RedisConfig {
    /// A parameter that is not known is refused: a durability that was misspelt would be another one.
    pub(super) fn parameter(self, name: &str, value: &str) -> Result<Self, RedisConfigError> {
        let wrong = RedisConfigError::Parameter;
        Ok(match (name, value) {
            ("prefix", prefix) => return self.prefix(prefix),
            ("durability", durability) => self.durability(durability.parse().map_err(|_| wrong)?),
            ("on_unreplicated", "refuse") => self.on_unreplicated(OnUnreplicated::Refuse),
            ("on_unreplicated", "proceed") => self.on_unreplicated(OnUnreplicated::Proceed),
            ("replication_timeout_ms", millis) => {
                self.replication_timeout(Duration::from_millis(millis.parse().map_err(|_| wrong)?))
            }
            _ => return Err(wrong),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn durabilities_are_read_as_they_are_written() {
        for text in ["auto", "local", "replicated:2", "fsynced:0"] {
            assert_eq!(text.parse::<Durability>().unwrap().to_string(), text);
        }
        for text in ["", "Auto", "replicated", "replicated:", "replicated:-1", "local:1"] {
            assert_eq!(text.parse::<Durability>(), Err(DurabilityError), "{text}");
        }
    }

    #[test]
    fn a_url_carries_settings_and_no_misspelt_ones() {
        let url = "redis+sentinel://a:1/m?protocol=resp3&prefix=p&durability=replicated:2&replication_timeout_ms=250";
        let config = RedisConfig::new(url).unwrap();
        assert_eq!(&*config.prefix, "p");
        assert!(config.servers.addresses().ends_with("/m"), "the client's own is no part of the name");
        assert_eq!(config.durability, Durability::Replicated { replicas: 2 });
        assert_eq!(config.replication_timeout, Duration::from_millis(250));
        for query in ["durabilty=local", "durability=some", "durability", "on_unreplicated=no"] {
            let config = RedisConfig::new(&format!("redis://a?{query}"));
            assert!(matches!(config, Err(RedisConfigError::Parameter)), "{query}");
        }
    }
}
