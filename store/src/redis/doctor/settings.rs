//! The settings that decide whether a server's word can be trusted: as the server says them, or as an operator declares
//! them where the server may not be asked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A setting. Most have the name that `redis.conf` gives them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Setting {
    /// `appendonly`: `yes` or `no`.
    Appendonly,
    /// `appendfsync`: `always`, `everysec` or `no`.
    Appendfsync,
    /// `no-appendfsync-on-rewrite`: `yes` or `no`.
    NoAppendfsyncOnRewrite,
    /// `maxmemory`: bytes, or with a unit such as `2gb`; 0 is no limit.
    Maxmemory,
    /// `maxmemory-policy`: `noeviction` or one of the others.
    MaxmemoryPolicy,
    /// `save`: when a snapshot is written.
    Save,
    /// `min-replicas-to-write`: a number.
    MinReplicasToWrite,
    /// `replica-read-only`: `yes` or `no`.
    ReplicaReadOnly,
    /// `replica-priority`: a number.
    ReplicaPriority,
    /// `proto-max-bulk-len`: bytes, or with a unit.
    ProtoMaxBulkLen,
    /// `timeout`: seconds; 0 is never.
    Timeout,
    /// `persistence`: `external` where a provider keeps every acknowledged write durably outside of Redis's own files,
    /// as `MemoryDB`'s transaction log does. No setting of a server; only declared.
    Persistence,
    /// `lua-fixes`: `backported` where a distribution has repaired the known holes without a new version number. No
    /// setting of a server; only declared.
    LuaFixes,
}

impl Setting {
    pub(crate) const ALL: [Self; 13] = [
        Self::Appendonly,
        Self::Appendfsync,
        Self::NoAppendfsyncOnRewrite,
        Self::Maxmemory,
        Self::MaxmemoryPolicy,
        Self::Save,
        Self::MinReplicasToWrite,
        Self::ReplicaReadOnly,
        Self::ReplicaPriority,
        Self::ProtoMaxBulkLen,
        Self::Timeout,
        Self::Persistence,
        Self::LuaFixes,
    ];

    /// The name, as `redis.conf` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appendonly => "appendonly",
            Self::Appendfsync => "appendfsync",
            Self::NoAppendfsyncOnRewrite => "no-appendfsync-on-rewrite",
            Self::Maxmemory => "maxmemory",
            Self::MaxmemoryPolicy => "maxmemory-policy",
            Self::Save => "save",
            Self::MinReplicasToWrite => "min-replicas-to-write",
            Self::ReplicaReadOnly => "replica-read-only",
            Self::ReplicaPriority => "replica-priority",
            Self::ProtoMaxBulkLen => "proto-max-bulk-len",
            Self::Timeout => "timeout",
            Self::Persistence => "persistence",
            Self::LuaFixes => "lua-fixes",
        }
    }

    /// Whether a server can be asked for it.
    pub(crate) const fn is_of_servers(self) -> bool {
        !matches!(self, Self::Persistence | Self::LuaFixes)
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// What may be declared.
    fn takes(self, value: &str) -> bool {
        match self {
            Self::Appendonly | Self::NoAppendfsyncOnRewrite | Self::ReplicaReadOnly => ["yes", "no"].contains(&value),
            Self::Appendfsync => ["always", "everysec", "no"].contains(&value),
            Self::Maxmemory | Self::ProtoMaxBulkLen => bytes(value).is_some(),
            Self::MinReplicasToWrite | Self::ReplicaPriority | Self::Timeout => value.parse::<u64>().is_ok(),
            Self::MaxmemoryPolicy => POLICIES.contains(&value),
            Self::Save => true,
            Self::Persistence => value == "external",
            Self::LuaFixes => value == "backported",
        }
    }
}

const POLICIES: [&str; 10] = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-lrm",
    "volatile-random",
    "volatile-ttl",
];

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A setting that an operator vouches for: `name=value`. It counts where the server itself does not say.
///
/// ```
/// use idempotency_store::redis::doctor::{Declaration, Setting};
///
/// let declared: Declaration = "appendfsync=always".parse()?;
/// assert_eq!(declared, Declaration::new(Setting::Appendfsync, "always")?);
/// assert!("appendfsync=sometimes".parse::<Declaration>().is_err());
/// # Ok::<(), idempotency_store::redis::doctor::DeclarationError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declaration {
    pub(crate) setting: Setting,
    pub(crate) value: String,
}

