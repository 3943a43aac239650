//! Idempotency keys for HTTP services: a [tower] layer that runs a request once and answers every retry with the first
//! answer, byte for byte.
//!
//! A request that carries an `Idempotency-Key` is recorded in a [`store`] before its handler starts, and
//! its answer is recorded before the first byte of it leaves. What happens when a client vanishes, a handler panics or a
//! process dies is part of the contract and stands below.
//!
//! ```
//! use axum::{Router, http::StatusCode, routing::post};
//! use tower_idempotency::{Idempotency, IdempotencyLayer, Scope, Secret, store::MemoryStore};
//!
//! #[derive(Clone)]
//! struct Merchant(String); // put into the request's extensions by your authentication
//!
//! async fn pay(idempotency: Idempotency) -> (StatusCode, String) {
//!     // The same for every attempt of this key: the bank can tell a retry from a second payment.
//!     (StatusCode::CREATED, idempotency.downstream_key("charge"))
//! }
//!
//! # fn main() -> Result<(), tower_idempotency::ConfigError> {
//! let scope = Scope::extension(|merchant: &Merchant| merchant.0.as_bytes());
//! let layer = IdempotencyLayer::new(MemoryStore::new(), scope, Secret::random()?).required();
//! let app: Router = Router::new().route("/payments", post(pay)).route_layer(layer);
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # The rules
//!
//! 1. A safe method (GET, HEAD, OPTIONS, TRACE), or a request without a key where none is
//!    [required](IdempotencyLayer::required), **passes through** untouched and streaming.
//! 2. The **first** request with a key runs. Its answer is recorded before it is sent: status, an allow-list of header
//!    fields with order and repetitions, body, trailers.
//! 3. A request with the same key and the same [fingerprint](IdempotencyLayer::fingerprint_header) is answered with the
//!    **recorded answer**, `Idempotent-Replayed: true`, and the time of its recording in `Idempotency-Recorded-At`.
//!    Failures are outcomes and are replayed too.
//! 4. The same key with **another request** gets 422 `key-reused`, in whatever state the first one is.
//! 5. While the first request runs, others get **409 `in-flight`** with `Retry-After`, or [wait](Wait) for its answer.
//! 6. If nobody knows whether the first request was executed - its process died, its handler panicked - others get **409
//!    `indeterminate`**. The handler is not entered again, unless [`OnAbandoned`] says otherwise.
//! 7. The key is **released**, and the next request runs, only if the handler certainly did nothing: it says
//!    [`Recording::NotExecuted`], or answers 425 or 429. A [`RecordingPolicy`] that releases more is yours to answer for.
//! 8. If the store cannot be asked, the request is **refused** with 503 and has not run. If it cannot be told the answer
//!    within 2 s, the client gets the answer with `Idempotency-Status: unrecorded`, and recording goes on behind it. A
//!    route may choose to [fail open](OnUnavailable::FailOpen).
//! 9. How fast one scope claims new keys may be [limited](ClaimLimit): 429 `too-many-claims`, before the store is asked.
//!
//! [`problems`] lists every rejection with what its client should do.
//!
//! # Where the layer belongs
//!
//! ```text
//! trace -> request id -> CORS -> compression -> authentication -> IDEMPOTENCY -> timeout -> body limit -> handler
//! ```
//!
//! - *Inside authentication*: replays are authorised like any request, and the [`Scope`] is the principal.
//! - *Outside a timeout*: a timeout outside drops the wait for the handler, not the handler; a timeout inside is an
//!   outcome (408), recorded like any other.
//! - *Inside compression*: the recorded answer is the plain one.
//! - With axum, `route_layer` instead of `layer`, so that 404s are not the layer's business.
//!
//! ```
//! use axum::{Router, routing::post};
//! use tower::ServiceBuilder;
//! use tower_idempotency::{IdempotencyLayer, Scope, Secret, store::MemoryStore};
//! # use axum::{extract::Request, middleware::{from_fn, Next}, response::Response};
//! # #[derive(Clone)] struct Merchant(String);
//! # async fn authenticate(mut request: Request, next: Next) -> Response {
//! #     request.extensions_mut().insert(Merchant("m1".into()));
//! #     next.run(request).await
//! # }
//! # fn main() -> Result<(), tower_idempotency::ConfigError> {
//! # let secret = Secret::random()?;
//! let scope = Scope::extension(|merchant: &Merchant| merchant.0.as_bytes());
//! // A `ServiceBuilder` runs from the top down; with several `.layer()` calls the last one would be outermost.
//! let layers = ServiceBuilder::new()
//!     .layer(from_fn(authenticate))
//!     .layer(IdempotencyLayer::new(MemoryStore::new(), scope, secret));
//! let app: Router = Router::new().route("/payments", post(|| async { "paid" })).route_layer(layers);
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # On the receiving side
//!
//! A service that is called by attempts of somebody else's keys puts a [`FenceGuardLayer`] in front of its layer, which refuses
//! those that were superseded. [`guard`] says what it adds, and what it cannot do.
//!
//! # Cancellation
//!
//! | what ends | while the body is read | while the handler runs |
//! |---|---|---|
//! | the client leaves | no record, nothing ran | the handler finishes, its answer is recorded ([`OnDisconnect`]) |
//! | the handler panics | - | 500 to this client; the key is indeterminate |
//! | the inner service fails (`Err`) | - | the error is returned unchanged; the key is indeterminate |
//! | graceful shutdown ([`IdempotencyLayer::drain`]) | 503 `shutting-down` | waits, then marks the rest indeterminate |
//! | the process dies | no record, nothing ran | `in-flight` until the lease lapses, then indeterminate |
//!
//! # Defaults
//!
//! | setting | default |
//! |---|---|
//! | key | optional; [`required`](IdempotencyLayer::required) per layer or [route](RouteSettings) |
//! | [key syntax](IdempotencyLayer::key_syntax) | [lenient](KeySyntax::Lenient) |
//! | [key length](IdempotencyLayer::key_length) | [1 to 255 bytes](defaults::KEY_LENGTH) |
//! | [lease](Timing::lease), renewed at a third of it | [30 s](defaults::LEASE) |
//! | [maximal execution](Timing::max_execution) | [10 min](defaults::MAX_EXECUTION) |
//! | [retention](Timing::retention) | [24 h](defaults::RETENTION) |
//! | released key refuses delayed packets for | [60 s](defaults::RELEASED) |
//! | [claim budget](Timing::claim_budget) | [3 s](defaults::CLAIM_BUDGET), then 503 |
//! | [completion wait](Timing::completion_wait) | [2 s](defaults::COMPLETION_WAIT), then `unrecorded` |
//! | [request body](IdempotencyLayer::max_request_body) | [1 MiB](defaults::MAX_REQUEST_BODY) |
//! | [recorded answer](IdempotencyLayer::max_recorded_answer) | [1 MiB](defaults::MAX_RECORDED_ANSWER) |
//! | [what is recorded](IdempotencyLayer::recording) | [everything](RecordingPolicy::everything) but 425 and 429 |
//! | [store cannot be asked](IdempotencyLayer::on_unavailable) | [refuse](OnUnavailable::Refuse): 503 |
//! | [client leaves](IdempotencyLayer::on_disconnect) | [finish](OnDisconnect::Finish) |
//! | [drain](IdempotencyLayer::drain) at shutdown | [30 s](defaults::DRAIN) is usual |
//! | memory store | [1,000,000 records](defaults::MEMORY_RECORDS) |
//! | [abandoned attempt](OnAbandoned) | refuse: 409 `indeterminate` |
//! | [attempts of `reexecute`](OnAbandoned::reexecute) | [5](OnAbandoned::ATTEMPTS), to be named |
//! | [wait for a running request](Wait), [at a time](Wait::waiters) | off; 10 s, 16,384 requests |
//! | [new keys per scope](ClaimLimit) | not limited; [65,536 scopes](defaults::LIMITED_SCOPES) are remembered |
//! | [budget of a resolver](OnAbandoned::resolve_within) | 10 s, then 409 `indeterminate` with `Retry-After` |
//!
//! # Features
//!
//! | feature | default? | what it adds |
//! |---|---|---|
//! | `axum` | yes | the extractor [`Idempotency`]; the original path of nested routers in the fingerprint |
//! | `memory` | yes | [`store::MemoryStore`] |
//! | `embedded` | no | `store::EmbeddedStore`: durable, in one file |
//! | `redis` | no | `store::RedisStore`: one Redis, Sentinels or a Cluster, shared by several services |
//! | `encrypt` | no | `store::EncryptedStore`: seals answers and checkpoints in front of any store |
//! | `cache` | no | `store::CachedStore`: replays come from this process's memory for some seconds |
//! | `fast-fingerprint` | no | `IdempotencyLayer::fast_fingerprint`: XXH3 of large request bodies |
//! | `client` | no | `client`: tower layers for those who call such a service, or are called by one |
//! | `reqwest` | no | `client::reqwest`: the same as middleware of `reqwest-middleware` |
//!
//! [tower]: https://docs.rs/tower

