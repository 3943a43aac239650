//! The storm against two servers that share one Redis, while Redis is paused, Redis and the servers are killed with
//! SIGKILL, and all of them come back. The storm judges by the bank's ledger, and the test reads that ledger once more.

use std::collections::BTreeMap;
use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use idempotency_tests::{Bank, Count, RedisOptions, RedisServer, Server, command, free_port, let_pass};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::DEMO;
use crate::storm_report::Report;

/// Longer than a verb of the store waits for Redis.
const PAUSE: Duration = Duration::from_millis(1_500);

/// Between two faults, in milliseconds: short enough that each kind comes every few seconds.
const GAP: std::ops::Range<u64> = 300..1_500;

/// How long Redis is down, in milliseconds: sometimes longer than a request waits for it, so that requests are refused.
const DOWN: std::ops::Range<u64> = 100..5_000;

/// What the storm may take, recall included. Its own deadline and its clients' patience end it long before.
const BOUND: Duration = Duration::from_secs(60 * 60);

/// How many storms there may be until each fault has happened: a few payments may be over before.
const STORMS: u64 = 50;

/// How often each fault happened.
#[derive(Clone, Debug, Default)]
struct Faults {
    redis_paused: Count,
    redis_killed: Count,
    server_killed: [Count; 2],
}

impl Faults {
    fn counts(&self) -> [(&'static str, usize); 4] {
        let [a, b] = &self.server_killed;
        let counts = [&self.redis_paused, &self.redis_killed, a, b].map(Count::get);
        let [redis_paused, redis_killed, a, b] = counts;
        [("Redis paused", redis_paused), ("Redis killed", redis_killed), ("server A killed", a), ("server B killed", b)]
    }

    fn all_happened(&self) -> bool {
        self.counts().iter().all(|(_, times)| *times > 0)
    }
}

/// Everything that takes part, but for the storm.
struct Ground {
    redis: RedisServer,
    bank: Bank,
    addresses: [SocketAddr; 2],
    servers: [Option<Server>; 2],
    faults: Faults,
}

impl Ground {
    async fn prepare() -> Self {
        let redis = RedisServer::start(RedisOptions::default().append_only("everysec")).await;
        let bank = Bank::start(DEMO).await;
        let addresses = [free_port().await, free_port().await].map(|port| (Ipv4Addr::LOCALHOST, port).into());
        let mut ground = Self { redis, bank, addresses, servers: [None, None], faults: Faults::default() };
        ground.start(0).await;
        ground.start(1).await;
        ground
    }

    /// Starts a server at its address, whether Redis answers at this moment or not.
    async fn start(&mut self, which: usize) {
        let server = Server::on(DEMO, &self.redis.url(), self.bank.url()).listen(self.addresses[which]);
        self.servers[which] = Some(server.lease("3s").wait_for_store("60s").start().await);
    }

    async fn kill(&mut self, which: usize) {
        if let Some(server) = self.servers[which].take() {
            server.process.kill().await;
        }
    }

    /// One fault after another, until it is dropped. The gaps and the pause are what is tested here, so they are timed.
    async fn suffer(&mut self, seed: u64) {
        let mut dice = StdRng::seed_from_u64(seed);
        loop {
            let_pass(gap(&mut dice)).await;
            self.redis.stop().await;
            self.faults.redis_paused.up();
            let_pass(PAUSE).await;
            self.redis.cont();
            let_pass(gap(&mut dice)).await;
            self.redis.kill9();
            self.faults.redis_killed.up();
            let_pass(Duration::from_millis(dice.random_range(DOWN))).await;
            self.redis.restart().await;
            for which in [0, 1] {
                let_pass(gap(&mut dice)).await;
                self.kill(which).await;
                self.faults.server_killed[which].up();
                self.start(which).await;
            }
        }
    }

    /// The test's own verdict, from what the storms printed and the bank's ledger.
    async fn judge(&self, reports: &[Report], payments: usize) {
        assert!(self.faults.all_happened(), "too short for each fault: {:?}", self.faults.counts());
        let mut ledger = BTreeMap::<String, usize>::new();
        for charge in self.bank.ledger().await {
            *ledger.entry(charge.reference).or_default() += 1;
        }
        let doubles: Vec<_> = ledger.iter().filter(|(_, charges)| **charges > 1).collect();
        assert!(doubles.is_empty(), "charged more than once: {doubles:?}");
        for report in reports {
            report.judge(&ledger, payments);
        }
    }

    /// One real storm, or several until each fault has happened, to be awaited beside the faults.
    fn storms(&self, payments: usize, seed: u64) -> impl Future<Output = Vec<Report>> + use<> {
        let urls = self.addresses.map(|address| format!("http://{address}"));
        let (bank, faults) = (self.bank.url().to_owned(), self.faults.clone());
        async move {
            let mut reports = Vec::new();
            for seed in seed..seed + STORMS {
                reports.push(storm(&urls, &bank, payments, seed).await);
                if faults.all_happened() {
                    break;
                }
            }
            reports
        }
    }
}

/// The real storm. It is killed when this is dropped.
async fn storm([a, b]: &[String; 2], bank: &str, payments: usize, seed: u64) -> Report {
    let mut storm = command(DEMO, ["storm", "--url", a, "--url", b, "--bank", bank]);
    storm.args(["--payments", &payments.to_string(), "--clients", "32", "--seed", &seed.to_string()]);
    storm.args(["--lose-replies", "30", "--disconnect", "10", "--double-click", "20"]);
    storm.args(["--bank-lost-replies", "10", "--patience", "2m", "--deadline", "25m"]);
    let report = Report::of(storm, BOUND).await;
    report.expect_verdict(0);
    report
}

fn gap(dice: &mut StdRng) -> Duration {
    Duration::from_millis(dice.random_range(GAP))
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

/// `STORM_PAYMENTS=10000 STORM_SEED=7` makes more payments, with a seed that is printed.
#[tokio::test]
async fn two_servers_on_one_redis_charge_nobody_twice_while_all_three_are_paused_and_killed() {
    let payments = setting("STORM_PAYMENTS").unwrap_or(300);
    let seed = setting("STORM_SEED").unwrap_or_else(|| rand::random_range(1..1 << 32));
    println!("STORM_PAYMENTS={payments} STORM_SEED={seed}");
    let mut ground = Ground::prepare().await;
    let storms = ground.storms(payments, seed);
    let reports = tokio::select! {
        reports = storms => reports,
        () = ground.suffer(seed) => unreachable!("the faults have no end"),
    };
    for report in &reports {
        println!("{report}");
    }
    println!("{:?}", ground.faults.counts());
    // Nothing that is still under way may reach the bank behind the judge's back.
    ground.kill(0).await;
    ground.kill(1).await;
    ground.judge(&reports, payments).await;
}
