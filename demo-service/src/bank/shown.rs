//! What logs and failures may show of charges and refunds: ids and amounts, but no key, no card, no merchant and no
//! reference.

use std::fmt;

use super::charge::{Charge, ChargeQuery, ChargeRequest, Refund, RefundQuery, RefundRequest, Terms};

impl fmt::Debug for ChargeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ChargeRequest");
        shown.field("amount", &self.amount).field("currency", &self.currency).field("payment", &self.payment);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Charge");
        shown.field("id", &self.id).field("amount", &self.amount).field("currency", &self.currency);
        shown.field("payment", &self.payment).field("has_key", &self.key.is_some()).field("fence", &self.fence);
        shown.field("at", &self.at).field("refunded", &self.refunded).finish_non_exhaustive()
    }
}

impl fmt::Debug for RefundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefundRequest").field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl fmt::Debug for Refund {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Refund");
        shown.field("id", &self.id).field("charge", &self.charge).field("amount", &self.amount);
        shown.field("has_key", &self.key.is_some()).field("fence", &self.fence).field("at", &self.at);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Terms");
        shown.field("has_key", &self.key.is_some()).field("fence", &self.fence).field("not_after", &self.not_after);
        shown.finish()
    }
}

impl fmt::Debug for ChargeQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ChargeQuery");
        shown.field("payment", &self.payment).field("after", &self.after).field("limit", &self.limit);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for RefundQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefundQuery").field("charge", &self.charge).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debug_shows_no_key_no_card_and_no_name() {
        let (id, named) = ("0190f5d0-0000-7000-8000-000000000000", "hidden");
        let request: ChargeRequest = serde_json::from_value(json!({
            "amount": 1, "currency": "EUR", "source": named, "reference": named, "merchant": named, "payment": id,
        }))
        .unwrap();
        let charge: Charge = serde_json::from_value(json!({
            "id": "ch_1", "amount": 1, "currency": "EUR", "source": named, "reference": named, "merchant": named,
            "payment": id, "key": named, "fence": null, "at": 0,
        }))
        .unwrap();
        let refund: Refund = serde_json::from_value(json!({
            "id": "re_1", "charge": "ch_1", "amount": 1, "reference": named, "key": named, "fence": null, "at": 0,
        }))
        .unwrap();
        let some = || Some(named.to_owned());
        let of_charges = ChargeQuery { reference: some(), key: some(), merchant: some(), ..ChargeQuery::default() };
        let shown = [
            format!("{request:?} {charge:?} {refund:?}"),
            format!("{:?}", RefundRequest { amount: 1, reference: some() }),
            format!("{:?}", Terms { key: some(), ..Terms::default() }),
            format!("{of_charges:?} {:?}", RefundQuery { key: some(), charge: None }),
        ];
        assert!(!shown.concat().contains(named), "{shown:#?}");
        assert!(shown[0].contains("ch_1") && shown[0].contains("re_1"), "{}", shown[0]);
    }
}
