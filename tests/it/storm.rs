//! Short storms with servers and a bank of their own, on each store that outlives a kill, by what is done about the keys of
//! servers that were killed.

use std::time::Duration;

use idempotency_tests::{RedisOptions, RedisServer, command};
use tempfile::TempDir;

use crate::DEMO;
use crate::storm_report::Report;

/// Far longer than so few payments take.
const BOUND: Duration = Duration::from_secs(5 * 60);

const PAYMENTS: usize = 300;

/// Hostile clients, and kills that come often enough for so few payments, unless the options say otherwise.
#[expect(clippy::print_stdout, reason = "a storm that failed is to be read")]
async fn storm(options: &str) -> Report {
    let usual =
        [("--payments", &*PAYMENTS.to_string()), ("--clients", "16"), ("--lease", "1s"), ("--kill-every", "400ms")];
    let mut storm = command(DEMO, ["storm"]);
    for (name, value) in usual.into_iter().filter(|(name, _)| !options.contains(name)) {
        storm.args([name, value]);
    }
    // What it keeps for whoever has to find out what went wrong goes with the test.
    let files = TempDir::new().unwrap();
    storm.args(options.split_whitespace()).env("TMPDIR", files.path());
    let report = Report::of(storm, BOUND).await;
    println!("{options}\n{report}");
    report
}

async fn redis() -> RedisServer {
    RedisServer::start(RedisOptions::default().append_only("everysec")).await
}

/// Two servers that share it.
fn two_on(redis: &RedisServer) -> String {
    format!("--servers 2 --store {}", redis.url())
}

/// Nothing happened that must not, and nobody was left without an answer.
fn expect_all_paid(report: &Report) {
    report.expect_verdict(0);
    assert_eq!((report.count("paid"), report.count("charges")), (PAYMENTS, PAYMENTS), "{report}");
    assert!(report.count("kills") >= 2, "{report}");
}

/// Kills that leave a busy machine time to finish, and attempts that a payment does not use up there: that they are used up
/// at some point is not what is shown here.
const REEXECUTED: &str = "--on-abandoned reexecute:20 --kill-every 700ms --bank-dedup --wait 2s";

/// What re-execution costs at a bank that executes whatever it gets.
fn expect_doubles(report: &Report) {
    report.expect_verdict(1);
    assert!(report.count("double charges") > 0, "{report}");
    assert_eq!((report.count("lost payments"), report.count("divergent answers")), (0, 0), "{report}");
    assert!(report.to_string().contains("FAILED, AS IT MUST"), "{report}");
}

/// All that a kill meets is on its way, most of it between the charge and its record: the bank loses each of its replies, so
/// that each charge has to be asked for.
const UNTIL_IT_DOUBLES: &str =
    "--clients 64 --kill-every 300ms --bank-lost-replies 100 --lose-replies 0 --disconnect 0";

#[tokio::test]
async fn two_servers_on_one_redis_are_killed_in_turn_and_charge_nobody_twice() {
    let redis = redis().await;
    let options = format!("{} --seed 31", two_on(&redis));
    let report = storm(&options).await;
    report.expect_verdict(0);
    assert!(report.count("kills") >= 3, "{report}");
    assert_eq!(report.count("paid") + report.count("indeterminate"), PAYMENTS);
    // The same storm again, with another bank: it must not meet what the first one left on Redis.
    storm(&options).await.expect_verdict(0);
}

#[tokio::test]
async fn resolved_by_the_bank_everybody_is_answered() {
    expect_all_paid(&storm("--on-abandoned resolve --seed 32").await);
}

#[tokio::test]
async fn resolved_by_the_bank_everybody_is_answered_by_two_servers() {
    let redis = redis().await;
    expect_all_paid(&storm(&format!("--on-abandoned resolve --wait 2s --seed 33 {}", two_on(&redis))).await);
}

#[tokio::test]
async fn reexecuted_at_a_bank_that_recognises_the_key_everybody_is_answered() {
    expect_all_paid(&storm(&format!("{REEXECUTED} --seed 34")).await);
}

#[tokio::test]
async fn reexecuted_at_a_bank_that_recognises_the_key_everybody_is_answered_by_two_servers() {
    let redis = redis().await;
    expect_all_paid(&storm(&format!("{REEXECUTED} --seed 35 {}", two_on(&redis))).await);
}

#[tokio::test]
async fn reexecuted_at_a_bank_that_recognises_nothing_some_are_charged_twice() {
    expect_doubles(&storm(&format!("--on-abandoned reexecute:5 --seed 36 {UNTIL_IT_DOUBLES}")).await);
}

#[tokio::test]
async fn reexecuted_at_a_bank_that_recognises_nothing_some_are_charged_twice_by_two_servers() {
    let redis = redis().await;
    let options = format!("--on-abandoned reexecute:5 --seed 37 {UNTIL_IT_DOUBLES} {}", two_on(&redis));
    expect_doubles(&storm(&options).await);
}
