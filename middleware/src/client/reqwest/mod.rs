//! The same for reqwest, as middleware of `reqwest-middleware` (feature `reqwest`).

mod downstream;
mod retry;

pub use downstream::DownstreamMiddleware;
pub use retry::RetryMiddleware;
