//! The chaos harness, for a few seconds on each topology; and against mutants, so that its silence means something.
//!
//! `CHAOS_SEED=7 CHAOS_SECONDS=60` makes it longer, with a seed that is printed. The long run is a program of its own:
//! `cargo run --release -p idempotency-tests --bin chaos -- --help`.

#![allow(clippy::print_stdout, reason = "a run that fails is repeated with what it prints")]

use std::env;
use std::str::FromStr;
use std::time::Duration;

use idempotency_store::Durability;
use idempotency_tests::chaos::{Mutation, Plan, Report, Subject, Topology, run};

/// What a mutant may take until it is found out. It takes seconds.
const PATIENCE: Duration = Duration::from_secs(600);

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

fn plan(topology: Topology, subject: Subject) -> Plan {
    let seed = setting("CHAOS_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("CHAOS_SEED={seed} on {}: {}", topology.name(), subject.name());
    let plan = Plan::new(topology, subject, seed);
    // Tests share the machine with each other.
    let plan = Plan { clients: 150, servers: 4, ..plan };
    plan.lasting(Duration::from_secs(setting("CHAOS_SECONDS").unwrap_or(4)))
}

async fn survives(topology: Topology) -> Report {
    let report = run(&plan(topology, Subject::Redis(topology.durability()))).await;
    println!("{:#}", report.json());
    assert_eq!((report.doubles, report.broken.as_slice()), (0, [].as_slice()), "{}", report.seed);
    assert!(report.executed > 50 && report.fault_count() > 10, "too little happened: {:#}", report.json());
    report
}

async fn is_found_out(topology: Topology, subject: Subject) {
    let report = run(&plan(topology, subject).until_broken(PATIENCE)).await;
    println!("{:#}", report.json());
    assert!(report.is_broken(), "{}: nothing was found", report.subject);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_runs_twice_on_one_redis_that_is_killed_stopped_and_stepped() {
    survives(Topology::Standalone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s42_nothing_runs_twice_through_fail_overs_and_split_brains() {
    let report = survives(Topology::Pair).await;
    assert!(report.fail_overs.0 > 0, "{:?}", report.faults);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_runs_twice_when_sentinels_fail_over() {
    survives(Topology::Sentinel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_nothing_runs_twice_in_a_cluster_that_fails_over_and_moves_slots() {
    survives(Topology::Cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutant_without_wait_is_found_out() {
    is_found_out(Topology::Pair, Subject::Redis(Durability::Local)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutant_that_deletes_on_release_is_found_out() {
    is_found_out(Topology::Standalone, Subject::Naive(Mutation::DelOnRelease)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_of_the_mutants_is_not_found_out() {
    let control = run(&plan(Topology::Standalone, Subject::Naive(Mutation::None))).await;
    assert!(!control.is_broken(), "{:#?}", control.broken);
}
