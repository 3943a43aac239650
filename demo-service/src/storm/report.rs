//! What the storm prints: how it was set up, a table, what was found, and one line with the verdict.

use std::io::{self, Write};
use std::time::Duration;

use super::answer::End;
use super::args::Args;
use super::campaign::Events;
use super::judge::{Finding, Unsettled, Verdict};
use super::plan::Plan;
use super::tally::{Latency, Tally};

/// Findings of one kind that are spelled out; the rest are counted. Without keys there are thousands.
const SPELLED_OUT: usize = 20;

const WHAT_FRESH_KEYS_DO: &str =
    "this is what --without-key is for: with a fresh key in every request, nothing tells a retry from a new payment";

const WHAT_REEXECUTION_DOES: &str = "a handler that runs again after a crash repeats the charge that the killed one had made, \
                                     unless the bank recognises it: add --bank-dedup, or use --on-abandoned resolve";

/// Everything that the report speaks about.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// What was asked for.
    pub(crate) args: &'a Args,
    /// What happened.
    pub(crate) events: &'a Events,
    /// How often.
    pub(crate) tally: &'a Tally,
    /// What it amounts to.
    pub(crate) verdict: &'a Verdict,
}

/// Announces a storm, with the seed to repeat it.
pub(crate) fn announce(out: &mut impl Write, args: &Args, plan: &Plan) -> io::Result<()> {
    let (payments, clients, seed) = (args.payments, args.clients, plan.seed());
    writeln!(out, "storm of {payments} payments by {clients} clients, seed {seed}")?;
    if args.url.is_empty() {
        writeln!(out, "  {}", args.own.description())?;
    }
    let odds = args.odds();
    write!(
        out,
        "  {} % lost replies, {} % disconnects, {} % double clicks, {} % lost bank replies",
        odds.lose_replies, odds.disconnect, odds.double_click, args.bank_lost_replies
    )?;
    if let Some(every) = args.own.kill_every {
        write!(out, ", kill -9 every {}", humantime::format_duration(every))?;
    }
    if args.without_key {
        write!(out, ", a fresh key with every request")?;
    }
    writeln!(out)
}

