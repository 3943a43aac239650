//! The rows of one run.

use serde::{Deserialize, Serialize};

use super::row::Row;

/// What one run came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Alternating pairs of each comparison.
    pub pairs: usize,
    /// How long each half of a pair took.
    pub seconds: f64,
    /// The server that ratios are measured on.
    pub redis: String,
    /// The goals.
    pub rows: Vec<Row>,
}
