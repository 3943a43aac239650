//! Scale on paper: `scale needs --requests 10000 ..` calculates, `scale check` compares with a cluster.

use clap::{Args, Parser};
use idempotency_tests::scale::Outcome;
use idempotency_tests::scale::costs::Costs;
use idempotency_tests::scale::{Node, Workload, check};

#[derive(Debug, Parser)]
enum Command {
    /// What a workload needs of Redis.
    Needs(Arguments),
    /// Puts a load on a cluster of three masters on this machine, and compares the formula with what they count.
    Check(check::Arguments),
}

#[derive(Clone, Copy, Debug, Args)]
struct Arguments {
    /// Application servers.
    #[arg(long, default_value_t = 10.0)]
    servers: f64,
    /// Requests per second that carry a key.
    #[arg(long, default_value_t = 10_000.0)]
    requests: f64,
    /// Which share of them is a replay, from 0 to 1.
    #[arg(long, default_value_t = 0.05)]
    replays: f64,
    /// Hours that an answer is kept.
    #[arg(long, default_value_t = 24.0)]
    hours: f64,
    /// Bytes that are recorded of an answer.
    #[arg(long, default_value_t = 250.0)]
    answer: f64,
    /// Replicas of each master.
    #[arg(long, default_value_t = 1.0)]
    replicas: f64,
    /// Milliseconds that a WAIT takes; without it, claims do not wait.
    #[arg(long)]
    wait: Option<f64>,
    /// Which share of a node's one thread may be used.
    #[arg(long, default_value_t = 0.5)]
    load: f64,
    /// Gigabytes of keys that a node may hold.
    #[arg(long, default_value_t = 16.0)]
    memory: f64,
}

impl Arguments {
    fn workload(self) -> Workload {
        Workload {
            servers: self.servers,
            requests: self.requests,
            replays: self.replays,
            retention: self.hours * 3600.0,
            answer: self.answer,
            replicas: self.replicas,
            wait: self.wait.map(|wait| wait / 1000.0),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what the program is for")]
fn main() -> Outcome {
    match Command::parse() {
        Command::Needs(arguments) => {
            let node = Node { load: arguments.load, memory: arguments.memory * 1e9 };
            println!("{}", arguments.workload().needs(&Costs::MEASURED, node, None));
        }
        Command::Check(arguments) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            println!("| figure | predicted | measured | predicted / measured |\n|---|---|---|---|");
            for compared in runtime.block_on(check::run(arguments))? {
                println!("{compared}");
            }
        }
    }
    Ok(())
}
