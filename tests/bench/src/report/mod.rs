//! The long form: the table of goals and the curves, written into `docs/performance.md` and plots beside it.

mod curves;
mod page;
mod plot;

pub use curves::Curves;
pub use page::write;

use serde::{Deserialize, Serialize};

/// A line of a plot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}
