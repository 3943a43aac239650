//! The rows together, as they are printed and kept.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::row::Row;
use crate::Outcome;

/// What one run came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Alternating pairs of each comparison.
    pub pairs: usize,
    /// How long each half of a pair took.
    pub seconds: f64,
    /// The server that ratios are measured on.
    pub redis: String,
    /// The goals.
    pub rows: Vec<Row>,
}

impl Table {
    /// Where the last one is kept.
    pub fn file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/goals.json")
    }

    /// Keeps it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(&self) -> Outcome {
        let file = Self::file();
        fs::create_dir_all(file.parent().ok_or("a file has a folder")?)?;
        Ok(fs::write(file, serde_json::to_string_pretty(self)?)?)
    }

    /// The one that was kept.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn load() -> Outcome<Self> {
        let text = fs::read_to_string(Self::file())
            .map_err(|error| format!("{}: {error}; run `./tests/bench/run goals` first", Self::file().display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// As a table of Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| # | figure | goal | measured | verdict |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for row in &self.rows {
            for check in &row.checks {
                let name = if check.name.is_empty() { String::new() } else { format!(": {}", check.name) };
                let measured = check.measured.as_ref().map_or_else(|_| "-".to_owned(), ToString::to_string);
                let Row { number, figure, .. } = row;
                let (bound, verdict) = (check.bound, check.verdict());
                writeln!(f, "| {number} | {figure}{name} | {bound} | {measured} | {verdict} |")?;
            }
        }
        let Self { pairs, seconds, redis, .. } = self;
        write!(f, "\nRatios: medians of {pairs} alternating pairs of {seconds} s, [min..max]; {redis}.")
    }
}
