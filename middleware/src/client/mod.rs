//! The client's half: calls that carry a key and a fence (feature `client`).

mod downstream;
#[cfg(feature = "reqwest")]
pub mod reqwest;

pub use downstream::{DownstreamFuture, DownstreamLayer, DownstreamService};

/// What tower's own layers use where several kinds of errors meet.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
