//! What the masters of a cluster count.

use std::ops::Sub;

use crate::RedisCluster;
use redis::cmd;

use super::super::Outcome;
use super::MASTERS;

/// Counters, added up over all masters.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Observed {
    /// Claims and completions that clients sent.
    pub(super) commands: f64,
    pub(super) waits: f64,
    /// Seconds of the main threads.
    pub(super) cpu: f64,
    pub(super) memory: f64,
    pub(super) keys: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
    pub(super) bytes_replicated: f64,
}

impl Observed {
    pub(super) async fn of(cluster: &RedisCluster) -> Outcome<Self> {
        let mut sum = Self::default();
        // The replicas come after them.
        for node in cluster.nodes().iter().take(MASTERS) {
            let info: String = node.ask(cmd("INFO").arg("everything")).await;
            let keys: f64 = node.ask(&cmd("DBSIZE")).await;
            let calls = |command: &str| number(&info, &format!("cmdstat_{command}:calls="));
            // Each completion is a script that executes one SET itself.
            sum.commands += calls("set");
            sum.waits += calls("wait");
            sum.cpu += number(&info, "used_cpu_user_main_thread:") + number(&info, "used_cpu_sys_main_thread:");
            // What clients' buffers take comes and goes.
            sum.memory += number(&info, "used_memory:") - number(&info, "mem_clients_normal:");
            sum.keys += keys;
            sum.bytes_in += number(&info, "total_net_input_bytes:");
            let replicated = number(&info, "total_net_repl_output_bytes:");
            sum.bytes_replicated += replicated;
            // It counts what goes to replicas too.
            sum.bytes_out += number(&info, "total_net_output_bytes:") - replicated;
        }
        Ok(sum)
    }
}

/// The number after this in what a server says; 0 if it does not say it.
fn number(info: &str, before: &str) -> f64 {
    let rest = info.lines().find_map(|line| line.strip_prefix(before)).unwrap_or_default();
    rest.split(',').next().and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

impl Sub for Observed {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            waits: self.waits - before.waits,
            cpu: self.cpu - before.cpu,
            memory: self.memory - before.memory,
            keys: self.keys - before.keys,
            bytes_in: self.bytes_in - before.bytes_in,
            bytes_out: self.bytes_out - before.bytes_out,
            bytes_replicated: self.bytes_replicated - before.bytes_replicated,
        }
    }
}
