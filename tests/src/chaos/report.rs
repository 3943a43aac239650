//! What a run came to, for programs and for people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::faults::fail_overs;
use super::run::CAUGHT;
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
    /// Policy, what befell an owner, what became of the key, and of how many: keys to which nothing else was drawn.
    pub matrix: Vec<(String, String, String, u64)>,
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
            matrix: matrix(tally),
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
            "caught_after_seconds": Duration::from_millis(self.saw(CAUGHT)).as_secs_f64(),
            "matrix": self.matrix,
        })
    }
}

pub(super) fn matrix(tally: &Tally) -> Vec<(String, String, String, u64)> {
    let named = |((policy, fate, verdict), count): ((&str, &str, &str), u64)| {
        (policy.to_owned(), fate.to_owned(), verdict.to_owned(), count)
    };
    tally.matrix().into_iter().map(named).collect()
}

/// What stands in a run's row, and what it is called.
const COLUMNS: [(&str, &str); 11] = [
    ("executed", "keys executed"),
    ("requests", "requests"),
    ("faults", "faults"),
    ("fail_overs", "fail-overs"),
    ("split_brains", "of them split brain"),
    ("doubles", "doubles"),
    ("divergent", "divergent"),
    ("lost", "lost"),
    ("indeterminate", "indeterminate"),
    ("unsettled", "unsettled"),
    ("seconds", "seconds"),
];

/// A table of runs as [`Report::json`] wrote them, with their sum, and one of the faults.
pub fn markdown(runs: &[Value]) -> String {
    let titles = COLUMNS.iter().map(|(_, title)| (*title).to_owned());
    let titles: Vec<_> = ["topology", "store", "seed"].map(str::to_owned).into_iter().chain(titles).collect();
    let sum = |(column, _): &(&str, &str)| runs.iter().map(|run| number(run, column)).sum::<f64>();
    let sums = COLUMNS.iter().map(|column| format!("**{:.0}**", sum(column)));
    let all = ["**all**", "", ""].map(str::to_owned).into_iter().chain(sums).collect();
    let rows = runs.iter().map(|run| {
        let named = [text(run, "topology"), text(run, "subject"), run["seed"].to_string()];
        named.into_iter().chain(COLUMNS.iter().map(|(column, _)| format!("{:.0}", number(run, column)))).collect()
    });
    table(&titles, &rows.chain([all]).collect::<Vec<_>>()) + "\n" + &kinds(runs) + "\n" + &fates(runs)
}

/// What became of keys to one of whose owners one thing happened, by policy.
fn fates(runs: &[Value]) -> String {
    const VERDICTS: [&str; 5] = ["settled", "indeterminate", "unsettled", "double (seen by a client)", "divergent"];
    let mut cells = BTreeMap::<(String, String), [u64; VERDICTS.len()]>::new();
    for cell in runs.iter().filter_map(|run| run["matrix"].as_array()).flatten() {
        let word = |at: usize| cell[at].as_str().unwrap_or_default().to_owned();
        let row = cells.entry((word(1), word(0))).or_default();
        if let Some(column) = VERDICTS.iter().position(|verdict| *verdict == word(2)) {
            row[column] += cell[3].as_u64().unwrap_or_default();
        }
    }
    let row = |((fate, policy), counts): (&(String, String), &[u64; VERDICTS.len()])| {
        [fate.clone(), policy.clone()].into_iter().chain(counts.iter().map(u64::to_string)).collect()
    };
    let titles: Vec<_> =
        ["what befell an owner", "policy"].iter().chain(&VERDICTS).map(|&title| title.to_owned()).collect();
    table(&titles, &cells.iter().map(row).collect::<Vec<_>>())
}

fn kinds(runs: &[Value]) -> String {
    let mut kinds = BTreeMap::<&str, u64>::new();
    for (kind, count) in runs.iter().filter_map(|run| run["faults_by_kind"].as_object()).flatten() {
        *kinds.entry(kind).or_default() += count.as_u64().unwrap_or_default();
    }
    let rows: Vec<_> = kinds.iter().map(|(kind, count)| vec![(*kind).to_owned(), count.to_string()]).collect();
    table(&["fault", "times"].map(str::to_owned), &rows)
}

/// A table of runs against mutants, each of which should have been found out.
pub fn mutant_table(runs: &[Value]) -> String {
    let titles = ["guard removed", "topology", "caught", "after", "keys executed", "faults", "doubles", "divergent"];
    let row = |run: &Value| {
        let caught = number(run, "doubles") + number(run, "divergent") > 0.0;
        let said = if caught { "yes" } else { "no" }.to_owned();
        let counts = ["executed", "faults", "doubles", "divergent"].map(|count| format!("{:.0}", number(run, count)));
        let named = [
            text(run, "subject"),
            text(run, "topology"),
            said,
            format!("{:.1} s", number(run, "caught_after_seconds")),
        ];
        named.into_iter().chain(counts).collect()
    };
    table(&titles.map(str::to_owned), &runs.iter().map(row).collect::<Vec<_>>())
}

fn number(run: &Value, field: &str) -> f64 {
    run[field].as_f64().unwrap_or_default()
}

fn text(run: &Value, field: &str) -> String {
    run[field].as_str().unwrap_or_default().to_owned()
}

fn table(titles: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(titles.len()));
    line(titles) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}
