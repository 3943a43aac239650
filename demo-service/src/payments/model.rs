//! What a caller may ask for, checked field by field, and what it gets to see.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::problem;
use crate::bank::charge::{Charge, MAX_AMOUNT, Refund};
use crate::problem::Problem;

/// The longest reference and source, in characters.
const LONGEST: usize = 64;

/// The body of `POST /payments`, checked. `Debug` shows nothing of it but the amount.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct NewPayment {
    /// In minor units (cents).
    pub(super) amount: u64,
    /// Three upper-case letters.
    pub(super) currency: String,
    /// Which card to charge. The bank knows whether there is such a card.
    pub(super) source: String,
    /// The merchant's own name for what is paid; need not be unique.
    pub(super) reference: String,
}

/// The body of `POST /payments/{id}/refunds`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewRefund {
    /// In minor units (cents).
    pub(super) amount: u64,
}

impl fmt::Debug for NewPayment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPayment").field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl NewPayment {
    /// Checks a body. The problem names the field.
    pub(super) fn read(body: Map<String, Value>) -> Result<Self, Problem> {
        let mut fields = Fields(body);
        let payment = Self {
            amount: fields.amount()?,
            currency: fields.text("currency", is_currency, "three upper-case letters, such as \"EUR\"")?,
            source: fields.text("source", is_short, "1 to 64 characters, such as \"card_visa\"")?,
            reference: fields.text("reference", is_short, "1 to 64 characters, such as \"order-42\"")?,
        };
        fields.end()?;
        Ok(payment)
    }
}

impl NewRefund {
    /// Checks a body. The problem names the field.
    pub(super) fn read(body: Map<String, Value>) -> Result<Self, Problem> {
        let mut fields = Fields(body);
        let refund = Self { amount: fields.amount()? };
        fields.end()?;
        Ok(refund)
    }
}

/// A body's fields; reading one takes it out, so that what remains is unknown.
struct Fields(Map<String, Value>);

impl Fields {
    fn amount(&mut self) -> Result<u64, Problem> {
        let amount = self.0.remove("amount").and_then(|amount| amount.as_u64());
        amount.filter(|amount| (1..=MAX_AMOUNT).contains(amount)).ok_or_else(|| {
            problem::invalid("amount", format!("an integer in minor units (cents), from 1 to {MAX_AMOUNT}"))
        })
    }

    fn text(&mut self, name: &'static str, fits: fn(&str) -> bool, expected: &str) -> Result<String, Problem> {
        match self.0.remove(name) {
            Some(Value::String(text)) if fits(&text) => Ok(text),
            _ => Err(problem::invalid(name, format!("a string of {expected}"))),
        }
    }

    /// A misspelt field that is silently ignored costs somebody money.
    fn end(self) -> Result<(), Problem> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(problem::unknown_field(name)),
        }
    }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn is_short(text: &str) -> bool {
    (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A payment as its merchant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Payment {
    id: Uuid,
    status: PaymentStatus,
    amount: u64,
    currency: String,
    reference: String,
    refunded: u64,
    charge: String,
}

/// How far a payment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentStatus {
    /// The money is the merchant's.
    Paid,
    /// Some of it was given back.
    PartlyRefunded,
    /// All of it was given back.
    Refunded,
}

impl Payment {
    /// Where it can be looked at.
    pub(super) fn location(&self) -> String {
        format!("/payments/{}", self.id)
    }
}

impl From<Charge> for Payment {
    fn from(charge: Charge) -> Self {
        let status = match charge.refunded {
            0 => PaymentStatus::Paid,
            refunded if refunded < charge.amount => PaymentStatus::PartlyRefunded,
            _ => PaymentStatus::Refunded,
        };
        Self {
            id: charge.payment,
            status,
            amount: charge.amount,
            currency: charge.currency,
            reference: charge.reference,
            refunded: charge.refunded,
            charge: charge.id,
        }
    }
}

/// A refund as its merchant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PaymentRefund {
    id: String,
    payment: Uuid,
    amount: u64,
    charge: String,
}

impl PaymentRefund {
    /// The refund of this payment.
    pub(super) fn new(payment: Uuid, refund: Refund) -> Self {
        Self { id: refund.id, payment, amount: refund.amount, charge: refund.charge }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<NewPayment, Problem> {
        NewPayment::read(body.as_object().unwrap().clone())
    }

    fn valid() -> Value {
        json!({"amount": 1000, "currency": "EUR", "source": "card_visa", "reference": "order-42"})
    }

    #[test]
    fn takes_what_is_valid() {
        let payment = read(&valid()).unwrap();
        assert_eq!((payment.amount, payment.currency.as_str()), (1000, "EUR"));
        let mut longest = valid();
        longest["reference"] = json!("é".repeat(64));
        longest["amount"] = json!(MAX_AMOUNT);
        read(&longest).unwrap();
    }

    #[test]
    fn names_the_field_that_is_to_blame() {
        let wrong = [
            ("amount", vec![json!(0), json!(-1), json!(1.5), json!("1"), json!(MAX_AMOUNT + 1), json!(null)]),
            ("currency", vec![json!("eur"), json!("EURO"), json!(""), json!("ÄÖÜ"), json!(978), json!(null)]),
            ("source", vec![json!(""), json!("x".repeat(65)), json!("a\nb"), json!(null)]),
            ("reference", vec![json!(""), json!("é".repeat(65)), json!(["order"]), json!(null)]),
        ];
        for (field, values) in wrong {
            for value in values {
                let mut body = valid();
                body[field] = value.clone();
                let problem = read(&body).unwrap_err();
                assert_eq!(problem.blamed_field(), Some(field), "{value}");
                assert!(problem.says_not_executed());
            }
            let mut body = valid();
            body.as_object_mut().unwrap().remove(field);
            assert_eq!(read(&body).unwrap_err().blamed_field(), Some(field));
        }
    }

    #[test]
    fn refuses_a_field_that_it_does_not_know() {
        let mut body = valid();
        body["ammount"] = json!(1);
        let problem = read(&body).unwrap_err();
        assert_eq!((problem.name(), problem.blamed_field()), ("field-unknown", Some("ammount")));
    }

    #[test]
    fn a_refund_has_an_amount_and_nothing_else() {
        let read = |body: Value| NewRefund::read(body.as_object().unwrap().clone());
        assert_eq!(read(json!({"amount": 10})), Ok(NewRefund { amount: 10 }));
        assert_eq!(read(json!({})).unwrap_err().blamed_field(), Some("amount"));
        assert_eq!(read(json!({"amount": 10, "currency": "EUR"})).unwrap_err().blamed_field(), Some("currency"));
    }
}
