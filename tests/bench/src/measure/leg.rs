//! One load on one server, with what it cost.

use serde::{Deserialize, Serialize};

use super::cpu::run_time;
use super::process::{Generator, Server, Wrapper};
use super::redis_server::RedisServer;
use crate::Outcome;
use crate::load::{Keys, Report, count};
use crate::server::Kind;

/// What is measured: a server, and the load on it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The server.
    pub kind: Kind,
    /// Which keys the requests have.
    pub keys: Keys,
    /// How many connections.
    pub connections: usize,
    /// How many bytes a request's body has.
    pub body: usize,
    /// How many bytes an answer's body has.
    pub answer: usize,
    /// How long, in seconds.
    pub seconds: f64,
    /// Or how many requests.
    pub requests: Option<u64>,
    /// Requests per second that are due; a closed loop without it.
    pub rate: Option<f64>,
}

impl Subject {
    /// First requests: 64 connections in a closed loop, requests of 64 bytes, answers of 200.
    pub const fn first(kind: Kind) -> Self {
        Self {
            kind,
            keys: Keys::Unique,
            connections: 64,
            body: 64,
            answer: 200,
            seconds: 1.0,
            requests: None,
            rate: None,
        }
    }

    /// Replays of a thousand keys.
    pub const fn replay(kind: Kind) -> Self {
        Self { keys: Keys::Repeated(1000), ..Self::first(kind) }
    }

    /// Requests without a key.
    pub const fn keyless(kind: Kind) -> Self {
        Self { keys: Keys::Absent, ..Self::first(kind) }
    }
}

/// What a load came to, and what it cost per request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Leg {
    /// The load's own report.
    pub report: Report,
    /// The server's processor time per request, in microseconds.
    pub server_us: f64,
    /// Redis's, in microseconds.
    pub redis_us: f64,
}

/// Starts the server anew on an empty Redis, and puts the load on it.
///
/// # Errors
///
/// Whatever keeps it from being measured, answers that are no success included.
pub fn run(subject: &Subject, redis: &RedisServer) -> Outcome<Leg> {
    redis.flush()?;
    let server = Server::start(subject.kind, subject.answer, &redis.url(), Wrapper::None)?;
    let generator = Generator::start(server.address, subject)?;
    let (server_before, redis_before) = (run_time(server.id)?, run_time(redis.id())?);
    let report = checked(generator.run()?, subject)?;
    let micros = |spent: std::time::Duration| spent.as_secs_f64() * 1e6 / count(report.requests);
    let server_us = micros(run_time(server.id)?.saturating_sub(server_before));
    let redis_us = micros(run_time(redis.id())?.saturating_sub(redis_before));
    server.stop()?;
    Ok(Leg { report, server_us, redis_us })
}

/// A report of what was meant to be measured: answers that are replays where they should be, and nowhere else.
pub(super) fn checked(report: Report, subject: &Subject) -> Outcome<Report> {
    let Report { requests, failures, replays, .. } = report;
    let expected = match (subject.kind, subject.keys) {
        (Kind::Bare | Kind::Layer | Kind::Wrapping, _) | (_, Keys::Absent | Keys::Unique) => 0,
        (_, Keys::Repeated(_)) => requests,
    };
    if failures > 0 || replays != expected || requests == 0 {
        return Err(format!(
            "{:?}: of {requests} answers, {failures} were no success, and {replays} were replays instead of {expected}",
            subject.kind
        )
        .into());
    }
    Ok(report)
}