mod abandoned;
mod admission;
mod answer;
mod body;
mod buckets;
mod checkpoint;
mod claim_limit;
#[cfg(feature = "client")]
pub mod client;
mod config;
mod context;
mod counts;
mod decision;
pub mod defaults;
mod downstream;
mod engine;
mod execution;
mod fence_header;
mod fingerprint;
mod framed;
pub mod guard;
mod headers;
mod in_heap;
mod key;
mod layer;
mod on_abandoned;
mod panic;
pub mod problems;
mod recorded;
mod recording;
mod recording_policy;
mod rejection;
mod rejection_style;
mod reply;
mod resolving;
mod route;
mod scope;
mod secret;
mod service;
mod settings;
mod unprotected;
mod wait;
mod waiting;

/// The stores, re-exported from `idempotency-store`.
pub use idempotency_store as store;

/// How long one answer is kept, re-exported for [`Recording::KeepFor`] and [`RouteSettings::retention`].
pub use idempotency_store::Retention;

pub use abandoned::{Abandoned, Resolution};
pub use body::{RequestBody, ResponseBody};
pub use checkpoint::CheckpointError;
pub use claim_limit::ClaimLimit;
pub use config::{ConfigError, OnDisconnect, OnUnavailable, Timing};
pub use context::Idempotency;
#[cfg(feature = "axum")]
pub use context::NotKeyed;
pub use counts::Counts;
pub use downstream::{Downstream, DownstreamError, LeaseLost};
pub use engine::Drained;
pub use fence_header::{FenceHeader, FenceHeaderError, IDEMPOTENCY_FENCE};
pub use guard::FenceGuardLayer;
pub use headers::{IDEMPOTENCY_RECORDED_AT, IDEMPOTENCY_STATUS, IDEMPOTENT_REPLAYED};
pub use key::{IDEMPOTENCY_KEY, IdempotencyKey, KeyError, KeySyntax, MAX_KEY_LEN};
pub use layer::IdempotencyLayer;
pub use on_abandoned::OnAbandoned;
pub use recorded::{AnswerError, RecordedAnswer};
pub use recording::Recording;
pub use recording_policy::RecordingPolicy;
pub use rejection::{Rejection, RejectionKind};
pub use route::RouteSettings;
pub use scope::Scope;
pub use secret::Secret;
pub use service::{IdempotencyService, ResponseFuture};
pub use wait::Wait;

/// The README's code, compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The code on the order of layers, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../docs/layer-order.md")]
struct LayerOrder;
