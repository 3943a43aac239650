//! Against the nearest peer, whose figures another program measures: `tests/bench/peers`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::row::Bound::{self, AtLeast};
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::Spread;

const OURS: &str = "tower-idempotency";
const PEER: &str = "axum-idempotent";

/// What is read of `target/bench/peers.json`; other fields are left alone.
#[derive(Debug, Deserialize)]
struct Peers {
    /// By the names that their registries give them.
    servers: BTreeMap<String, Server>,
}

#[derive(Debug, Default, Deserialize)]
struct Server {
    /// Each drove every server once, in another order.
    #[serde(default)]
    rounds: Vec<Round>,
    /// Why there are none, or not all.
    cannot_run: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Round {
    first: Option<Speed>,
    replay: Option<Speed>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Speed {
    per_second: f64,
}

#[expect(clippy::unnecessary_wraps, reason = "all rows are measured by functions of one type")]
pub(super) fn of_axum_idempotent(_: &Bench) -> Outcome<Row> {
    let peers = read();
    let check = |name: &str, bound: Bound, phase: fn(&Round) -> Option<Speed>| match peers
        .as_ref()
        .map_err(ToString::to_string)
        .and_then(|peers| peers.ratio(phase))
    {
        Ok(ratio) => Check::new(name, bound, Some(ratio)),
        Err(why) => Check::not_run(name, bound, why),
    };
    let checks = [
        check("first request, req/s", AtLeast(1.15), |round| round.first),
        check("replay, req/s", AtLeast(1.25), |round| round.replay),
    ];
    Ok(Row::new(16, "/ axum-idempotent, same Redis", checks))
}

impl Peers {
    /// Ours to the peer's, within each round.
    fn ratio(&self, phase: fn(&Round) -> Option<Speed>) -> Result<Spread, String> {
        let server = |name| self.servers.get(name).ok_or_else(|| format!("the peers' file does not have {name}"));
        let (ours, peer) = (server(OURS)?, server(PEER)?);
        if let Some(why) = [ours, peer].into_iter().find_map(|server| server.cannot_run.clone()) {
            return Err(why);
        }
        let rounds = ours.rounds.iter().zip(&peer.rounds);
        let ratios = rounds.filter_map(|(ours, peer)| Some(phase(ours)?.per_second / phase(peer)?.per_second));
        Spread::of(ratios).ok_or_else(|| "the peers' file has no round of both".to_owned())
    }
}

fn read() -> Outcome<Peers> {
    let text =
        fs::read_to_string(file()).map_err(|_| "the peers have not been measured: run `./tests/bench/peers/run`")?;
    Ok(serde_json::from_str(&text)?)
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/peers.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(text: &str) -> Peers {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        let peers = peers(
            r#"{"redis": "8.0.2", "servers": {
                "tower-idempotency": {"rounds": [{"first": {"per_second": 30.0}}, {"first": {"per_second": 20.0}}]},
                "axum-idempotent": {"rounds": [{"first": {"per_second": 20.0}}, {"first": {"per_second": 20.0}}]}}}"#,
        );
        assert_eq!(peers.ratio(|round| round.first), Ok(Spread { median: 1.25, min: 1.0, max: 1.5 }));
        assert!(peers.ratio(|round| round.replay).unwrap_err().contains("no round"));
    }

    #[test]
    fn a_peer_that_could_not_be_run_says_why() {
        let peers = peers(
            r#"{"servers": {"tower-idempotency": {"rounds": []},
                "axum-idempotent": {"rounds": [], "cannot_run": "it needs Redis 7.4"}}}"#,
        );
        assert_eq!(peers.ratio(|round| round.first), Err("it needs Redis 7.4".to_owned()));
    }
}
