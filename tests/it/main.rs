//! The failure scenarios, each a test named after its number. `tests/README.md` says which is where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::large_futures, reason = "a test is polled once in a while, and by one thread")]
#![allow(
    clippy::unused_async,
    reason = "what kills and what pauses a server look alike to the scenarios that do either"
)]

mod after_kill;
mod callers;
mod chaos;
mod claim;
mod claim_limit;
mod client;
mod clock;
mod clock_back;
mod crash;
mod disconnect;
mod docs;
mod encryption;
mod faulty;
mod grpc;
mod hygiene;
mod late;
mod layer_order;
mod owner_life;
mod peers;
mod redis_clock;
mod redis_completing;
mod redis_connecting;
mod redis_doctor;
mod redis_down;
mod redis_failover;
mod redis_fences;
mod redis_figures;
mod redis_keys;
mod redis_kinds_laws;
mod redis_lane;
mod redis_laws;
mod redis_line;
mod redis_line_laws;
mod redis_memory;
mod redis_own;
mod redis_processes;
mod redis_recorded;
mod redis_records;
mod redis_redirects;
mod redis_rules;
mod redis_sentinels;
mod redis_slots;
mod redis_storm;
mod redis_storm_moves;
mod redis_tls;
mod redis_tools;
mod response;
mod revoked;
mod service;
mod shutdown;
mod sql_guard;
mod statements;
mod store_down;
mod storm;
mod storm_report;
mod streams;
mod takeover;
mod timeout;
mod topologies;
mod versions;
mod waiting;

/// The program of [`idempotency_tests::alone`].
const APP: &str = env!("CARGO_BIN_EXE_app");

/// The demo service.
const DEMO: &str = env!("CARGO_BIN_EXE_demo");

/// A process that has a `redis-server`.
const REDIS_OWNER: &str = env!("CARGO_BIN_EXE_redis-owner");
