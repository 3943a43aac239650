//! The harness of the failure scenarios: an application behind the layer, stores that fail on demand, real processes that
//! can be paused and killed, and downstreams that count what reached them.
//!
//! | piece | what it is |
//! |---|---|
//! | [`App`] | an axum application in this process, on a real socket, behind the layer |
//! | [`Backend`] | a store to run a scenario on, and the clock that it judges by; [`on_each_store!`] runs it on all |
//! | [`Faulty`] | a store in front of a store: loses requests and replies, refuses, pauses, counts |
//! | [`Downstream`] | where handlers have their effects, and the judge of how many there were |
//! | [`Process`] | the demo's real server and bank, with signals |
//! | [`Relay`] | the line between server and bank, held at a chosen point |
//! | [`Line`] | the line between a client and a server, cut at a chosen point |
//! | [`RedisServer`] | a real Redis of one's own, with signals and restarts |
//! | [`RedisPair`], [`SentinelGroup`], [`RedisCluster`] | several of them, which replicate and fail over |
//! | [`redis_kinds`] | stores on each of these, over TLS, as the smallest user, by functions only |
//! | [`LoneNode`] | a cluster of one node, all of it behind a line that a test breaks |
//! | [`ServerClock`] | a Redis's wall clock, stepped while it runs |
//! | [`RedisProxy`] | the line to a Redis, cut, slowed and mixed up at a chosen command |
//! | [`Reply`] | an answer with every byte that a test may compare |
//!
//! Two rules keep the scenarios honest. Nothing waits for a guessed time: what is awaited is an event, and one that does
//! not come within a minute fails the test with its name ([`within`]). And nothing passes because something is missing: a
//! library or a program that is not there is a failure that says how to get it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness fails by panicking"
)]
#![allow(clippy::missing_panics_doc, reason = "the same")]

pub mod alone;
mod app;
pub mod backend;
mod certificates;
pub mod chaos;
mod downstream;
pub mod faketime;
mod faults;
mod gate;
mod handlers;
mod line;
mod lone_node;
mod process;
pub mod raw;
mod redis_backend;
mod redis_cluster;
pub mod redis_kinds;
mod redis_options;
mod redis_pair;
mod redis_probe;
mod redis_program;
pub mod redis_proxy;
mod redis_server;
mod relay;
mod reply;
pub mod resp;
pub mod scale;
mod sentinel_group;
mod server_clock;
mod service;
mod streams;
mod wait;

pub use app::{App, Builder, Layer, MERCHANT, patient};
pub use backend::Backend;
pub use certificates::Certificates;
pub use downstream::{Checks, Downstream};
pub use faults::{Fault, Faults, Faulty, Verb};
pub use gate::Gate;
pub use handlers::Run;
pub use line::{Cut, Line};
pub use lone_node::LoneNode;
pub use process::{Process, command, die_with_parent};
pub use redis_backend::{Redis, RedisFences};
pub use redis_cluster::{Moving, RedisCluster};
pub use redis_options::RedisOptions;
pub use redis_pair::RedisPair;
pub use redis_probe::Commands;
pub use redis_program::Program;
pub use redis_proxy::{LineFault, RedisProxy};
pub use redis_server::{RedisServer, free_port};
pub use relay::Relay;
pub use reply::{Reply, reply, try_reply};
pub use sentinel_group::{MASTER, SentinelGroup};
pub use server_clock::ServerClock;
pub use service::{Bank, Options, Server};
pub use wait::{Count, eventually, let_pass, within};
