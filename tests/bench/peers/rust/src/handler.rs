//! The handler that all servers of the comparison have, and the count of its runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// Makes an answer of 200 bytes.
const MEMO: &str =
    "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";

#[derive(Debug, Deserialize)]
struct Payment {
    amount: u64,
    currency: String,
}

#[derive(Debug, Serialize)]
struct Receipt {
    id: &'static str,
    amount: u64,
    currency: String,
    status: &'static str,
    memo: &'static str,
}

/// The handler, and how often it ran.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    delay: Option<Duration>,
    runs: Arc<AtomicU64>,
}

impl Handler {
    /// A handler that takes so many milliseconds, or as little as it can.
    pub(crate) fn new(delay_ms: Option<u64>) -> Self {
        let delay = delay_ms.filter(|delay| *delay > 0).map(Duration::from_millis);
        Self { delay, runs: Arc::default() }
    }

    /// What is protected: `POST /charges`.
    pub(crate) fn router(&self) -> Router {
        Router::new().route("/charges", post(charge)).with_state(self.clone())
    }

    /// What is not: `GET /runs`, how often the handler has begun to run.
    pub(crate) fn counter(&self) -> Router {
        let runs = Arc::clone(&self.runs);
        Router::new().route("/runs", get(async move || runs.load(Ordering::Relaxed).to_string()))
    }
}

async fn charge(State(handler): State<Handler>, Json(payment): Json<Payment>) -> (StatusCode, Json<Receipt>) {
    handler.runs.fetch_add(1, Ordering::Relaxed);
    if let Some(delay) = handler.delay {
        sleep(delay).await;
    }
    let Payment { amount, currency } = payment;
    let id = "5d9c68c6c50ed3d02a2fcf54f63993b6";
    (StatusCode::CREATED, Json(Receipt { id, amount, currency, status: "paid", memo: MEMO }))
}