/// Why something cannot be declared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeclarationError {
    /// It is not `name=value`, or there is no such name.
    #[error("write it as NAME=VALUE, where NAME is one of {}", names())]
    Name,
    /// The setting does not take the value.
    #[error("{setting} does not take the value {value:?}")]
    Value {
        /// The setting.
        setting: Setting,
        /// The value that it does not take.
        value: String,
    },
}

fn names() -> String {
    Setting::ALL.map(Setting::name).join(", ")
}

impl Declaration {
    /// Vouches for a setting.
    ///
    /// # Errors
    ///
    /// [`DeclarationError::Value`] if a server would not take the value either.
    pub fn new(setting: Setting, value: &str) -> Result<Self, DeclarationError> {
        let value = value.to_owned();
        if !setting.takes(&value) {
            return Err(DeclarationError::Value { setting, value });
        }
        Ok(Self { setting, value })
    }
}

impl FromStr for Declaration {
    type Err = DeclarationError;

    fn from_str(text: &str) -> Result<Self, DeclarationError> {
        let (name, value) = text.split_once('=').ok_or(DeclarationError::Name)?;
        Self::new(Setting::named(name.trim()).ok_or(DeclarationError::Name)?, value.trim())
    }
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.setting, self.value)
    }
}

/// Values of settings, of which any may be unknown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Settings(BTreeMap<Setting, String>);

impl Settings {
    pub(crate) fn set(&mut self, setting: Setting, value: impl Into<String>) {
        self.0.insert(setting, value.into());
    }

    pub(crate) fn get(&self, setting: Setting) -> Option<&str> {
        self.0.get(&setting).map(String::as_str)
    }

    /// What these say, and where they do not, what `others` say.
    pub(crate) fn or(&self, others: &Self) -> Self {
        let mut settings = others.0.clone();
        settings.extend(self.0.clone());
        Self(settings)
    }

    pub(crate) fn number(&self, setting: Setting) -> Option<u64> {
        self.get(setting).and_then(bytes)
    }
}

/// The number of bytes that `redis.conf` means: `2gb` is 2 GiB, `2g` is 2,000,000,000.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match text.strip_prefix(digits)? {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_redis_reads_them() {
        let cases = [("0", Some(0)), ("512mb", Some(512 << 20)), ("2g", Some(2_000_000_000)), ("1GB", Some(1 << 30))];
        for (text, size) in cases.into_iter().chain([("", None), ("gb", None), ("1tb", None), ("-1", None)]) {
            assert_eq!(bytes(text), size, "{text}");
        }
    }

    #[test]
    fn every_setting_is_found_by_its_name() {
        for setting in Setting::ALL {
            assert_eq!(Setting::named(setting.name()), Some(setting));
        }
    }

    #[test]
    fn what_no_server_takes_cannot_be_declared() {
        for text in ["appendonly", "appendonly=maybe", "maxmemory=much", "timeout=soon", "maxmemory-policy=lru", "x=y"]
        {
            assert!(text.parse::<Declaration>().is_err(), "{text}");
        }
        for text in ["maxmemory=2gb", "persistence=external", "save=", " timeout = 0 "] {
            assert!(text.parse::<Declaration>().is_ok(), "{text}");
        }
        let error = "appendfsync=sometimes".parse::<Declaration>().unwrap_err().to_string();
        assert_eq!(error, "appendfsync does not take the value \"sometimes\"");
    }

    #[test]
    fn what_the_server_says_counts_more_than_what_is_declared() {
        let (mut seen, mut declared) = (Settings::default(), Settings::default());
        seen.set(Setting::Appendonly, "no");
        declared.set(Setting::Appendonly, "yes");
        declared.set(Setting::Timeout, "0");
        let both = seen.or(&declared);
        assert_eq!((both.get(Setting::Appendonly), both.number(Setting::Timeout)), (Some("no"), Some(0)));
    }
}
