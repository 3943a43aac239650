//! What a real storm printed, and how it ended.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{ExitStatus, Output};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// What the storm printed.
#[derive(Debug)]
pub(crate) struct Report {
    status: ExitStatus,
    text: String,
    log: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Report {
    /// Runs a storm to its end. It is killed when this is dropped, and where it takes longer than `bound`.
    pub(crate) async fn of(mut storm: Command, bound: Duration) -> Self {
        let output = timeout(bound, storm.kill_on_drop(true).output()).await;
        let Output { status, stdout, stderr } = output.expect("the storm ends").expect("the storm starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status, text: text(stdout), log: text(stderr) }
    }

    /// It ended with this status: 0 where nothing was found, 1 where something was.
    pub(crate) fn expect_verdict(&self, status: i32) {
        assert_eq!(self.status.code(), Some(status), "{self}\n{}", self.log);
    }

    /// A number of its table.
    pub(crate) fn count(&self, name: &str) -> usize {
        let row = self.text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
        row.unwrap_or_else(|| panic!("no row {name:?} in:\n{self}"))
    }

    /// Nothing happened that must not, and each payment is settled, or listed with as many charges as the ledger has.
    pub(crate) fn judge(&self, ledger: &BTreeMap<String, usize>, payments: usize) {
        for finding in ["double charges", "lost payments", "divergent answers"] {
            assert_eq!(self.count(finding), 0, "{finding}");
        }
        let unsettled = self.unsettled();
        for (payment, charges) in &unsettled {
            let charged = ledger.get(*payment).copied().unwrap_or(0);
            assert_eq!(charged, *charges, "{payment} is listed with another number of charges");
        }
        let settled = self.count("paid") + self.count("declined");
        let unknown = self.count("indeterminate") + self.count("refused") + self.count("gave up");
        assert_eq!((settled + unknown, unsettled.len()), (payments, unknown), "each payment is settled or listed");
    }

    /// Each payment that is listed because its client does not know the outcome, and how often it was charged.
    fn unsettled(&self) -> BTreeMap<&str, usize> {
        let listed = self.text.lines().filter(|line| line.contains(", heard last: "));
        listed.filter_map(payment_of).collect()
    }
}

/// `  REFERENCE: N charges, heard last: ...`
fn payment_of(line: &str) -> Option<(&str, usize)> {
    let (reference, rest) = line.trim().split_once(": ")?;
    Some((reference, rest.split(' ').next()?.parse().ok()?))
}
