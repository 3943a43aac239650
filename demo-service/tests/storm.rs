//! The storm as a program: its own server killed under it, its exit status, and what it leaves behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows what it ran")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The storm with these options; everything that it makes is in this directory.
fn storm(directory: &Path, options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-service"));
    command.arg("storm").args(options.split_whitespace()).current_dir(directory).env_clear();
    command.env("TMPDIR", directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(options: &str) -> (Output, String, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let output = storm(directory.path(), options).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{report}{}", String::from_utf8_lossy(&output.stderr));
    (output, report, directory)
}

/// The number in a row of the report.
fn row(report: &str, name: &str) -> u64 {
    let row = report.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    row.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_killed_server_charges_nobody_twice() {
    let (output, report, directory) = run("--payments 300 --clients 16 --kill-every 700ms --lease 1s --seed 21");
    assert_eq!(output.status.code(), Some(0));
    assert!(report.contains("PASSED: 0 double charges, 0 lost payments, 0 divergent answers"));
    assert!(row(&report, "kills") >= 2);
    assert_eq!(row(&report, "paid") + row(&report, "indeterminate"), 300);
    assert_eq!(directory.path().read_dir().unwrap().count(), 0, "it left files behind");
}

#[test]
fn without_a_key_the_judge_sees_doubles_and_says_why() {
    let (output, report, _) = run("--payments 100 --without-key --seed 22");
    assert_eq!(output.status.code(), Some(1));
    assert!(row(&report, "double charges") > 0);
    assert!(report.contains("FAILED, AS IT MUST") && report.contains("this is what --without-key is for"));
}

#[test]
fn a_server_that_cannot_start_is_quoted() {
    let (output, ..) = run("--store embedded:/dev/null/store --payments 1");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("the server of the storm ended before it was ready") && said.contains("/dev/null/store"));
}

#[test]
fn a_storm_that_is_stopped_takes_its_server_along() {
    let directory = tempfile::tempdir().unwrap();
    let mut storm = storm(directory.path(), "--payments 100000 --kill-every 200ms").spawn().unwrap();
    let place = directory.path().to_string_lossy().into_owned();
    let began = Instant::now();
    let mut started = false;
    while !started && began.elapsed() < Duration::from_secs(20) {
        started = is_mentioned(&place);
    }
    // Before anything is asserted: a test that fails must not leave it running either.
    assert!(Command::new("kill").args(["-TERM", &storm.id().to_string()]).status().unwrap().success());
    assert_eq!(storm.wait().unwrap().code(), Some(2));
    assert!(started, "no server was started");
    assert!(!is_mentioned(&place), "the server outlived the storm");
}

/// Whether a process has this in its arguments; the server's name its store, and that lies in the test's own directory.
fn is_mentioned(place: &str) -> bool {
    let listed = Command::new("ps").args(["-A", "-ww", "-o", "args"]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).contains(place)
}
