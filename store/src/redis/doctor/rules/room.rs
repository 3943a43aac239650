//! Memory: what happens when it is full, whether it was, and whether it will be. D1, D2, D14.

use super::{Case, undeclared};
use crate::redis::doctor::detectors::Health;
use crate::redis::doctor::finding::{Check, Finding};
use crate::redis::doctor::settings::Setting;

const EVICT: &str = "a request whose key was dropped runs again; about half of all retries did under pressure";

pub(super) fn eviction_policy(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::EvictionPolicy;
    let policy = case.setting(Setting::MaxmemoryPolicy);
    let is_limited = case.settings.number(Setting::Maxmemory).is_none_or(|limit| limit > 0);
    match policy {
        None => vec![undeclared(check, Setting::MaxmemoryPolicy, "noeviction").so(EVICT)],
        Some("noeviction") if is_limited => Vec::new(),
        Some("noeviction") => {
            let finding = Finding::warning(check, "maxmemory is 0: Redis grows until the system kills it");
            let finding = finding.so("a killed server forgets what it had not persisted");
            vec![finding.remedy("set maxmemory to what the host can spare; new keys are refused when it is full")]
        }
        Some(policy) if is_limited => {
            let finding = Finding::error(check, format!("maxmemory-policy is {policy}")).so(EVICT);
            vec![
                finding
                    .remedy("set maxmemory-policy noeviction; a full server then refuses new keys and still replays"),
            ]
        }
        Some(policy) => {
            let finding = Finding::warning(check, format!("maxmemory-policy is {policy}, without a maxmemory so far"));
            vec![finding.so(EVICT).remedy("set maxmemory-policy noeviction before anybody sets a maxmemory")]
        }
    }
}

pub(super) fn evicted_keys(case: &Case<'_>) -> Vec<Finding> {
    let check = Check::EvictedKeys;
    match case.facts.evicted_keys {
        Some(0) => Vec::new(),
        Some(keys) => {
            let seen = format!("the server has evicted {keys} keys since it started");
            let remedy =
                "set maxmemory-policy noeviction, give the server more memory, or the keys a server of their own";
            vec![Finding::warning(check, seen).so(EVICT).remedy(remedy)]
        }
        None => {
            let remedy = "let the user run INFO; evictions cannot be noticed at run time without it";
            vec![Finding::info(check, "evicted_keys is unknown: the server does not say it").remedy(remedy)]
        }
    }
}

pub(super) fn noticed_evictions(health: Health) -> Option<Finding> {
    let Health { evicted_keys: keys, .. } = health;
    let seen = format!("{keys} keys were evicted while this store ran");
    let remedy = "set maxmemory-policy noeviction, and look in the downstream for what ran twice";
    (keys > 0).then(|| Finding::error(Check::EvictedKeys, seen).so(EVICT).remedy(remedy))
}

pub(super) fn memory(case: &Case<'_>) -> Vec<Finding> {
    let Some(budget) = case.bar.examination.budget else { return Vec::new() };
    let check = Check::Memory;
    let limit = case.settings.number(Setting::Maxmemory).filter(|limit| *limit > 0).or(case.facts.system_memory);
    let (need, Some(limit)) = (budget.bytes(), limit) else {
        return vec![undeclared(check, Setting::Maxmemory, "2gb")];
    };
    // A quarter is left for replication, rewriting and what the server needs itself.
    if need <= limit / 4 * 3 {
        return Vec::new();
    }
    let seen = format!("the keys of one retention need {}, the server has {}", mebibytes(need), mebibytes(limit));
    let finding = Finding::warning(check, seen).so("new keys are refused when it is full");
    vec![finding.remedy("give the server more memory, or shorten the retention, or keep smaller answers")]
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
