//! x
mod answer;
mod body;
mod config;
mod context;
mod decision;
mod engine;
mod execution;
mod fingerprint;
mod headers;
mod key;
mod layer;
mod panic;
mod recorded;
mod recording;
mod rejection;
mod scope;
mod secret;
mod service;

pub use body::{RequestBody, ResponseBody};
pub use config::{ConfigError, OnDisconnect, Timing};
pub use context::Idempotency;
#[cfg(feature = "axum")]
pub use context::NotKeyed;
pub use engine::Drained;
pub use headers::{IDEMPOTENCY_STATUS, IDEMPOTENT_REPLAYED};
pub use key::{IDEMPOTENCY_KEY, IdempotencyKey, KeySyntax, MAX_KEY_LEN};
pub use layer::IdempotencyLayer;
pub use recorded::{AnswerError, RecordedAnswer};
pub use recording::Recording;
pub use rejection::{Rejection, RejectionKind};
pub use scope::Scope;
pub use secret::Secret;
pub use service::{IdempotencyService, ResponseFuture};
