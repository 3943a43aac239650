//! Findings as a person reads them.

use std::fmt;

use idempotency_store::redis::doctor::{Finding, Severity};

use crate::store::StoreChoice;

/// What was found, of whatever store.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    /// What was asked, and the error where the server did not say.
    pub(super) asked: Vec<(&'static str, Option<String>)>,
}

/// One finding.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) severity: Severity,
    pub(super) check: String,
    pub(super) node: Option<String>,
    pub(super) seen: String,
    pub(super) consequence: String,
    pub(super) remedy: String,
}

impl From<Finding> for Row {
    fn from(finding: Finding) -> Self {
        let Finding { severity, node, seen, consequence, remedy, .. } = finding;
        Self { severity, check: finding.check.to_string(), node, seen, consequence, remedy }
    }
}

impl Report {
    pub(super) fn of(rows: Vec<Row>) -> Self {
        Self { rows, asked: Vec::new() }
    }

    pub(super) fn worst(&self) -> Option<Severity> {
        self.rows.iter().map(|row| row.severity).max()
    }

    /// To be printed, under the name of the store.
    pub(super) fn on<'a>(&'a self, store: &'a StoreChoice) -> Titled<'a> {
        Titled(self, store)
    }

    fn summary(&self) -> String {
        let count = |severity| self.rows.iter().filter(|row| row.severity == severity).count();
        let plural = |count, name| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
        let errors = plural(count(Severity::Error), "error");
        let warnings = plural(count(Severity::Warning), "warning");
        format!("{errors}, {warnings}, {}", plural(count(Severity::Info), "note"))
    }
}

/// A report and the store that it is about.
#[derive(Debug)]
pub(super) struct Titled<'a>(&'a Report, &'a StoreChoice);

impl fmt::Display for Titled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report, store) = self;
        writeln!(f, "{store}: {}", report.summary())?;
        let (said, silent): (Vec<_>, Vec<_>) = report.asked.iter().partition(|(_, refused)| refused.is_none());
        if !said.is_empty() {
            writeln!(f, "asked: {}", list(&said))?;
        }
        if !silent.is_empty() {
            writeln!(f, "refused: {}", list(&silent))?;
        }
        report.rows.iter().try_for_each(|row| write!(f, "\n{row}"))
    }
}

fn list(asked: &[&(&'static str, Option<String>)]) -> String {
    let name = |(at, refused): &&(&'static str, Option<String>)| match refused {
        None => (*at).to_owned(),
        Some(code) => format!("{at} ({code})"),
    };
    asked.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.as_deref().unwrap_or_default();
        writeln!(f, "{}", format!("{:<8} {:<20} {node}", self.severity, self.check).trim_end())?;
        for (name, text) in [("seen", &self.seen), ("so", &self.consequence), ("remedy", &self.remedy)] {
            if !text.is_empty() {
                writeln!(f, "  {name:<7}{text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_from_the_top() {
        let row = Row {
            severity: Severity::Error,
            check: "D3 persistence".into(),
            node: Some("10.0.0.1:6379".into()),
            seen: "appendonly is no".into(),
            consequence: "a restart forgets every key".into(),
            remedy: String::new(),
        };
        let asked = vec![("INFO", None), ("CONFIG GET", Some("NOPERM".into()))];
        let store: StoreChoice = "redis://app:secret@10.0.0.1:6379".parse().unwrap();
        let text = Report { rows: vec![row], asked }.on(&store).to_string();
        let expected = "redis://10.0.0.1:6379: 1 error, 0 warnings, 0 notes\nasked: INFO\nrefused: CONFIG GET (NOPERM)\n\n\
                        error    D3 persistence       10.0.0.1:6379\n  seen   appendonly is no\n  \
                        so     a restart forgets every key\n";
        assert_eq!(text, expected);
    }
}
