//! What survives a restart and a power cut. D3, D4.

use super::{Case, undeclared};
use crate::redis::doctor::finding::{Check, Finding};
use crate::redis::doctor::settings::Setting;

const FORGET: &str = "a restart forgets every key, and its requests run again; replicas are emptied with it";
const KEEP: &str = "set appendonly yes (CONFIG SET appendonly yes, then CONFIG REWRITE)";

pub(super) fn persistence(case: &Case<'_>) -> Vec<Finding> {
    if case.is_kept_elsewhere() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    match case.setting(Setting::Appendonly) {
        Some("yes") => findings.extend(append_only_failures(case)),
        Some(_) => {
            let seen = match case.setting(Setting::Save) {
                Some("") => "appendonly is no, and no snapshot is saved either".to_owned(),
                Some(points) => format!("appendonly is no; only snapshots are saved (save {points})"),
                None => "appendonly is no".to_owned(),
            };
            let snapshots = case.setting(Setting::Save).is_some_and(|points| !points.is_empty());
            let consequence = if snapshots {
                "a crash forgets every key since the last snapshot, \
                and its requests run again"
            } else {
                FORGET
            };
            findings.push(Finding::error(Check::Persistence, seen).so(consequence).remedy(KEEP));
        }
        None => findings.push(undeclared(Check::Persistence, Setting::Appendonly, "yes").so(FORGET)),
    }
    if case.facts.snapshot_failed == Some(true) {
        let finding = Finding::warning(Check::Persistence, "the last snapshot failed (rdb_last_bgsave_status)");
        let finding = finding.so("Redis refuses to write while stop-writes-on-bgsave-error is yes");
        findings.push(finding.remedy("look into the server's log; mostly the disk is full or memory cannot be forked"));
    }
    findings
}

fn append_only_failures(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let remedy = "look into the server's log; mostly the disk is full";
    if case.facts.aof_write_failed == Some(true) {
        let finding = Finding::error(Check::Persistence, "the last write to the append-only file failed");
        findings.push(finding.so("new keys are refused until it succeeds").remedy(remedy));
    }
    if case.facts.aof_rewrite_failed == Some(true) {
        let finding = Finding::warning(Check::Persistence, "the last rewrite of the append-only file failed");
        findings.push(finding.so("the file grows until the disk is full").remedy(remedy));
    }
    findings
}

pub(super) fn fsync(case: &Case<'_>) -> Vec<Finding> {
    let has_file = case.setting(Setting::Appendonly) != Some("no");
    if case.is_kept_elsewhere() || !has_file {
        return Vec::new();
    }
    let check = Check::Fsync;
    let mut findings = Vec::new();
    match case.setting(Setting::Appendfsync) {
        Some("always") => {}
        Some("everysec") => {
            let finding = Finding::info(check, "appendfsync is everysec");
            let finding = finding.so("a power cut takes about a second of claims; a crash of Redis alone takes none");
            findings.push(finding.remedy("set appendfsync always if that is too much; each write then costs a sync"));
        }
        Some(_) => {
            let finding = Finding::error(check, "appendfsync is no");
            let finding = finding.so("a power cut takes as much as the system had not written, half a minute and more");
            findings.push(finding.remedy("set appendfsync everysec or always"));
        }
        None => {
            findings.push(undeclared(check, Setting::Appendfsync, "everysec").so("what a power cut takes is unknown"));
        }
    }
    if case.setting(Setting::NoAppendfsyncOnRewrite) == Some("yes") {
        let finding = Finding::warning(check, "no-appendfsync-on-rewrite is yes");
        let finding = finding.so("while the file is rewritten, a power cut takes everything since the rewrite began");
        findings.push(finding.remedy("set no-appendfsync-on-rewrite no"));
    }
    findings
}
