//! The table of several runs, one column each: how far a figure can be relied on shows in how far its runs differ.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::row::{Check, Row};
use super::{Effort, Table, measure};
use crate::Outcome;

/// What each run came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Runs(Vec<Table>);

impl Runs {
    /// Measures so many times, and says each time which run and row is being measured.
    ///
    /// # Errors
    ///
    /// As [`measure`].
    pub fn measure(runs: usize, effort: &Effort, progress: impl Fn(usize, u8)) -> Outcome<Self> {
        (1..=runs).map(|run| measure(effort.clone(), |row| progress(run, row))).collect::<Outcome<_>>().map(Self)
    }

    /// Where the last ones are kept.
    pub fn file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/goals.json")
    }

    /// Keeps them.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(&self) -> Outcome {
        let file = Self::file();
        fs::create_dir_all(file.parent().ok_or("a file has a folder")?)?;
        Ok(fs::write(file, serde_json::to_string_pretty(self)?)?)
    }

    /// Those that were kept.
    ///
    /// # Errors
    ///
    /// There are none.
    pub fn load() -> Outcome<Self> {
        let text = fs::read_to_string(Self::file())
            .map_err(|error| format!("{}: {error}; run `./tests/bench/run goals` first", Self::file().display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// As a table of Markdown. What a figure was made of stands there as the last run had it.
impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.0.last() else { return f.write_str("nothing was measured") };
        let columns = (1..=self.0.len()).map(|run| format!("run {run}")).collect::<Vec<_>>().join(" | ");
        writeln!(f, "| # | figure | goal | {columns} | verdict |")?;
        writeln!(f, "|---|---|---|{}---|", "---|".repeat(self.0.len()))?;
        for (at, row) in last.rows.iter().enumerate() {
            for (which, check) in row.checks.iter().enumerate() {
                let all = self.0.iter().filter_map(|table| table.rows.get(at)?.checks.get(which));
                write_line(f, row, check, &all.collect::<Vec<_>>())?;
            }
        }
        let Table { pairs, seconds, redis, .. } = last;
        write!(f, "\nRatios: medians of {pairs} alternating pairs of {seconds} s, [min..max]; {redis}.")
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, row: &Row, check: &Check, all: &[&Check]) -> fmt::Result {
    let name = if check.name.is_empty() { String::new() } else { format!(": {}", check.name) };
    let measured = |check: &&Check| check.measured.as_ref().map_or_else(|_| "-".to_owned(), ToString::to_string);
    let measured = all.iter().map(measured).collect::<Vec<_>>().join(" | ");
    let (Row { number, figure, .. }, bound) = (row, check.bound);
    writeln!(f, "| {number} | {figure}{name} | {bound} | {measured} | {} |", verdict(check, all))
}

/// That of all runs, or in how many of them the goal was met.
fn verdict(last: &Check, all: &[&Check]) -> String {
    let met = all.iter().filter(|check| check.is_met() == Some(true)).count();
    let known = all.iter().filter(|check| check.is_met().is_some()).count();
    if known == all.len() && (1..known).contains(&met) {
        return format!("met in {met} of {known}");
    }
    last.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goals::Bound;
    use crate::measure::Spread;

    fn table(value: f64) -> Table {
        let check = Check::new("req/s", Bound::AtLeast(1.0), Some(Spread::one(value)));
        Table { pairs: 11, seconds: 1.0, redis: "Redis 7".to_owned(), rows: vec![Row::new(1, "first", [check])] }
    }

    fn line(values: &[f64]) -> String {
        let runs = Runs(values.iter().copied().map(table).collect()).to_string();
        runs.lines().nth(2).expect("a row").to_owned()
    }

    #[test]
    fn each_run_has_a_column_and_all_have_one_verdict() {
        assert_eq!(line(&[1.5, 1.25]), "| 1 | first: req/s | >= 1 | 1.50 | 1.25 | met |");
        assert_eq!(line(&[0.5, 1.25, 2.0]), "| 1 | first: req/s | >= 1 | 0.50 | 1.25 | 2.00 | met in 2 of 3 |");
        assert_eq!(line(&[0.5]), "| 1 | first: req/s | >= 1 | 0.50 | missed |");
    }
}
