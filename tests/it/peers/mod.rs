//! What other implementations were seen to do wrong when they were run, each as a test of this one. A test is named after
//! the package that did it; `tests/README.md` says which is which.

mod axum_idempotent;
mod hono_idempotency;
mod idempo;
mod idempot_js;
mod idempotent;
mod idempotent_redis;
mod node_idempotency;
mod powertools;
