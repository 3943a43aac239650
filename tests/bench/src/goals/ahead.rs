//! Against the nearest peer, whose figures another program measures: `tests/bench/peers`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::row::Bound::{self, AtLeast};
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::Spread;

/// What is read of `target/bench/peers.json`; other fields are left alone. A ratio is that of requests per second,
/// tower-idempotency / the peer, on one Redis, of alternating pairs.
#[derive(Debug, Deserialize)]
struct Peers {
    peers: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
struct Peer {
    /// As its registry calls it.
    name: String,
    /// Ratio of first requests; absent if it could not be run.
    first: Option<Spread>,
    /// Ratio of replays.
    replay: Option<Spread>,
    /// Why it could not be run.
    not_run: Option<String>,
}

const PEER: &str = "axum-idempotent";

#[expect(clippy::unnecessary_wraps, reason = "all rows are measured by functions of one type")]
pub(super) fn of_axum_idempotent(_: &Bench) -> Outcome<Row> {
    let peer = read();
    let check = |name: &str, bound: Bound, figure: fn(&Peer) -> Option<Spread>| match &peer {
        Ok(peer) => match figure(peer) {
            Some(ratio) => Check::new(name, bound, Some(ratio)),
            None => Check::not_run(name, bound, peer.not_run.as_deref().unwrap_or("the peers' file has no figure")),
        },
        Err(why) => Check::not_run(name, bound, why),
    };
    let checks = [
        check("first request, req/s", AtLeast(1.15), |peer| peer.first),
        check("replay, req/s", AtLeast(1.25), |peer| peer.replay),
    ];
    Ok(Row::new(16, "/ axum-idempotent, same Redis", checks))
}

fn read() -> Outcome<Peer> {
    let text = fs::read_to_string(file()).map_err(|_| "the peers have not been measured: see tests/bench/peers")?;
    let Peers { peers } = serde_json::from_str(&text)?;
    Ok(peers.into_iter().find(|peer| peer.name == PEER).ok_or("the peers' file does not have it")?)
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/peers.json")
}
