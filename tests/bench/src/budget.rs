//! The figures that must not grow, and how they are compared: `budget.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Outcome;
use crate::measure::{Program, RedisServer, Subject, allocations, bytes_per_key, commands, instructions};
use crate::server::Kind;

/// Requests of the longer of the two runs whose difference counts.
const REQUESTS: u64 = 3_000;

/// Figures of one kind.
#[derive(Debug, Deserialize)]
struct Group {
    /// By what share of its budget a figure may exceed it.
    slack: f64,
    #[serde(flatten)]
    budgets: BTreeMap<String, f64>,
}

/// A figure beside its budget.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Such as `allocations.first`.
    pub name: String,
    /// What it may be.
    pub budget: f64,
    /// By what share it may exceed that.
    pub slack: f64,
    /// What it is, or why that is not known.
    pub measured: Result<f64, String>,
}

impl Line {
    /// Whether the change may land: a figure that could not be measured is as bad as one that is too great.
    pub fn is_kept(&self) -> bool {
        self.measured.as_ref().is_ok_and(|measured| *measured <= self.budget * (1.0 + self.slack) + f64::EPSILON)
    }

    /// Whether the budget is so much too great that a regression would hide in it.
    fn is_loose(&self) -> bool {
        let lower = self.budget * (1.0 - 2.0 * self.slack);
        self.slack > 0.0 && self.measured.as_ref().is_ok_and(|measured| *measured < lower)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, budget, slack, measured } = self;
        let percent = slack * 100.0;
        match measured {
            Err(why) => write!(f, "{name}: FAILED, not measured: {why}"),
            Ok(measured) => {
                let verdict = match (self.is_kept(), self.is_loose()) {
                    (false, _) => "FAILED, above the budget",
                    (true, true) => "kept; lower the budget to it",
                    (true, false) => "kept",
                };
                write!(f, "{name}: {measured:.1} of {budget:.1} + {percent:.0} %: {verdict}")
            }
        }
    }
}

/// Measures every figure of the budget.
///
/// # Errors
///
/// The file cannot be read, or names a figure that nobody measures; or there is no Redis.
pub fn compare() -> Outcome<Vec<Line>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.toml");
    let groups: BTreeMap<String, Group> = toml::from_str(&fs::read_to_string(file)?)?;
    let redis = RedisServer::start(Program::System, &[])?;
    let mut lines = Vec::new();
    for (group, Group { slack, budgets }) in groups {
        for (figure, budget) in budgets {
            let measured = measured(&group, &figure, &redis).map_err(|error| error.to_string());
            lines.push(Line { name: format!("{group}.{figure}"), budget, slack, measured });
        }
    }
    Ok(lines)
}

fn measured(group: &str, figure: &str, redis: &RedisServer) -> Outcome<f64> {
    let subject = match figure {
        "first" => Subject::first(Kind::Redis),
        "replay" => Subject::replay(Kind::Redis),
        "keyless" => Subject::keyless(Kind::Redis),
        "answer_200" => return bytes_per_key(200, redis),
        _ => return Err("nobody measures this figure".into()),
    };
    match group {
        "commands" => commands(&subject, redis),
        "allocations" => allocations(&subject, redis),
        "instructions" => instructions(&subject, redis, REQUESTS),
        _ => Err("nobody measures these figures".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(measured: Result<f64, String>) -> Line {
        Line { name: "allocations.first".to_owned(), budget: 100.0, slack: 0.05, measured }
    }

    #[test]
    fn a_figure_is_kept_up_to_its_slack() {
        assert!(line(Ok(105.0)).is_kept());
        assert!(!line(Ok(105.1)).is_kept());
        let exact = Line { slack: 0.0, budget: 2.0, ..line(Ok(2.0)) };
        assert!(exact.is_kept());
        assert!(!Line { measured: Ok(2.01), ..exact }.is_kept());
    }

    #[test]
    fn what_was_not_measured_is_not_kept() {
        let line = line(Err("valgrind is missing: `apt-get install valgrind`".to_owned()));
        assert!(!line.is_kept());
        assert!(line.to_string().contains("apt-get install valgrind"));
    }

    #[test]
    fn a_budget_that_a_regression_could_hide_in_is_named() {
        assert!(line(Ok(89.0)).to_string().contains("lower the budget"));
        assert!(!line(Ok(95.0)).to_string().contains("lower the budget"));
    }
}
