//! The same for [`reqwest`], as middleware of `reqwest-middleware` (feature `reqwest`).

mod downstream;

pub use downstream::DownstreamMiddleware;
