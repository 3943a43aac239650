//! The storm against two servers while their master moves: Sentinels fail over, or slots of a Cluster change hands under the
//! traffic. What a fail-over leaves unknown is resolved by asking the bank, whose ledger judges.

#![allow(clippy::print_stdout, reason = "a seed that was drawn has to be told")]

use std::collections::BTreeMap;
use std::env;
use std::str::FromStr;
use std::time::Duration;

use idempotency_tests::{Bank, Count, RedisCluster, RedisOptions, SentinelGroup, Server, command, let_pass};

use crate::DEMO;
use crate::storm_report::Report;

/// What the storm may take. Its own deadline and its clients' patience end it long before.
const BOUND: Duration = Duration::from_secs(60 * 60);

/// How often the master has to have moved before a storm counts.
const MOVES: usize = 3;

/// How many storms there may be until it has: a few payments may be over before.
const STORMS: u64 = 60;

/// Slots that change hands in one move.
const SLOTS: u16 = 64;

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Storms until the master has moved often enough, and the verdict from the bank's ledger.
async fn storm_while(url: &str, moves: &Count, moving: impl Future<Output = ()>) {
    let payments = setting("STORM_PAYMENTS").unwrap_or(300);
    let seed = setting("STORM_SEED").unwrap_or_else(|| rand::random_range(1..1 << 32));
    println!("STORM_PAYMENTS={payments} STORM_SEED={seed}");
    let bank = Bank::start(DEMO).await;
    let server = || Server::on(DEMO, url, bank.url()).lease("3s").on_abandoned("resolve").start();
    let (a, b) = (server().await, server().await);
    let storms = async {
        let mut reports = Vec::new();
        for seed in seed..seed + STORMS {
            let mut storm = command(DEMO, ["storm", "--url", a.process.url(), "--url", b.process.url()]);
            storm.args(["--bank", bank.url(), "--payments", &payments.to_string(), "--seed", &seed.to_string()]);
            storm.args(["--clients", "32", "--lose-replies", "30", "--disconnect", "10", "--double-click", "20"]);
            storm.args(["--bank-lost-replies", "10", "--patience", "2m", "--deadline", "25m"]);
            let report = Report::of(storm, BOUND).await;
            report.expect_verdict(0);
            reports.push(report);
            if moves.get() >= MOVES {
                break;
            }
        }
        reports
    };
    let reports = tokio::select! {
        reports = storms => reports,
        () = moving => unreachable!("the moves have no end"),
    };
    println!("{} moves of the master", moves.get());
    assert!(moves.get() >= MOVES, "too short for a move");
    a.process.kill().await;
    b.process.kill().await;
    judge(&bank, &reports, payments).await;
}

async fn judge(bank: &Bank, reports: &[Report], payments: usize) {
    let mut ledger = BTreeMap::<String, usize>::new();
    for charge in bank.ledger().await {
        *ledger.entry(charge.reference).or_default() += 1;
    }
    let doubles: Vec<_> = ledger.iter().filter(|(_, charges)| **charges > 1).collect();
    assert!(doubles.is_empty(), "charged more than once: {doubles:?}");
    for report in reports {
        println!("{report}");
        report.judge(&ledger, payments);
        assert_eq!(report.count("indeterminate"), 0, "the bank knows what became of each");
    }
}

/// `STORM_PAYMENTS=10000 STORM_MOVE_MS=10000` is the long form, with a fail-over every ten seconds.
#[tokio::test]
async fn two_servers_charge_nobody_twice_while_sentinels_fail_over() {
    let group = SentinelGroup::start(RedisOptions::default().append_only("everysec")).await;
    let (moves, pause) = (Count::default(), setting("STORM_MOVE_MS").unwrap_or(500));
    let moving = async {
        loop {
            let_pass(Duration::from_millis(pause)).await;
            group.fail_over().await;
            moves.up();
            group.until_complete().await;
        }
    };
    // Two replicas: with one acknowledgement, the other one may be promoted, and claims would be forgotten.
    storm_while(&format!("{}?durability=replicated:2&replication_timeout_ms=500", group.url()), &moves, moving).await;
}

/// `STORM_PAYMENTS=10000` is the long form.
#[tokio::test]
async fn two_servers_charge_nobody_twice_while_a_cluster_is_resharded() {
    let cluster = RedisCluster::start(RedisOptions::default().append_only("everysec")).await;
    let moves = Count::default();
    let moving = async {
        for first in (0..16_384 - SLOTS).step_by(SLOTS.into()).cycle() {
            let to = (cluster.owner_of(first).await + 1) % 3;
            cluster.reshard(first..=first + SLOTS - 1, to).await;
            moves.up();
        }
    };
    storm_while(&format!("{}?replication_timeout_ms=500", cluster.url()), &moves, moving).await;
}
