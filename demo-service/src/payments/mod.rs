//! The payment service: a small API that charges once, however often and however badly it is asked.
//!
//! | request | answer |
//! |---|---|
//! | `POST /payments` `{"amount": 1000, "currency": "EUR", "source": "card_visa", "reference": "order-42"}` | 201, `Location`, the payment |
//! | `GET /payments/{id}` | the payment |
//! | `GET /payments?after=&limit=` | the merchant's payments, newest first |
//! | `POST /payments/{id}/refunds` `{"amount": 10}` | 201, the refund |
//! | `GET /healthz`, `GET /readyz` | whether it runs, whether it can take payments |
//!
//! The `POST`s require an `Idempotency-Key`, and `Authorization: Bearer <merchant>` says whose key it is. Amounts are in
//! minor units; the sources are those of the [bank](crate::bank::card).
//!
//! How it is built, from the outside in:
//!
//! ```text
//! tracing -> panics to 500 -> authentication (who?) -> idempotency layer (first, retry or misuse?) -> handler -> bank
//! ```
//!
//! The layer is all that it takes to make the handlers run once. What they do for it in return is in `charging.rs`: they
//! pass the key on to the bank, and they say "not executed" only where that is certain. The service keeps no state of its
//! own: payments are the bank's charges, so any number of servers can run side by side.

mod answer;
mod api;
mod arrival;
mod auth;
mod charging;
mod model;
mod problem;
pub mod resolver;
mod step;

use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use idempotency_store::BoxStore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use tower_idempotency::IdempotencyLayer;

pub use self::auth::Merchant;
use self::step::Step;
use crate::bank::BankClient;

/// What the handlers work on.
#[derive(Clone, Debug)]
pub struct Payments {
    /// Where the money moves.
    pub bank: BankClient,
    /// The lease that the layer claims; charges are sent only while it lasts.
    pub lease: Duration,
    /// The layer's store, for readiness.
    pub store: BoxStore,
}

/// The service's routes, protected by this layer. Its scope must be the [`Merchant`].
pub fn router(payments: Payments, idempotency: IdempotencyLayer<BoxStore>) -> Router {
    Router::new()
        .route(Step::Charge.route(), post(api::pay).get(api::list))
        .route("/payments/{id}", get(api::show))
        .route(Step::Refund.route(), post(api::refund))
        // The layer added last is the outermost: who calls is known before the key is looked at.
        .route_layer(idempotency.required())
        .route_layer(from_fn(auth::authenticate))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(api::readyz))
        .fallback(|| async { problem::unknown_route() })
        .method_not_allowed_fallback(|| async { problem::wrong_method() })
        .layer(CatchPanicLayer::custom(api::panicked))
        .layer(TraceLayer::new_for_http())
        .with_state(payments)
}

#[cfg(test)]
mod tests;
