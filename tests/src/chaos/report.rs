//! What a run came to, for programs and for people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::faults::fail_overs;
use super::{Ledger, Plan, Tally};

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What everything was drawn from.
    pub seed: u64,
    /// Which servers there were.
    pub topology: String,
    /// Which store was tested.
    pub subject: String,
    /// How long it took.
    pub took: Duration,
    /// How many keys something was done for.
    pub executed: u64,
    /// How many of them more than once.
    pub doubles: u64,
    /// Fail-overs, and those of them that left two masters for a while.
    pub fail_overs: (u64, u64),
    /// What was done to the system, by name.
    pub faults: BTreeMap<String, u64>,
    /// What was seen, by name.
    pub seen: BTreeMap<String, u64>,
    /// The histories of keys that broke the promise, the first of them.
    pub broken: Vec<String>,
}

impl Report {
    pub(super) fn of(plan: &Plan, ledger: &Ledger, tally: &Tally, took: Duration) -> Self {
        let faults = tally.faults();
        let named =
            |counts: &BTreeMap<&'static str, u64>| counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        Self {
            seed: plan.seed,
            topology: plan.topology.name().to_owned(),
            subject: plan.subject.name(),
            took,
            executed: ledger.keys(),
            doubles: ledger.doubles(),
            fail_overs: fail_overs(&faults),
            faults: named(&faults),
            seen: named(&tally.all_seen()),
            broken: tally.broken(),
        }
    }

    /// How often something was seen.
    pub fn saw(&self, name: &str) -> u64 {
        self.seen.get(name).copied().unwrap_or_default()
    }

    /// How many faults there were in all.
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Whether the promise was broken.
    pub fn is_broken(&self) -> bool {
        self.doubles > 0 || !self.broken.is_empty()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "seed": self.seed,
            "topology": self.topology,
            "subject": self.subject,
            "seconds": self.took.as_secs_f64(),
            "keys": self.saw("keys"),
            "executed": self.executed,
            "requests": self.saw("requests"),
            "faults": self.fault_count(),
            "fail_overs": self.fail_overs.0,
            "split_brains": self.fail_overs.1,
            "doubles": self.doubles,
            "divergent": self.saw("divergent"),
            "lost": self.saw("lost"),
            "wrong": self.saw("wrong"),
            "indeterminate": self.saw("indeterminate"),
            "unsettled": self.saw("unsettled"),
            "faults_by_kind": self.faults,
            "seen": self.seen,
            "broken": self.broken,
        })
    }
}

/// A table of runs as [`Report::json`] wrote them, with their sum, and one of the faults.
pub fn markdown(runs: &[Value]) -> String {
    const COLUMNS: [&str; 11] = [
        "executed",
        "requests",
        "faults",
        "fail_overs",
        "split_brains",
        "doubles",
        "divergent",
        "lost",
        "indeterminate",
        "unsettled",
        "seconds",
    ];
    let mut table = String::from(
        "| topology | store | seed | keys executed | requests | faults | fail-overs | of them split brain ",
    );
    table += "| doubles | divergent | lost | indeterminate | unsettled | seconds |\n";
    table += "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    let number = |run: &Value, column: &str| run[column].as_f64().unwrap_or_default();
    for run in runs {
        let name = |field: &str| run[field].as_str().unwrap_or_default().to_owned();
        let cells: Vec<_> = COLUMNS.iter().map(|column| format!("{:.0}", number(run, column))).collect();
        table += &format!("| {} | {} | {} | {} |\n", name("topology"), name("subject"), run["seed"], cells.join(" | "));
    }
    let sums =
        COLUMNS.iter().map(|column| format!("**{:.0}**", runs.iter().map(|run| number(run, column)).sum::<f64>()));
    table += &format!("| **all** | | | {} |\n", sums.collect::<Vec<_>>().join(" | "));
    table + &kinds(runs)
}

fn kinds(runs: &[Value]) -> String {
    let mut kinds = BTreeMap::<&str, u64>::new();
    for (kind, count) in runs.iter().filter_map(|run| run["faults_by_kind"].as_object()).flatten() {
        *kinds.entry(kind).or_default() += count.as_u64().unwrap_or_default();
    }
    let rows = kinds.iter().map(|(kind, count)| format!("| {kind} | {count} |\n"));
    format!("\n| fault | times |\n|---|---|\n{}", rows.collect::<String>())
}

/// A table of runs against mutants, each of which should have been found out.
pub fn mutant_table(runs: &[Value]) -> String {
    let mut table =
        String::from("| guard removed | topology | caught | after | keys executed | doubles | divergent |\n");
    table += "|---|---|---|---|---|---|---|\n";
    for run in runs {
        let text = |field: &str| run[field].as_str().unwrap_or_default().to_owned();
        let number = |field: &str| run[field].as_f64().unwrap_or_default();
        let caught = number("doubles") + number("divergent") > 0.0;
        let seconds = number("seconds");
        table += &format!(
            "| {} | {} | {} | {seconds:.1} s | {} | {} | {} |\n",
            text("subject"),
            text("topology"),
            if caught { "yes" } else { "no" },
            run["executed"],
            run["doubles"],
            run["divergent"],
        );
    }
    table
}
