//! What load is put on.

use std::net::SocketAddr;
use std::str::FromStr;

use clap::Parser;

/// A load on a server.
#[derive(Clone, Debug, Parser)]
pub struct Arguments {
    /// Where the server listens.
    #[arg(long)]
    pub address: SocketAddr,
    /// How many connections, kept alive.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Open loop: so many requests per second are due. Without it, closed loop.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How long, unless a number of requests is given.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// How many requests.
    #[arg(long)]
    pub requests: Option<u64>,
    /// How long the same load is put on before, unmeasured. A number of requests is not warmed up for.
    #[arg(long, default_value_t = 0.5)]
    pub warm_up: f64,
    /// `none`, `unique`, or `repeated:N`: the same N keys again and again, after each was sent once, unmeasured.
    #[arg(long, default_value = "unique")]
    pub keys: Keys,
    /// How many bytes a request's body has.
    #[arg(long, default_value_t = 64)]
    pub body: usize,
    /// The path that is posted to.
    #[arg(long, default_value = crate::server::PATH)]
    pub path: String,
    /// Runs with different seeds have different keys.
    #[arg(long, default_value_t = 0)]
    pub seed: u32,
}

/// Which keys requests have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// None.
    Absent,
    /// Each its own: first requests.
    Unique,
    /// So many, in turn: replays.
    Repeated(u64),
}

impl FromStr for Keys {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::Absent),
            None if text == "unique" => Ok(Self::Unique),
            Some(("repeated", keys)) => match keys.parse() {
                Ok(keys @ 1..) => Ok(Self::Repeated(keys)),
                _ => Err("repeated:N takes a number of keys"),
            },
            _ => Err("write none, unique or repeated:N"),
        }
    }
}
