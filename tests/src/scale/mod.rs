//! Scale on paper: what so many application servers, requests and answers need of Redis.
//!
//! The arithmetic is here, its constants in [`costs`]; [`check`] compares what it says with a cluster that runs.

pub mod check;
pub mod costs;

use std::fmt;

use costs::Costs;

/// The formula in words, for the page on performance.
pub const ON_PAPER: &str = include_str!("on-paper.md");

/// What comes of something that may fail.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What is asked of Redis.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Workload {
    /// Application servers, each with one connection to every master.
    pub servers: f64,
    /// Requests per second that carry a key, over all servers.
    pub requests: f64,
    /// Which share of them is answered with an answer that is there, from 0 to 1.
    pub replays: f64,
    /// How long an answer is kept, in seconds.
    pub retention: f64,
    /// How many bytes are recorded of an answer: its body, and some 50 for status and headers.
    pub answer: f64,
    /// How many replicas each master has.
    pub replicas: f64,
    /// How long a `WAIT` takes, in seconds, if claims wait for a replica.
    pub wait: Option<f64>,
}

/// What a node can do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Node {
    /// Which share of its one thread may be used, from 0 to 1.
    pub load: f64,
    /// Bytes of keys that it may hold.
    pub memory: f64,
}

/// What a workload needs. Rates are per second, over all masters.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Needs {
    /// Requests that claim their key and record an answer.
    pub first: f64,
    /// Requests that get an answer that is there.
    pub replays: f64,
    /// Commands that the servers send: two for a first request, one for a replay, and each `WAIT`.
    pub commands: f64,
    /// How many claims share one `WAIT`, if they wait.
    pub claims_per_wait: Option<f64>,
    /// Seconds of CPU per second that the masters need at their busiest: how much of their capacity is used.
    pub capacity: f64,
    /// Seconds of CPU per second that they are seen to use. An idle server wakes up for each command, so it is more than
    /// `capacity` and tells nothing of what is left.
    pub cpu: f64,
    /// Keys that are kept.
    pub keys: f64,
    /// Bytes that they take, on the masters and on all replicas.
    pub memory: f64,
    /// Bytes from the servers to the masters.
    pub bytes_in: f64,
    /// Bytes from the masters to the servers.
    pub bytes_out: f64,
    /// Bytes from the masters to their replicas.
    pub bytes_replicated: f64,
    /// Masters that are enough, for their CPU and for their memory.
    pub masters: f64,
}

impl Workload {
    /// What it needs, of so many masters if their number is given.
    pub fn needs(&self, costs: &Costs, node: Node, masters: Option<f64>) -> Needs {
        let (first, replays) = (self.requests * (1.0 - self.replays), self.requests * self.replays);
        let keys = first * self.retention;
        let memory = keys * costs.key_bytes(self.answer);
        let capacity = first * (costs.claim() + costs.complete(self.answer)) + replays * costs.replay(self.answer);
        let enough = (capacity / node.load).max(memory / node.memory).ceil().max(1.0);
        let masters = masters.unwrap_or(enough);
        let claims_per_wait = self.wait.map(|wait| claims_per_wait(first / (self.servers * masters), wait));
        let waits = claims_per_wait.map_or(0.0, |claims| first / claims);
        let sent = 2.0 * first + replays;
        Needs {
            first,
            replays,
            commands: sent + waits,
            claims_per_wait,
            capacity: capacity + waits * costs.line,
            cpu: (capacity + waits * costs.line + (sent + waits) * costs.wake).min(masters),
            keys,
            memory: memory * (1.0 + self.replicas),
            bytes_in: first * (costs.claim_bytes() + costs.complete_bytes(self.answer))
                + replays * costs.claim_bytes()
                + waits * costs.wait_bytes(),
            bytes_out: first * costs.reply_bytes
                + replays * costs.replay_bytes(self.answer)
                + waits * costs.number_bytes,
            bytes_replicated: first * costs.replicated_bytes(self.answer) * self.replicas,
            masters,
        }
    }
}

