//! What is plotted.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Curve;
use crate::Outcome;
use crate::load::count;
use crate::measure::store::{By, Costs, costs};
use crate::measure::{Program, RedisServer, Spread, Subject, run};
use crate::server::Kind;

/// All curves of one run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Curves {
    /// Latency at 2,000 requests per second: share of the answers by microseconds.
    pub latency: Vec<Curve>,
    /// Requests per second by connections.
    pub throughput: Vec<Curve>,
    /// Redis's microseconds by bytes of the answer.
    pub answers: Vec<Curve>,
}

/// Requests per second of the latencies.
const RATE: f64 = 2_000.0;

const CONNECTIONS: [usize; 5] = [1, 4, 16, 64, 256];

/// Sizes of answers, and keys of each: fewer where they are large.
const ANSWERS: [(usize, u64); 5] = [(200, 20_000), (1024, 20_000), (4096, 10_000), (16_384, 4_000), (65_536, 2_000)];

/// What is drawn in the latency and throughput plots.
const SUBJECTS: [(&str, Subject); 6] = [
    ("bare axum", Subject::first(Kind::Bare)),
    ("floor, first", Subject::first(Kind::Floor)),
    ("Redis, first", Subject::first(Kind::Redis)),
    ("Redis, replay", Subject::replay(Kind::Redis)),
    ("embedded, first", Subject::first(Kind::Embedded)),
    ("memory, first", Subject::first(Kind::Memory)),
];

impl Curves {
    /// Measures each point so often, and takes the median.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub fn measure(rounds: usize, seconds: f64, mut progress: impl FnMut(&str)) -> Outcome<Self> {
        let redis = RedisServer::start(Program::System, &[])?;
        progress("latency");
        let latency = SUBJECTS.iter().map(|(name, subject)| latency(name, subject, &redis, seconds));
        let latency = latency.collect::<Outcome<_>>()?;
        progress("throughput by connections");
        let throughput = SUBJECTS.iter().map(|(name, subject)| throughput(name, subject, &redis, rounds, seconds));
        let throughput = throughput.collect::<Outcome<_>>()?;
        progress("Redis by answers");
        Ok(Self { latency, throughput, answers: answers(&redis, rounds)? })
    }

    /// Where the last ones are kept.
    pub fn file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/curves.json")
    }

    /// Keeps them.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(&self) -> Outcome {
        let file = Self::file();
        fs::create_dir_all(file.parent().ok_or("a file has a folder")?)?;
        Ok(fs::write(file, serde_json::to_string(self)?)?)
    }

    /// Those that were kept.
    ///
    /// # Errors
    ///
    /// There are none.
    pub fn load() -> Outcome<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(Self::file())?)?)
    }
}

fn latency(name: &str, subject: &Subject, redis: &RedisServer, seconds: f64) -> Outcome<Curve> {
    // Long enough for a 99.9th percentile of thousands.
    let subject = Subject { rate: Some(RATE), seconds: seconds.max(5.0), ..*subject };
    let points = run(&subject, redis)?.report.latency.distribution;
    Ok(Curve { name: name.to_owned(), points: points.into_iter().map(|(share, micros)| (micros, share)).collect() })
}

fn throughput(name: &str, subject: &Subject, redis: &RedisServer, rounds: usize, seconds: f64) -> Outcome<Curve> {
    let mut points = Vec::new();
    for connections in CONNECTIONS {
        let subject = Subject { connections, seconds, ..*subject };
        let rounds = (0..rounds).map(|_| run(&subject, redis).map(|leg| leg.report.per_second));
        let rounds = rounds.collect::<Outcome<Vec<_>>>()?;
        points.extend(Spread::of(rounds).map(|spread| (count(u64::try_from(connections).unwrap_or(0)), spread.median)));
    }
    Ok(Curve { name: name.to_owned(), points })
}

fn answers(redis: &RedisServer, rounds: usize) -> Outcome<Vec<Curve>> {
    type Figure = fn(Costs) -> f64;
    let kinds: [(&str, By, Figure); 4] = [
        ("claim", By::Store, |costs| costs.claim),
        ("completion", By::Store, |costs| costs.complete),
        ("claim and completion", By::Store, |costs| costs.claim + costs.complete),
        ("SET", By::PlainSets, |costs| costs.complete),
    ];
    let mut curves: Vec<_> =
        kinds.iter().map(|(name, ..)| Curve { name: (*name).to_owned(), points: Vec::new() }).collect();
    for (answer, keys) in ANSWERS {
        let of = |by| (0..rounds).map(|_| costs(redis, by, answer, keys)).collect::<Outcome<Vec<_>>>();
        let (store, plain) = (of(By::Store)?, of(By::PlainSets)?);
        for (curve, (_, by, figure)) in curves.iter_mut().zip(kinds) {
            let costs = if by == By::Store { &store } else { &plain };
            let median = Spread::of(costs.iter().copied().map(figure)).map(|spread| spread.median);
            curve.points.extend(median.map(|median| (count(u64::try_from(answer).unwrap_or(0)), median)));
        }
    }
    Ok(curves)
}
