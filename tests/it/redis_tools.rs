//! The tools of the Redis scenarios, tried on Redis itself.

mod server;