impl Report<'_> {
    /// Prints all of it.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out)?;
        for (name, count, note) in self.weather().into_iter().chain(self.answers()).chain(self.ends()) {
            writeln!(out, "{name:<22}{count:>10}  {note}")?;
        }
        self.latencies(out)?;
        self.findings(out)?;
        writeln!(out, "\n{}", self.conclusion())
    }

    fn weather(&self) -> [Row; 8] {
        let (tally, events) = (self.tally, self.events);
        let rate = per_second(tally.payments - tally.never_tried, events.lasted);
        [
            ("payments", tally.payments, format!("in {:.1} s, {rate:.0} per second", events.lasted.as_secs_f64())),
            ("requests", tally.requests, String::new()),
            ("retries", tally.retries, String::new()),
            ("double clicks", tally.double_clicks, String::new()),
            ("disconnects", tally.disconnects, "the client left before the answer".to_owned()),
            ("lost replies", tally.lost_replies, "the answer was cut off".to_owned()),
            ("kills", events.kills, String::new()),
            ("broken, timed out", tally.broken + tally.timeouts, String::new()),
        ]
    }

    fn answers(&self) -> [Row; 6] {
        let tally = self.tally;
        [
            ("executed", tally.executed, "first answers".to_owned()),
            ("replayed", tally.replayed, "answers marked as replays".to_owned()),
            ("in flight", tally.in_flight, String::new()),
            ("mismatch", tally.mismatches, String::new()),
            ("unavailable", tally.unavailable, String::new()),
            ("unrecorded", tally.unrecorded, String::new()),
        ]
    }

    fn ends(&self) -> [Row; 9] {
        let (tally, verdict) = (self.tally, self.verdict);
        [
            ("paid", tally.paid.all, self.recalled()),
            ("declined", tally.declined, String::new()),
            ("indeterminate", tally.indeterminate, String::new()),
            ("refused", tally.refused, String::new()),
            ("gave up", tally.gave_up, self.never_tried()),
            ("charges", verdict.charges as u64, "in the bank's ledger".to_owned()),
            ("double charges", verdict.doubles.len() as u64, String::new()),
            ("lost payments", verdict.lost.len() as u64, String::new()),
            ("divergent answers", verdict.divergent.len() as u64, String::new()),
        ]
    }

    fn recalled(&self) -> String {
        if self.args.without_key {
            return String::new();
        }
        format!("{} of them replayed when asked again at the end", self.tally.paid.by_replay)
    }

    fn never_tried(&self) -> String {
        match self.tally.never_tried {
            0 => String::new(),
            some => format!("{some} of them never tried before the deadline"),
        }
    }

    fn latencies(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{:<22}{:>10}{:>11}{:>11}{:>11}{:>11}", "latency", "count", "p50", "p90", "p99", "max")?;
        latency(out, "first runs", &self.tally.first_runs)?;
        latency(out, "replays", &self.tally.replays)
    }

    fn findings(&self, out: &mut impl Write) -> io::Result<()> {
        let verdict = self.verdict;
        spell_out(out, "charged more than once", &verdict.doubles)?;
        spell_out(out, "lost", &verdict.lost)?;
        spell_out(out, "divergent", &verdict.divergent)?;
        for end in [End::Indeterminate, End::Refused, End::GaveUp] {
            unsettled(out, end, &verdict.unsettled)?;
        }
        Ok(())
    }

    fn conclusion(&self) -> String {
        let verdict = self.verdict;
        let counts = format!(
            "{} double charges, {} lost payments, {} divergent answers",
            verdict.doubles.len(),
            verdict.lost.len(),
            verdict.divergent.len()
        );
        let only_doubles = verdict.has_doubles_alone();
        match (verdict.is_clean(), verdict.is_empty(), self.args.without_key) {
            (true, true, _) => "NO VERDICT: not one payment was settled, so this storm says nothing".to_owned(),
            (true, false, false) => format!("PASSED: {counts}"),
            (true, false, true) => format!("PASSED BY LUCK: {counts}, though nothing protected these payments"),
            (false, _, true) if only_doubles => format!("FAILED, AS IT MUST: {counts}; {WHAT_FRESH_KEYS_DO}"),
            (false, ..) if only_doubles && self.args.own.repeats_charges() => {
                format!("FAILED, AS IT MUST: {counts}; {WHAT_REEXECUTION_DOES}")
            }
            (false, ..) => format!("FAILED: {counts}"),
        }
    }
}

type Row = (&'static str, u64, String);

fn per_second(count: u64, time: Duration) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / time.as_secs_f64().max(f64::EPSILON)
}

fn latency(out: &mut impl Write, name: &str, latency: &Latency) -> io::Result<()> {
    write!(out, "{name:<22}{:>10}", latency.count())?;
    if latency.count() == 0 {
        return writeln!(out);
    }
    for share in [0.5, 0.9, 0.99, 1.0] {
        write!(out, "{:>8.1} ms", latency.quantile(share).as_secs_f64() * 1_000.0)?;
    }
    writeln!(out)
}

fn spell_out(out: &mut impl Write, what: &str, findings: &[Finding]) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{what}:")?;
    for finding in findings.iter().take(SPELLED_OUT) {
        writeln!(out, "  {}: {}", finding.reference, finding.what)?;
    }
    match findings.len().saturating_sub(SPELLED_OUT) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

/// Every one of them: who looks after payments has to know which, and what the ledger says.
fn unsettled(out: &mut impl Write, end: End, all: &[Unsettled]) -> io::Result<()> {
    let mut listed = all.iter().filter(|one| one.end == end).peekable();
    if listed.peek().is_some() {
        writeln!(out, "\n{}:", heading(end))?;
    }
    for one in listed {
        let charges = if one.charges == 1 { "charge" } else { "charges" };
        writeln!(out, "  {}: {} {charges}, heard last: {}", one.reference, one.charges, one.last)?;
    }
    Ok(())
}

fn heading(end: End) -> &'static str {
    match end {
        End::Indeterminate => "indeterminate",
        End::Refused => "refused",
        End::GaveUp => "gave up",
        End::Paid => "paid",
        End::Declined => "declined",
    }
}
