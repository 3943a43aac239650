//! What the ledger says, in memory: every charge and refund, and the indexes to find them by.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::index::Index;
use crate::bank::charge::{Charge, ChargeQuery, Refund, RefundQuery, Summary};

/// One line of the ledger.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    /// Money was taken.
    Charge(Charge),
    /// Some of it was given back.
    Refund(Refund),
}

/// No charge has this id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no charge {0}")]
pub struct UnknownCharge(pub String);

/// The executed charges and refunds, oldest first. `Debug` shows how many.
#[derive(Default)]
pub struct Book {
    charges: Vec<Charge>,
    by_id: HashMap<String, usize>,
    by_reference: Index<String>,
    by_key: Index<String>,
    by_payment: Index<Uuid>,
    by_merchant: Index<String>,
    refunds: Vec<Refund>,
    refunds_by_key: Index<String>,
    refunds_by_charge: Index<String>,
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (charges, refunds) = (self.charges.len(), self.refunds.len());
        f.debug_struct("Book").field("charges", &charges).field("refunds", &refunds).finish_non_exhaustive()
    }
}

impl Book {
    /// Takes in one line of the ledger.
    pub(super) fn apply(&mut self, entry: Entry) -> Result<(), UnknownCharge> {
        match entry {
            Entry::Charge(charge) => {
                self.add_charge(charge);
                Ok(())
            }
            Entry::Refund(refund) => self.add_refund(refund),
        }
    }

    /// Takes in an executed charge.
    pub(super) fn add_charge(&mut self, charge: Charge) {
        let position = self.charges.len();
        self.by_id.insert(charge.id.clone(), position);
        self.by_reference.add(charge.reference.clone(), position);
        self.by_payment.add(charge.payment, position);
        self.by_merchant.add(charge.merchant.clone(), position);
        if let Some(key) = &charge.key {
            self.by_key.add(key.clone(), position);
        }
        self.charges.push(charge);
    }

    /// Takes in an executed refund, and counts it against its charge.
    pub(super) fn add_refund(&mut self, refund: Refund) -> Result<(), UnknownCharge> {
        let position = self.by_id.get(&refund.charge).copied();
        let charge = position.and_then(|position| self.charges.get_mut(position));
        let charge = charge.ok_or_else(|| UnknownCharge(refund.charge.clone()))?;
        charge.refunded = charge.refunded.saturating_add(refund.amount);
        let position = self.refunds.len();
        self.refunds_by_charge.add(refund.charge.clone(), position);
        if let Some(key) = &refund.key {
            self.refunds_by_key.add(key.clone(), position);
        }
        self.refunds.push(refund);
        Ok(())
    }

    /// The charge of this id.
    pub fn charge(&self, id: &str) -> Option<&Charge> {
        self.charges.get(*self.by_id.get(id)?)
    }

    /// The charges that a query names, newest first.
    pub fn charges(&self, query: &ChargeQuery) -> Result<Vec<Charge>, UnknownCharge> {
        let end = self.end(query.after.as_deref())?;
        let older = |position: &usize| *position < end;
        let limit = query.limit.unwrap_or(usize::MAX);
        let at = |position: usize| self.charges.get(position).filter(|charge| names(query, charge)).cloned();
        Ok(match self.narrowest(query) {
            Some(positions) => newest(positions, older).filter_map(at).take(limit).collect(),
            None => (0..end).rev().filter_map(at).take(limit).collect(),
        })
    }

    /// The refunds that a query names, newest first.
    pub fn refunds(&self, query: &RefundQuery) -> Vec<Refund> {
        let by_key = query.key.as_ref().map(|key| self.refunds_by_key.get(key));
        let by_charge = query.charge.as_ref().map(|charge| self.refunds_by_charge.get(charge));
        let wanted = |refund: &&Refund| {
            agrees(query.key.as_ref(), refund.key.as_ref()) && agrees(query.charge.as_ref(), Some(&refund.charge))
        };
        let at = |position: usize| self.refunds.get(position).filter(wanted).cloned();
        match by_key.or(by_charge) {
            Some(positions) => positions.iter().rev().copied().filter_map(at).collect(),
            None => (0..self.refunds.len()).rev().filter_map(at).collect(),
        }
    }

    /// The whole ledger in a few numbers.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            charges: count(self.charges.len()),
            refunds: count(self.refunds.len()),
            references: count(self.by_reference.len()),
            references_charged_twice: count(self.by_reference.repeated()),
            keys: count(self.by_key.len()),
            keys_charged_twice: count(self.by_key.repeated()),
            ..Summary::default()
        };
        for charge in &self.charges {
            *summary.charged.entry(charge.currency.clone()).or_default() += charge.amount;
            *summary.refunded.entry(charge.currency.clone()).or_default() += charge.refunded;
        }
        summary
    }

    /// The position before which a query looks.
    fn end(&self, after: Option<&str>) -> Result<usize, UnknownCharge> {
        match after {
            None => Ok(self.charges.len()),
            Some(id) => self.by_id.get(id).copied().ok_or_else(|| UnknownCharge(id.to_owned())),
        }
    }

    /// The shortest list of positions that holds everything that the query names, or `None` when it names nothing.
    fn narrowest(&self, query: &ChargeQuery) -> Option<&[usize]> {
        let lists = [
            query.key.as_ref().map(|key| self.by_key.get(key)),
            query.reference.as_ref().map(|reference| self.by_reference.get(reference)),
            query.payment.as_ref().map(|payment| self.by_payment.get(payment)),
            query.merchant.as_ref().map(|merchant| self.by_merchant.get(merchant)),
        ];
        lists.into_iter().flatten().min_by_key(|positions| positions.len())
    }
}

