//! The receiver's side of fencing: a layer that refuses attempts which were superseded.
//!
//! Whoever calls this service from within an idempotent operation of its own sends two things along: an
//! [`Idempotency-Key`](crate::IDEMPOTENCY_KEY), the same for every attempt of the operation, and an
//! [`Idempotency-Fence`](crate::IDEMPOTENCY_FENCE), which grows with each attempt that takes over. [`FenceGuardLayer`] keeps
//! the highest fence per key in a [`FenceStore`](crate::store::FenceStore) and refuses the attempts below it.
//!
//! # The rules
//!
//! 1. A safe method (GET, HEAD, OPTIONS, TRACE), or a request without a fence where none is
//!    [required](FenceGuardLayer::required), **passes through** untouched. No request's body is read.
//! 2. A fence that is the greatest of its key so far, or the same one of the same owner, **is admitted**. It is on record
//!    before the inner service is called, which finds it as [`FenceHeader`](crate::FenceHeader) in the request's extensions.
//! 3. A lower fence, or an equal one of another owner, gets **409 `fenced`** without `Retry-After`: the caller was superseded
//!    and has to stop. What its operation came to is its successor's to find out.
//! 4. A field that is no fence gets 400 `fence-malformed`, a fence without a key 400 `key-missing`.
//! 5. If the store cannot be asked, the request is **refused** with 503 `store-unavailable` and `Retry-After`. A guard that let
//!    it pass would be none.
//!
//! Nothing that is refused here has reached the inner service.
//!
//! # Where it belongs
//!
//! ```text
//! authentication -> FENCE GUARD -> IDEMPOTENCY -> timeout -> handler
//! ```
//!
//! *Outside the idempotency layer*, which is to be there too (see below):
//!
//! - A superseded attempt that asks for a key whose answer is stored is refused, not given the answer: it must not act on it.
//! - A successor passes the guard and gets the stored answer of the first attempt, or 409 `in-flight` while that one runs,
//!   from the layer behind. **Its fence is on record from then on**, also though its handler did not run, so no delayed
//!   request of the older attempt starts any more.
//! - A refusal is no outcome of the operation. Inside the other layer it would be recorded as one, and be what the successor
//!   gets. (The guard marks its refusals as [`NotExecuted`](crate::Recording::NotExecuted), so that the wrong order costs the
//!   second of these points, not this one.)
//!
//! *Inside authentication*: whoever may name keys of a scope may also raise their fences, and so block them.
//!
//! ```
//! use axum::{Router, routing::post};
//! use tower::ServiceBuilder;
//! use tower_idempotency::store::{MemoryFenceStore, MemoryStore};
//! use tower_idempotency::{FenceGuardLayer, IdempotencyLayer, Scope, Secret};
//! # use axum::{body::Body, http::Request};
//! # use tower::ServiceExt;
//! # use tower_idempotency::FenceHeader;
//! # use tower_idempotency::store::{Fence, Owner};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::new("at least 16 bytes, from your configuration")?;
//! let layers = ServiceBuilder::new() // runs from the top down
//!     .layer(FenceGuardLayer::new(MemoryFenceStore::new(), Scope::shared(), secret.clone()))
//!     .layer(IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), secret).required());
//! let app: Router = Router::new().route("/charges", post(|| async { "charged" })).route_layer(layers);
//!
//! let attempt = |fence, owner| {
//!     let fence = FenceHeader::new(Fence::new(fence), Owner::new([owner; 16])).to_value();
//!     let request = Request::post("/charges").header("idempotency-key", "\"k\"").header("idempotency-fence", fence);
//!     request.body(Body::empty())
//! };
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let first = app.clone().oneshot(attempt(33, 1)?).await?;
//! assert_eq!(first.status(), 200);
//! // The successor gets the first one's answer; nothing is charged twice.
//! let successor = app.clone().oneshot(attempt(34, 2)?).await?;
//! assert_eq!((successor.status().as_u16(), successor.headers()["idempotent-replayed"].as_bytes()), (200, &b"true"[..]));
//! // From now on the first attempt is told to stop.
//! assert_eq!(app.oneshot(attempt(33, 1)?).await?.status(), 409);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it cannot do
//!
//! **It does not make an effect happen once.** An attempt does the work and dies, its successor is admitted with a greater
//! fence, and does the work again. **And it leaves a window**: that a fence is admitted and that the handler acts are two steps.
//! An attempt that was admitted *before* its successor came may still be on its way to the work, or in the midst of it.
//!
//! What closes both is a dedup on the key: an [`IdempotencyLayer`](crate::IdempotencyLayer) behind the guard, whose claim is one
//! step with the right to run, or a row in the transaction that has the effect (`docs/sql-guard.md` shows the
//! statements). What the guard adds is that a superseded attempt starts nothing, also where its key was released or forgotten
//! in between.
//!
//! Fences order the attempts of **one key**. There is no guard here for a business row, because two keys that touch one account
//! are legitimately concurrent.
//!
//! # Without HTTP
//!
//! A message handler asks the store itself, [`FenceStore::admit`](crate::store::FenceStore::admit), under a key that
//! [`Secret::fence_key`](crate::Secret::fence_key) digests.
//!
//! # Cancellation
//!
//! If the future is dropped before the inner service was called, that is never called. The fence may be on record all the
//! same, which changes nothing for its own attempt: the same holder is admitted again.

mod check;
mod layer;
mod service;

pub use layer::FenceGuardLayer;
pub use service::{FenceGuardService, GuardFuture};
