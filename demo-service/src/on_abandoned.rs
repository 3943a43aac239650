//! What a server does about a key whose last owner is gone: the choice, as the command line writes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tower_idempotency::{ConfigError, OnAbandoned};

use crate::bank::BankClient;
use crate::payments::resolver::Resolver;

/// `refuse`, `reexecute:N` or `resolve`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnAbandonedChoice {
    /// A retry is told that nobody knows.
    #[default]
    Refuse,
    /// A retry runs the handler again, until so many attempts have run.
    Reexecute(u32),
    /// A retry gets what the bank says.
    Resolve,
}

/// The choice cannot be read.
#[derive(Clone, Debug, Error)]
pub(crate) enum UnknownChoice {
    /// It is none of the three.
    #[error("write it as refuse, as reexecute:N with the number of attempts, or as resolve")]
    Name,
    /// The number of attempts makes no sense.
    #[error("{0}; {usual} is a usual number", usual = OnAbandoned::ATTEMPTS)]
    Attempts(#[from] ConfigError),
}

impl OnAbandonedChoice {
    /// The layer's policy. `bank` and `lease` are those of the handlers.
    pub(crate) fn policy(self, bank: BankClient, lease: Duration) -> Result<OnAbandoned, ConfigError> {
        match self {
            Self::Refuse => Ok(OnAbandoned::refuse()),
            Self::Reexecute(attempts) => OnAbandoned::reexecute(attempts),
            Self::Resolve => Ok(Resolver { bank, lease }.policy()),
        }
    }
}

impl FromStr for OnAbandonedChoice {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        match text.split_once(':') {
            None if text == "refuse" => Ok(Self::Refuse),
            None if text == "resolve" => Ok(Self::Resolve),
            Some(("reexecute", attempts)) => {
                let attempts = attempts.parse().map_err(|_| UnknownChoice::Name)?;
                OnAbandoned::reexecute(attempts)?;
                Ok(Self::Reexecute(attempts))
            }
            _ => Err(UnknownChoice::Name),
        }
    }
}

impl fmt::Display for OnAbandonedChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse => f.write_str("refuse"),
            Self::Reexecute(attempts) => write!(f, "reexecute:{attempts}"),
            Self::Resolve => f.write_str("resolve"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for choice in [OnAbandonedChoice::Refuse, OnAbandonedChoice::Reexecute(5), OnAbandonedChoice::Resolve] {
            assert_eq!(choice.to_string().parse::<OnAbandonedChoice>().unwrap(), choice);
        }
    }

    #[test]
    fn what_it_does_not_know_is_refused_with_what_it_knows() {
        for text in ["", "Refuse", "reexecute", "reexecute:", "reexecute:many", "reexecute:-1", "resolve:5", "retry"] {
            let said = text.parse::<OnAbandonedChoice>().unwrap_err().to_string();
            assert!(said.contains("refuse") && said.contains("reexecute:N") && said.contains("resolve"), "{said}");
        }
    }

    #[test]
    fn a_single_attempt_is_no_second_one() {
        for text in ["reexecute:0", "reexecute:1"] {
            let said = text.parse::<OnAbandonedChoice>().unwrap_err();
            assert!(matches!(said, UnknownChoice::Attempts(_)), "{said}");
        }
    }
}
