//! What waiting for a replica costs.

use super::row::Bound::AtLeast;
use super::{Bench, Check, Row};
use crate::Outcome;
use crate::measure::Spread;
use crate::measure::store::Replicated;

const CLAIMS: u64 = 20_000;

pub(super) fn waiting_over_not(bench: &Bench) -> Outcome<Row> {
    let servers = Replicated::start()?;
    let ratio = |number: usize| -> Outcome<f64> {
        let of = |waits| servers.claims_per_second(waits, CLAIMS);
        Ok(if number.is_multiple_of(2) {
            let waiting = of(true)?;
            waiting / of(false)?
        } else {
            let local = of(false)?;
            of(true)? / local
        })
    };
    let ratios = (0..bench.effort.pairs).map(ratio).collect::<Outcome<Vec<_>>>()?;
    let checks = [Check::new("claims/s", AtLeast(0.6), Spread::of(ratios))];
    Ok(Row::new(18, "claims with WAIT 1 / without, 64 callers", checks))
}