/// How many claims of one lane share a `WAIT`: those that come while the one before lasts, or the one that ends the silence.
///
/// Claims come independently of each other, `rate` per second. None comes during a `WAIT` with a chance of `e^-(rate wait)`,
/// and the lane then rests until the next does; so a `WAIT` is sent every `wait + e^-(rate wait) / rate` seconds.
fn claims_per_wait(rate: f64, wait: f64) -> f64 {
    rate * wait + (-rate * wait).exp()
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "first requests        {:>12.0} /s", self.first)?;
        writeln!(f, "replays               {:>12.0} /s", self.replays)?;
        writeln!(f, "commands              {:>12.0} /s", self.commands)?;
        if let Some(claims) = self.claims_per_wait {
            writeln!(f, "claims per WAIT       {claims:>12.1}")?;
        }
        writeln!(f, "Redis CPU, capacity   {:>12.2} cores", self.capacity)?;
        writeln!(f, "Redis CPU, seen       {:>12.2} cores", self.cpu)?;
        writeln!(f, "keys                  {:>12.0}", self.keys)?;
        writeln!(f, "memory, all nodes     {:>12.2} GB", self.memory / 1e9)?;
        writeln!(f, "to Redis              {:>12.2} MB/s", self.bytes_in / 1e6)?;
        writeln!(f, "from Redis            {:>12.2} MB/s", self.bytes_out / 1e6)?;
        writeln!(f, "to replicas           {:>12.2} MB/s", self.bytes_replicated / 1e6)?;
        write!(f, "masters               {:>12.0}", self.masters)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these are exact")]

    use super::*;

    const NODE: Node = Node { load: 0.5, memory: 16e9 };

    fn workload() -> Workload {
        Workload {
            servers: 10.0,
            requests: 10_000.0,
            replays: 0.1,
            retention: 86_400.0,
            answer: 250.0,
            replicas: 1.0,
            wait: None,
        }
    }

    fn needs(workload: Workload) -> Needs {
        workload.needs(&Costs::MEASURED, NODE, None)
    }

    #[test]
    fn a_first_request_is_two_commands_and_a_replay_is_one() {
        let needs = needs(workload());
        assert_eq!((needs.first, needs.replays), (9000.0, 1000.0));
        assert_eq!(needs.commands, 19_000.0);
    }

    #[test]
    fn replays_alone_keep_nothing() {
        let needs = needs(Workload { replays: 1.0, ..workload() });
        assert_eq!((needs.keys, needs.memory, needs.bytes_replicated), (0.0, 0.0, 0.0));
        assert_eq!(needs.masters, 1.0);
    }

    #[test]
    fn all_but_the_number_of_masters_grows_with_the_rate_in_proportion() {
        let (one, two) = (needs(workload()), needs(Workload { requests: 20_000.0, ..workload() }));
        for (one, two) in [
            (one.commands, two.commands),
            (one.capacity, two.capacity),
            (one.memory, two.memory),
            (one.bytes_in, two.bytes_in),
            (one.bytes_out, two.bytes_out),
            (one.bytes_replicated, two.bytes_replicated),
        ] {
            assert!((two / one - 2.0).abs() < 1e-9);
        }
        assert!(one.masters < two.masters && two.masters <= one.masters * 2.0);
    }

    #[test]
    fn the_scarcer_of_cpu_and_memory_decides_on_the_masters() {
        let brief = needs(Workload { retention: 60.0, requests: 200_000.0, ..workload() });
        assert_eq!(brief.masters, (brief.capacity / NODE.load).ceil());
        let long = needs(workload());
        assert_eq!(long.masters, (long.memory / 2.0 / NODE.memory).ceil());
    }

    #[test]
    fn claims_share_a_wait_only_if_more_than_one_comes_while_it_lasts() {
        assert_eq!(claims_per_wait(0.0, 0.001), 1.0);
        assert!((claims_per_wait(10.0, 0.001) - 1.0).abs() < 1e-4);
        assert!((claims_per_wait(50_000.0, 0.001) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn more_lanes_send_more_waits() {
        let waiting = |servers| needs(Workload { servers, wait: Some(0.001), ..workload() }).commands;
        assert!(waiting(1.0) < waiting(1000.0));
        // Two of a first request, one of a replay, and a WAIT of each claim at most.
        assert!(waiting(1e9) <= 2.0 * 9000.0 + 1000.0 + 9000.0);
    }

    #[test]
    fn no_more_cpu_is_seen_than_there_is() {
        let busy = Workload { requests: 1e6, ..workload() };
        assert_eq!(busy.needs(&Costs::MEASURED, NODE, Some(3.0)).cpu, 3.0);
    }
}
