//! Short storms with servers and a bank of their own, on each store that outlives a kill.

use std::time::Duration;

use idempotency_tests::{RedisOptions, RedisServer, command};

use crate::DEMO;
use crate::storm_report::Report;

/// Far longer than so few payments take.
const BOUND: Duration = Duration::from_secs(5 * 60);

/// Hostile clients, and kills that come often enough for so few payments.
async fn storm(options: &str) -> Report {
    let mut storm = command(DEMO, ["storm", "--clients", "16", "--lease", "1s"]);
    storm.args(options.split_whitespace());
    let report = Report::of(storm, BOUND).await;
    println!("{options}\n{report}");
    report
}

#[tokio::test]
async fn two_servers_on_one_redis_are_killed_in_turn_and_charge_nobody_twice() {
    let redis = RedisServer::start(RedisOptions::default().append_only("everysec")).await;
    let options = format!("--payments 300 --kill-every 500ms --servers 2 --store {} --seed 31", redis.url());
    let report = storm(&options).await;
    report.expect_verdict(0);
    assert!(report.count("kills") >= 3, "{report}");
    assert_eq!(report.count("paid") + report.count("indeterminate"), 300);
    // The same storm again, with another bank: it must not meet what the first one left on Redis.
    storm(&options).await.expect_verdict(0);
}
