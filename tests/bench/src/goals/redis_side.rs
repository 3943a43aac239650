//! What the verbs cost Redis.

use super::row::Bound::{self, AtMost};
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::store::{By, Costs, costs};
use crate::measure::{Program, RedisServer, Spread};

const KEYS: u64 = 20_000;

/// Keys with large answers: 128 MiB in all.
const LARGE_KEYS: u64 = 2_000;

/// Keys by which it is found out how the store completes.
const PROBED: u64 = 100;

const LARGE: usize = 64 * 1024;

impl Bench {
    /// The ratio of the store's costs to those of plain commands, in alternating pairs.
    fn over_plain(
        &self,
        redis: &RedisServer,
        answer: usize,
        keys: u64,
        figure: impl Fn(Costs) -> f64,
    ) -> Outcome<Option<Spread>> {
        let ratio = |number: usize| -> Outcome<f64> {
            let of = |by| costs(redis, by, answer, keys).map(&figure);
            Ok(if number.is_multiple_of(2) {
                let store = of(By::Store)?;
                store / of(By::PlainSets)?
            } else {
                let plain = of(By::PlainSets)?;
                of(By::Store)? / plain
            })
        };
        Ok(Spread::of((0..self.effort.pairs).map(ratio).collect::<Outcome<Vec<_>>>()?))
    }
}

pub(super) fn claim_and_complete(bench: &Bench) -> Outcome<Row> {
    let both = |Costs { claim, complete }| claim + complete;
    let with_script = bench.over_plain(&bench.redis, 200, KEYS, both)?;
    let checks = [
        Check::new("completion by script", AtMost(1.7), with_script),
        on_valkey(bench, "completion by SET IFEQ (Valkey 8.1)", AtMost(1.25), both),
    ];
    Ok(Row::new(11, "Redis CPU of claim and completion / SET and SET", checks))
}

pub(super) fn large_completion(bench: &Bench) -> Outcome<Row> {
    let ratio = bench.over_plain(&bench.redis, LARGE, LARGE_KEYS, |costs| costs.complete)?;
    Ok(Row::new(12, "Redis CPU of a completion with 64 KiB / SET", [Check::new("", AtMost(1.2), ratio)]))
}

/// Measured where the server has `SET IFEQ`, if the store sends it.
fn on_valkey(bench: &Bench, name: &str, bound: Bound, figure: impl Fn(Costs) -> f64) -> Check {
    let measured = || -> Outcome<Option<Spread>> {
        let valkey = RedisServer::start(Program::Valkey8, &[])?;
        costs(&valkey, By::Store, 200, PROBED)?;
        if valkey.calls("evalsha")? >= PROBED {
            return Err("the store completes by script on this server".into());
        }
        bench.over_plain(&valkey, 200, KEYS, figure)
    };
    match measured() {
        Ok(ratio) => Check::new(name, bound, ratio),
        Err(why) => Check::not_run(name, bound, why),
    }
}
