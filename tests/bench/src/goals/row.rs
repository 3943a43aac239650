//! One goal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::measure::Spread;

/// A numbered goal and what it came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub number: u8,
    /// What it is about.
    pub figure: String,
    /// What had to hold.
    pub checks: Vec<Check>,
}

/// One bound, and the figure that it is put to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Which of a row's figures.
    pub name: String,
    /// What it must be.
    pub bound: Bound,
    /// What it is, or why that is not known.
    pub measured: Result<Spread, String>,
}

/// Where a figure must lie.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Bound {
    /// At this or above.
    AtLeast(f64),
    /// At this or below.
    AtMost(f64),
    /// There.
    Exactly(f64),
    /// Not known: the row could not even be begun.
    Unknown,
}

impl Row {
    pub(super) fn new(number: u8, figure: &str, checks: impl IntoIterator<Item = Check>) -> Self {
        Self { number, figure: figure.to_owned(), checks: checks.into_iter().collect() }
    }

    /// A row of which nothing is known.
    pub(super) fn not_run(number: u8, why: &str) -> Self {
        let check = Check { name: String::new(), bound: Bound::Unknown, measured: Err(why.to_owned()) };
        Self { number, figure: "could not be measured".to_owned(), checks: vec![check] }
    }
}

impl Check {
    pub(super) fn new(name: &str, bound: Bound, measured: Option<Spread>) -> Self {
        Self { name: name.to_owned(), bound, measured: measured.ok_or_else(|| "nothing was measured".to_owned()) }
    }

    pub(super) fn not_run(name: &str, bound: Bound, why: impl fmt::Display) -> Self {
        Self { name: name.to_owned(), bound, measured: Err(why.to_string()) }
    }

    /// Whether the median is where it must be; nothing if it is not known.
    pub fn is_met(&self) -> Option<bool> {
        let median = self.measured.as_ref().ok()?.median;
        Some(match self.bound {
            Bound::AtLeast(least) => median >= least,
            Bound::AtMost(most) => median <= most,
            Bound::Exactly(value) => (median - value).abs() < 0.005,
            Bound::Unknown => return None,
        })
    }

    /// In a word, or with the reason.
    pub fn verdict(&self) -> String {
        match (&self.measured, self.is_met()) {
            (Err(why), _) => format!("not run: {why}"),
            (_, Some(true)) => "met".to_owned(),
            _ => "missed".to_owned(),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("-"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::Exactly(value) => write!(f, "= {value}"),
        }
    }
}
