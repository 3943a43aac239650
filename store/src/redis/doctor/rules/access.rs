//! Who may do what, and who listens. D10, D11, D12.

use super::Case;
use crate::redis::doctor::facts::{Probe, Rights};
use crate::redis::doctor::finding::{Check, Finding};

pub(super) fn scripts(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Scripts;
    let refused = "keys are claimed and never completed; requests without a repetition still run";
    match &case.facts.scripts {
        Probe::Works | Probe::Unknown => Vec::new(),
        Probe::Forbidden => {
            let finding = Finding::error(check, "the user may not run scripts").so(refused);
            vec![finding.remedy("let the user run EVAL and EVALSHA")]
        }
        Probe::Fails(code) => {
            let finding = Finding::error(check, format!("the server does not take the store's scripts ({code})"));
            vec![finding.so(refused).remedy("use Redis 7.0 or Valkey 7.2 and later")]
        }
    }
}

pub(super) fn rights(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Acl;
    let Some(Rights { user, missing, may_flush, reads_all_keys }) = &case.facts.rights else {
        let seen = "what the user may do is unknown: it may not ask";
        return vec![Finding::info(check, seen).so("that is how a user with few rights looks")];
    };
    let mut findings = Vec::new();
    match missing.as_deref() {
        None => {
            findings.push(Finding::info(check, format!("what the user {user:?} may do is unknown: it may not ask")));
        }
        Some([]) => {}
        Some(missing) => {
            let finding = Finding::error(check, format!("the user {user:?} may not run {}", missing.join(", ")));
            findings.push(finding.so("verbs that need them are refused").remedy("allow them with ACL SETUSER"));
        }
    }
    let too_much = match (may_flush, reads_all_keys) {
        (Some(true), Some(true)) => "may empty the server and read every key",
        (Some(true), _) => "may empty the server",
        (_, Some(true)) => "may read every key",
        _ => return findings,
    };
    let finding = Finding::warning(check, format!("the user {user:?} {too_much}"));
    let finding = finding.so("whoever takes over the service can forget or forge every answer");
    findings.push(finding.remedy("give the service a user of its own that may run what it needs on its own keys only"));
    findings
}

pub(super) fn transport(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::Transport;
    let mut findings = Vec::new();
    let Some(transport) = case.facts.transport.as_ref().filter(|transport| !transport.is_local) else {
        return findings;
    };
    if !transport.is_encrypted {
        let finding = Finding::warning(check, "the connection leaves this host unencrypted");
        let finding = finding.so("answers and the password can be read on the way, and forged");
        findings.push(finding.remedy("use TLS: a rediss:// address"));
    }
    if !transport.has_password {
        let finding = Finding::warning(check, "the server asks for no password");
        let finding = finding.so("whoever reaches it can forget or forge every answer");
        findings.push(finding.remedy("give the service a user and a password"));
    }
    findings
}
