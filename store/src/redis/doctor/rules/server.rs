//! The server itself: its clock, its version, its limits, and whether it is the same one. D8, D9, D15, D16.

use std::time::Duration;

use super::Case;
use crate::redis::doctor::detectors::{self, Health};
use crate::redis::doctor::finding::{Check, Finding};
use crate::redis::doctor::settings::Setting;

pub(super) fn clock(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Clock;
    let Some(skew) = case.facts.clock else {
        let finding = Finding::warning(check, "the server's clock is unknown");
        return vec![finding.remedy("let the user run TIME")];
    };
    let Some(severity) = detectors::judge(skew, case.bar.examination.lease) else { return Vec::new() };
    let finding = Finding::new(check, severity, format!("the server's clock is {skew} of this host's"));
    let finding = finding.so("a clock that is stepped back or forth forgets keys early, or holds them too long");
    vec![finding.remedy("run NTP on both, and let it slew the clock, never step it")]
}

pub(super) fn version(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Version;
    let Some(version) = &case.facts.version else {
        return vec![Finding::info(check, "the server's version is unknown").remedy("let the user run INFO")];
    };
    if !version.is_supported() {
        let finding = Finding::error(check, format!("the server is {version}"));
        let finding = finding.so("its SET does not take NX and GET together, and no key can be claimed");
        return vec![finding.remedy("use Redis 7.0 or Valkey 7.2 and later")];
    }
    let is_patched = case.setting(Setting::LuaFixes) == Some("backported");
    let Some(holes) = version.holes().filter(|_| !is_patched) else { return Vec::new() };
    let finding = Finding::warning(check, format!("{version} has known holes in its scripts: {holes}"));
    let finding = finding.so("a user who may run scripts may take over the server");
    let remedy = "update it; where the distribution has repaired it under this number, declare lua-fixes=backported";
    vec![finding.remedy(remedy)]
}

pub(super) fn limits(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Limits;
    let mut findings = Vec::new();
    let largest = case.bar.examination.largest_answer;
    if let Some(limit) = case.settings.number(Setting::ProtoMaxBulkLen).filter(|limit| *limit <= largest) {
        let seen = format!("proto-max-bulk-len is {limit} bytes, and answers may have {largest}");
        let finding =
            Finding::warning(check, seen).so("larger answers cannot be recorded, and their keys stay unknown");
        findings.push(finding.remedy("set proto-max-bulk-len 512mb, the default"));
    }
    let lease = case.bar.examination.lease;
    let idle = case.settings.number(Setting::Timeout).map(Duration::from_secs);
    if let Some(idle) = idle.filter(|idle| !idle.is_zero() && *idle <= lease) {
        let finding = Finding::warning(check, format!("timeout is {} s: idle connections are closed", idle.as_secs()));
        let finding = finding.so("a request may have to connect anew before it claims or completes");
        findings.push(finding.remedy("set timeout 0, or longer than the lease"));
    }
    findings
}

pub(super) fn epochs(health: Health) -> Option<Finding> {
    let Health { epochs, .. } = health;
    let seen = format!("the server restarted or was replaced {epochs} times while this store ran");
    let finding = Finding::warning(Check::Epoch, seen).so("what it had not persisted or replicated is forgotten");
    (epochs > 0).then(|| finding.remedy("look in the server's log for why, and in the downstream for what ran twice"))
}
