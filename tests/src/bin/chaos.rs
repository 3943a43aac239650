//! Runs the chaos harness: `cargo run --release -p idempotency-tests --bin chaos -- --help`.

#![allow(clippy::print_stdout, reason = "a program that reports")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use idempotency_store::Durability;
use idempotency_tests::chaos::{Mutation, Plan, Report, Subject, Topology, markdown, mutant_table, run, run_processes};
use serde_json::Value;

/// Runs the layer over a real store while everything around it fails, and judges.
///
/// The exit status is 1 if a key was executed twice or answered differently; against mutants, if one was not found out.
#[derive(Parser)]
struct Args {
    /// Which servers: standalone, pair, sentinel, cluster; all of them if none is named.
    #[arg(long, value_delimiter = ',')]
    topology: Vec<Topology>,
    /// For how long keys begin their lives, on each topology.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// What everything is drawn from [default: a random number, printed].
    #[arg(long)]
    seed: Option<u64>,
    /// What a claim waits for: auto, local, replicated:N [default: what the topology needs: replicated:2 for sentinel, else auto]
    #[arg(long, value_parser = durability)]
    durability: Option<Durability>,
    /// How many keys live at a time.
    #[arg(long, default_value_t = 600)]
    clients: usize,
    /// Test mutants, which must be found out within the duration, instead of the shipped store.
    #[arg(long)]
    mutants: bool,
    /// Run the demo's servers and bank as processes, which are killed and stopped too.
    #[arg(long, conflicts_with = "mutants")]
    processes: bool,
    /// Adds the figures to this file, or begins it.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only prints the tables of this file.
    #[arg(long, conflicts_with = "json")]
    table: Option<PathBuf>,
}

fn durability(name: &str) -> Result<Durability, String> {
    match name.split_once(':') {
        None if name == "auto" => Ok(Durability::Auto),
        None if name == "local" => Ok(Durability::Local),
        Some(("replicated", replicas)) => match replicas.parse() {
            Ok(replicas) => Ok(Durability::Replicated { replicas }),
            Err(error) => Err(format!("{replicas:?} is no number of replicas: {error}")),
        },
        _ => Err("auto, local or replicated:N".to_owned()),
    }
}

impl Args {
    fn plans(&self, seed: u64) -> Vec<Plan> {
        let plan = |(number, (topology, subject)): (usize, (Topology, Subject))| {
            let plan = Plan::new(topology, subject, seed.wrapping_add(number as u64));
            let plan = if self.mutants { plan.until_broken(self.duration) } else { plan.lasting(self.duration) };
            Plan { clients: self.clients, ..plan }
        };
        self.subjects().into_iter().enumerate().map(plan).collect()
    }

    fn subjects(&self) -> Vec<(Topology, Subject)> {
        if self.mutants {
            let mutants = Mutation::ALL.map(|mutation| (Topology::Standalone, Subject::Naive(mutation)));
            let no_wait = (Topology::Pair, Subject::Redis(Durability::Local));
            // The control comes first: a harness that finds fault with everything proves nothing.
            let control = (Topology::Standalone, Subject::Naive(Mutation::None));
            return [control].into_iter().chain(mutants).chain([no_wait]).collect();
        }
        let all = if self.topology.is_empty() { Topology::ALL.to_vec() } else { self.topology.clone() };
        let durability = |topology: Topology| self.durability.unwrap_or(topology.durability());
        all.into_iter().map(|topology| (topology, Subject::Redis(durability(topology)))).collect()
    }
}

/// The demo is built beside this program.
async fn processes(plan: &Plan) -> Result<Report, Box<dyn Error>> {
    let demo = std::env::current_exe()?.with_file_name("demo");
    let demo = demo.to_str().ok_or("a path of plain characters")?;
    let plan = Plan { servers: 3, clients: plan.clients.min(64), ..plan.clone() };
    Ok(run_processes(&plan, demo, &[]).await)
}

fn show(report: &Report) {
    println!(
        "{} on {}: {} keys executed, {} requests, {} faults, {} fail-overs of which {} split brain, {} doubles, {} divergent, \
         {:.0} s, seed {}",
        report.subject,
        report.topology,
        report.executed,
        report.saw("requests"),
        report.fault_count(),
        report.fail_overs.0,
        report.fail_overs.1,
        report.doubles,
        report.saw("divergent"),
        report.took.as_secs_f64(),
        report.seed
    );
    for story in report.broken.iter().take(3) {
        println!("  {story}");
    }
}

fn read(path: &PathBuf) -> Result<Vec<Value>, Box<dyn Error>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn print(runs: &[Value], mutants: bool) {
    println!("\n{}", if mutants { mutant_table(runs) } else { markdown(runs) });
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    if let Some(path) = &args.table {
        print(&read(path)?, args.mutants);
        return Ok(ExitCode::SUCCESS);
    }
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed}");
    let (mut runs, mut as_expected) = (Vec::new(), true);
    for plan in args.plans(seed) {
        let report = if args.processes { Box::pin(processes(&plan)).await? } else { Box::pin(run(&plan)).await };
        show(&report);
        as_expected &= report.is_broken() == (args.mutants && plan.subject != Subject::Naive(Mutation::None));
        runs.push(report.json());
    }
    print(&runs, args.mutants);
    if let Some(path) = &args.json {
        let mut all = read(path)?;
        all.append(&mut runs);
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
