//! The answers that say that money was moved: made in one place for the handlers and for the resolver, so that the answer
//! to a crashed attempt is to the byte the one that its client would have got.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use tower_idempotency::RecordedAnswer;
use uuid::Uuid;

use super::model::{Payment, PaymentRefund};
use crate::bank::charge::{Charge, Refund};

/// 201 with the payment, as it was when it was made: what was given back since is not part of this answer.
pub(super) fn paid(charge: Charge) -> Response {
    let payment = Payment::from(Charge { refunded: 0, ..charge });
    (StatusCode::CREATED, [(header::LOCATION, payment.location())], Json(payment)).into_response()
}

/// 201 with the refund of this payment.
pub(super) fn refunded(payment: Uuid, refund: Refund) -> Response {
    (StatusCode::CREATED, Json(PaymentRefund::new(payment, refund))).into_response()
}

/// An answer as the layer records it; `None` where its body breaks off, which one in memory does not.
pub(super) async fn recorded(response: Response) -> Option<RecordedAnswer> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(RecordedAnswer { status: parts.status, headers: parts.headers, body, trailers: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(refunded: u64) -> Charge {
        Charge {
            id: "ch_1".into(),
            amount: 1000,
            currency: "EUR".into(),
            source: "card_visa".into(),
            reference: "order-42".into(),
            merchant: "shop".into(),
            payment: Uuid::nil(),
            key: None,
            fence: None,
            at: 7,
            refunded,
        }
    }

    #[tokio::test]
    async fn what_was_given_back_before_the_answer_was_found_is_no_part_of_it() {
        let at_once = recorded(paid(charge(0))).await.unwrap();
        let later = recorded(paid(charge(400))).await.unwrap();
        assert_eq!(at_once, later);
        assert!(String::from_utf8_lossy(&later.body).contains(r#""status":"paid""#));
    }

    #[tokio::test]
    async fn everything_that_the_handler_answers_is_recorded() {
        let answer = recorded(paid(charge(0))).await.unwrap();
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.headers[header::LOCATION], format!("/payments/{}", Uuid::nil()));
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    }
}
