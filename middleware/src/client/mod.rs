//! The client's half: calls that are safe to retry, and calls that a handler makes (feature `client`).
//!
//! [`RetryLayer`] makes the key of a call once, keeps it over its retries, and knows which answers are worth one. For
//! reqwest there is the same as middleware: `client::reqwest::RetryMiddleware` (feature `reqwest`).
//!
//! ```
//! use std::io;
//! use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
//!
//! use axum::{Router, body::Body, http::StatusCode, routing::post};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//! use tower_idempotency::client::{RequestKey, RetryLayer};
//! use tower_idempotency::{IdempotencyLayer, Scope, Secret, store::MemoryStore};
//!
//! static PAID: AtomicUsize = AtomicUsize::new(0);
//! static SENT: AtomicUsize = AtomicUsize::new(0);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! // A service that keeps keys, at the end of a line that loses its first reply.
//! let pay = || async { (StatusCode::CREATED, format!("payment {}", PAID.fetch_add(1, SeqCst) + 1)) };
//! let keys = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
//! let shop = Router::new().route("/payments", post(pay)).route_layer(keys);
//! let line = service_fn(move |request: Request<Full<Bytes>>| {
//!     let shop = shop.clone();
//!     async move {
//!         let answer = shop.oneshot(request.map(Body::new)).await?;
//!         match SENT.fetch_add(1, SeqCst) {
//!             0 => Err::<Response<Body>, BoxError>(io::Error::from(io::ErrorKind::ConnectionReset).into()),
//!             _ => Ok(answer),
//!         }
//!     }
//! });
//!
//! let mut order = Request::post("/payments").body(Full::from(r#"{"amount":1000}"#))?;
//! order.extensions_mut().insert(RequestKey::new("order-42")?); // kept with the order, before anything is sent
//! let answer = RetryLayer::new().layer(line).oneshot(order).await?;
//!
//! assert_eq!(answer.headers()["idempotent-replayed"], "true");
//! assert_eq!(answer.into_body().collect().await?.to_bytes(), "payment 1");
//! assert_eq!((SENT.load(SeqCst), PAID.load(SeqCst)), (2, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # The rules
//!
//! **The service must keep keys.** To one that does not, each retry of a request that it executed is another order.
//!
//! 1. The key is the [`RequestKey`] in the request's extensions, that of a handler's [`Downstream`](crate::Downstream), or
//!    the header field that is there already. Requests with an unsafe method that have none get a new [`RequestKey::v4`];
//!    safe ones without a key pass through, and are not retried. Two keys that differ are refused.
//! 2. **Tried again**: connections that fail or break, tries that take too long, 408, 425, 429, 502, 503 and 504.
//! 3. **Waited for**, until the deadline: 409 with a problem type that ends in `in-flight`, and 409 `indeterminate` if it
//!    says `Retry-After`. The server is at it; such answers count neither as failures nor against the budget.
//! 4. **Final**, and returned as it is with its whole body: everything else. 400, 422 and 409 `indeterminate` need somebody
//!    who looks. A replay (`Idempotent-Replayed: true`) is final whatever its status: asking again gives the same.
//! 5. `Stripe-Should-Retry: true` or `false` on a failure overrides rules 2 to 4, but for replays.
//! 6. `Retry-After`, in seconds or as a date, is the least that is waited; otherwise pauses have full jitter.
//! 7. A call that is given up says so in a [`GaveUp`]: the key, what was seen last, and whether it may have been executed.
//!    Ask again later **with the same key**: a new one is a new order.
//!
//! # Defaults
//!
//! | setting | default |
//! |---|---|
//! | [tries that may fail](RetryPolicy::max_tries) | 5 |
//! | [one try](RetryPolicy::try_timeout), [the whole call](RetryPolicy::deadline) | 10 s, 60 s |
//! | [backoff](RetryPolicy::backoff) | 100 ms, doubled up to 10 s, full jitter |
//! | [longest `Retry-After`](RetryPolicy::longest_retry_after) that is waited for | 30 s |
//! | [budget](RetryBudget) of all calls together | 100 retries, one more each second and for every ten calls that are answered |
//! | [spelling of the key](RetryPolicy::key_form) | quoted, as the IETF draft asks |
//! | [answers are read within the try](RetryPolicy::read_answers) | no |
//!
//! With these, an outage that meets `n` calls within `s` seconds sees at most `n + 100 + s` tries.
//!
//! # Calls from a handler
//!
//! [`DownstreamLayer`] puts the derived key and the fence of a [`Downstream`](crate::Downstream) on a call. Inside a
//! [`RetryLayer`], as here, each try looks at the lease again, and nothing is sent once it is lost:
//!
//! ```
//! # use tower::{ServiceBuilder, service_fn};
//! # use tower_idempotency::client::{DownstreamLayer, RetryLayer};
//! # let client = service_fn(|_: http::Request<()>| async { Ok::<_, std::io::Error>(http::Response::new(())) });
//! let bank = ServiceBuilder::new().layer(RetryLayer::new()).layer(DownstreamLayer::new()).service(client);
//! # let _ = bank;
//! ```
//!
//! # Cancellation and clocks
//!
//! Dropping a call drops the try that is under way: it may have been executed, and the key tells. Deadlines, pauses and the
//! budget are counted on tokio's monotonic clock; a `Retry-After` that is a date is measured from the answer's own `Date`.
//!
//! # Minimum Rust
//!
//! That of the crate. The newest releases of uuid ask for more (1.29: Rust 1.89); cargo picks an older one for an older
//! Rust.

mod answer;
mod budget;
mod call;
mod downstream;
mod failure;
mod gave_up;
mod key;
mod policy;
#[cfg(feature = "reqwest")]
pub mod reqwest;
mod retry;
mod retry_after;
mod settings;

pub use budget::RetryBudget;
pub use downstream::{DownstreamFuture, DownstreamLayer, DownstreamService};
pub use failure::Failure;
pub use gave_up::{CallError, GaveUp, Outcome, Reason};
pub use key::{KeyForm, RequestKey, RequestKeyError};
pub use retry::{RetryFuture, RetryLayer, RetryService};
pub use settings::{RetryPolicy, RetryPolicyError};

/// What tower's own layers use where several kinds of errors meet.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
