//! The handler that every server runs, and the answer that every server gives.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// What the handlers are asked for.
#[derive(Debug, Deserialize)]
pub struct Payment {
    amount: u64,
    currency: String,
}

/// What they answer.
#[derive(Debug, Serialize)]
pub struct Receipt {
    id: &'static str,
    amount: u64,
    currency: String,
    status: &'static str,
    memo: &'static str,
}

/// How the answers are padded.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    memo: &'static str,
}

/// The status of every answer.
pub const STATUS: StatusCode = StatusCode::CREATED;

impl Answers {
    /// Answers whose bodies have this many bytes, for the requests of [`request_body`]; at least those of an empty memo.
    pub fn of(bytes: usize) -> Self {
        let empty = Receipt { memo: "", ..Self { memo: "" }.receipt(Payment::sample()) };
        let least = serde_json::to_vec(&empty).map_or(0, |body| body.len());
        // One for the life of the process.
        Self { memo: Box::leak("m".repeat(bytes.saturating_sub(least)).into_boxed_str()) }
    }

    /// The work: as little as a handler can do.
    pub fn receipt(self, payment: Payment) -> Receipt {
        let Payment { amount, currency } = payment;
        Receipt { id: "5d9c68c6c50ed3d02a2fcf54f63993b6", amount, currency, status: "paid", memo: self.memo }
    }
}

impl Payment {
    fn sample() -> Self {
        Self { amount: 1200, currency: "EUR".to_owned() }
    }
}

/// The bare handler.
pub async fn charge(
    axum::extract::State(answers): axum::extract::State<Answers>,
    Json(payment): Json<Payment>,
) -> (StatusCode, Json<Receipt>) {
    (STATUS, Json(answers.receipt(payment)))
}

/// A request body of this many bytes; at least those of an empty note.
pub fn request_body(bytes: usize) -> String {
    let of = |note: &str| format!(r#"{{"amount":1200,"currency":"EUR","note":"{note}"}}"#);
    of(&"n".repeat(bytes.saturating_sub(of("").len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_that_was_asked_for() {
        assert_eq!(request_body(64).len(), 64);
        let payment = serde_json::from_str(&request_body(64)).unwrap();
        assert_eq!(serde_json::to_vec(&Answers::of(200).receipt(payment)).unwrap().len(), 200);
        assert_eq!(request_body(65_536).len(), 65_536);
    }
}
