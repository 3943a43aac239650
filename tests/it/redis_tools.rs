//! The tools of the Redis scenarios, tried on Redis itself.

mod client;
mod proxy;
mod server;
