//! Instructions by callgrind, and system calls by strace: what a run of many requests has over a run of few, so that starting
//! and ending cancel out.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::leg::{Subject, checked};
use super::process::{Generator, Server, Wrapper};
use super::redis_server::RedisServer;
use crate::Outcome;
use crate::load::count;

/// Connections of these runs, always the same.
const CONNECTIONS: usize = 16;

const FEW: u64 = 1_000;

/// Instructions in user space per request, kernel not included.
///
/// # Errors
///
/// valgrind is missing, or the server cannot be measured.
pub fn instructions(subject: &Subject, redis: &RedisServer, many: u64) -> Outcome<f64> {
    difference(many, |requests, file| {
        under(subject, redis, Wrapper::Callgrind(file), requests)?;
        total(file, "totals:", 1)
    })
}

/// System calls per request.
///
/// # Errors
///
/// strace is missing, or the server cannot be measured.
pub fn syscalls(subject: &Subject, redis: &RedisServer, many: u64) -> Outcome<f64> {
    difference(many, |requests, file| {
        under(subject, redis, Wrapper::Strace(file), requests)?;
        total(file, "100.00", 3)
    })
}

/// Where the instructions of a subject go: callgrind's own listing of functions, those with what they call first.
///
/// # Errors
///
/// valgrind is missing, or the server cannot be measured.
pub fn listing(subject: &Subject, redis: &RedisServer, requests: u64) -> Outcome<String> {
    let directory = TempDir::new()?;
    let file = directory.path().join("listing");
    under(subject, redis, Wrapper::Callgrind(&file), requests)?;
    let annotate =
        Command::new("callgrind_annotate").args(["--inclusive=yes", "--threshold=99.9"]).arg(&file).output()?;
    Ok(String::from_utf8_lossy(&annotate.stdout).into_owned())
}

fn difference(many: u64, run: impl Fn(u64, &Path) -> Outcome<u64>) -> Outcome<f64> {
    let directory = TempDir::new()?;
    let few = run(FEW, &directory.path().join("few"))?;
    let all = run(many, &directory.path().join("many"))?;
    Ok(count(all.saturating_sub(few)) / count(many - FEW))
}

/// Runs so many requests against the server under a tool, which has written its file when this returns.
fn under(subject: &Subject, redis: &RedisServer, wrapper: Wrapper<'_>, requests: u64) -> Outcome {
    redis.flush()?;
    let subject = Subject { connections: CONNECTIONS, requests: Some(requests), rate: None, ..*subject };
    let server = Server::start(subject.kind, subject.answer, &redis.url(), wrapper)?;
    checked(Generator::start(server.address, &subject)?.run()?, &subject)?;
    server.stop()
}

/// The number in this column of the line that begins with `name`.
fn total(file: &Path, name: &str, column: usize) -> Outcome<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().rev().find(|line| line.trim_start().starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(column));
    Ok(number.ok_or_else(|| format!("the tool wrote no line {name:?}"))?.parse()?)
}