fn names(query: &ChargeQuery, charge: &Charge) -> bool {
    agrees(query.key.as_ref(), charge.key.as_ref())
        && agrees(query.reference.as_ref(), Some(&charge.reference))
        && agrees(query.payment.as_ref(), Some(&charge.payment))
        && agrees(query.merchant.as_ref(), Some(&charge.merchant))
}

/// What is not asked for agrees with everything.
fn agrees<T: PartialEq>(asked: Option<&T>, found: Option<&T>) -> bool {
    asked.is_none() || asked == found
}

fn newest<'a>(positions: &'a [usize], keep: impl Fn(&usize) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
    positions.iter().rev().copied().filter(keep)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(id: &str, reference: &str, merchant: &str, key: Option<&str>) -> Charge {
        Charge {
            id: id.into(),
            amount: 100,
            currency: "EUR".into(),
            source: "card_visa".into(),
            reference: reference.into(),
            merchant: merchant.into(),
            payment: Uuid::from_u128(7),
            key: key.map(Into::into),
            fence: None,
            at: 1,
            refunded: 0,
        }
    }

    fn refund(charge: &str, amount: u64, key: Option<&str>) -> Refund {
        Refund {
            id: "re_1".into(),
            charge: charge.into(),
            amount,
            reference: None,
            key: key.map(Into::into),
            fence: None,
            at: 2,
        }
    }

    fn book() -> Book {
        let mut book = Book::default();
        book.add_charge(charge("ch_1", "r1", "m1", Some("k1")));
        book.add_charge(charge("ch_2", "r2", "m2", Some("k2")));
        book.add_charge(charge("ch_3", "r1", "m1", Some("k1")));
        book.add_charge(charge("ch_4", "r3", "m1", None));
        book
    }

    fn ids(book: &Book, query: &ChargeQuery) -> Vec<String> {
        book.charges(query).unwrap().into_iter().map(|charge| charge.id).collect()
    }

    fn merchant(name: &str) -> ChargeQuery {
        ChargeQuery { merchant: Some(name.into()), ..ChargeQuery::default() }
    }

    #[test]
    fn finds_by_each_name_newest_first() {
        let book = book();
        assert_eq!(ids(&book, &ChargeQuery::default()), ["ch_4", "ch_3", "ch_2", "ch_1"]);
        assert_eq!(ids(&book, &merchant("m1")), ["ch_4", "ch_3", "ch_1"]);
        let by_key = ChargeQuery { key: Some("k1".into()), ..ChargeQuery::default() };
        assert_eq!(ids(&book, &by_key), ["ch_3", "ch_1"]);
        let by_reference = ChargeQuery { reference: Some("r2".into()), ..ChargeQuery::default() };
        assert_eq!(ids(&book, &by_reference), ["ch_2"]);
        let by_payment = ChargeQuery { payment: Some(Uuid::from_u128(7)), ..merchant("m2") };
        assert_eq!(ids(&book, &by_payment), ["ch_2"]);
        assert!(ids(&book, &merchant("nobody")).is_empty());
    }

    #[test]
    fn pages_through_a_merchants_charges() {
        let book = book();
        let page = ChargeQuery { limit: Some(2), ..merchant("m1") };
        assert_eq!(ids(&book, &page), ["ch_4", "ch_3"]);
        let next = ChargeQuery { after: Some("ch_3".into()), ..page };
        assert_eq!(ids(&book, &next), ["ch_1"]);
    }

    #[test]
    fn a_page_after_an_unknown_charge_is_refused_not_empty() {
        let query = ChargeQuery { after: Some("ch_9".into()), ..ChargeQuery::default() };
        assert_eq!(book().charges(&query), Err(UnknownCharge("ch_9".into())));
    }

    #[test]
    fn counts_refunds_against_their_charge() {
        let mut book = book();
        book.add_refund(refund("ch_1", 30, Some("k9"))).unwrap();
        book.add_refund(refund("ch_1", 5, None)).unwrap();
        assert_eq!(book.charge("ch_1").unwrap().refunded, 35);
        assert_eq!(book.refunds(&RefundQuery { key: Some("k9".into()), charge: None }).len(), 1);
        assert_eq!(book.refunds(&RefundQuery { key: None, charge: Some("ch_1".into()) }).len(), 2);
        assert!(book.refunds(&RefundQuery { key: Some("k9".into()), charge: Some("ch_2".into()) }).is_empty());
        assert_eq!(book.add_refund(refund("ch_9", 1, None)), Err(UnknownCharge("ch_9".into())));
    }

    #[test]
    fn summary_shows_what_was_charged_twice() {
        let mut book = book();
        book.add_refund(refund("ch_2", 40, None)).unwrap();
        let summary = book.summary();
        assert_eq!((summary.charges, summary.refunds), (4, 1));
        assert_eq!((summary.references, summary.references_charged_twice), (3, 1));
        assert_eq!((summary.keys, summary.keys_charged_twice), (2, 1));
        assert_eq!(summary.charged["EUR"], 400);
        assert_eq!(summary.refunded["EUR"], 40);
    }
}
