//! The judgement: what the clients hold against what the bank executed.
//!
//! A pure function, so that each failure it must find can be put before it in a test. The rules:
//!
//! 1. **double**: the ledger holds more than one charge of a reference.
//! 2. **lost**: somebody was told "paid" (201), and the ledger holds no such charge - same reference, id and amount.
//! 3. **divergent**: two answers that settle one key contradict each other, or an answer contradicts the ledger.
//! 4. Whatever ended without a settled answer is listed with its number of charges: 0 or 1 is honest, nobody knew.
//!
//! An answer that never reached its client counts as much as one that did: the server gave it.

use std::collections::HashMap;

use serde::Deserialize;

use super::answer::{Answer, End, Meaning};
use super::history::{Exchange, History};

/// One charge that the bank executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charge {
    /// The bank's name for it.
    pub(crate) id: String,
    /// The merchant's name for the payment.
    pub(crate) reference: String,
    /// What was moved.
    pub(crate) amount: u64,
}

/// Something that must not happen, and the payment that it happened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The payment.
    pub(crate) reference: String,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// A payment whose client does not know how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsettled {
    /// The payment.
    pub(crate) reference: String,
    /// How it ended for the client.
    pub(crate) end: End,
    /// The last that was heard.
    pub(crate) last: String,
    /// How many charges the bank executed.
    pub(crate) charges: usize,
}

/// What the ledger says about the storm.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Payments that were charged more than once.
    pub(crate) doubles: Vec<Finding>,
    /// Payments that a client believes in and the bank does not.
    pub(crate) lost: Vec<Finding>,
    /// Keys whose answers contradict each other or the ledger.
    pub(crate) divergent: Vec<Finding>,
    /// Payments that nobody can speak for, with what the ledger says.
    pub(crate) unsettled: Vec<Unsettled>,
    /// Charges in the ledger, all payments together.
    pub(crate) charges: usize,
    /// Payments whose client holds an answer from the service: paid or declined.
    pub(crate) settled: usize,
}

impl Verdict {
    /// Nothing happened that must not.
    pub(crate) fn is_clean(&self) -> bool {
        self.doubles.is_empty() && self.lost.is_empty() && self.divergent.is_empty()
    }

    /// Payments were charged more than once, and nothing else is wrong.
    pub(crate) fn has_doubles_alone(&self) -> bool {
        !self.doubles.is_empty() && self.lost.is_empty() && self.divergent.is_empty()
    }

    /// No payment was settled, so the storm says nothing about the service.
    pub(crate) fn is_empty(&self) -> bool {
        self.settled == 0
    }
}

/// Judges every payment by the ledger.
pub(crate) fn judge(histories: &[History], ledger: &[Charge]) -> Verdict {
    let mut by_reference: HashMap<&str, Vec<&Charge>> = HashMap::new();
    for charge in ledger {
        by_reference.entry(&charge.reference).or_default().push(charge);
    }
    let mut verdict = Verdict { charges: ledger.len(), ..Verdict::default() };
    for history in histories {
        let charged = by_reference.get(history.reference.as_str()).map_or(&[][..], Vec::as_slice);
        judge_payment(&mut verdict, history, charged);
    }
    verdict
}

fn judge_payment(verdict: &mut Verdict, history: &History, charged: &[&Charge]) {
    let finding = |what| Finding { reference: history.reference.clone(), what };
    if charged.len() > 1 {
        verdict.doubles.push(finding(format!("{} charges", charged.len())));
    }
    verdict.lost.extend(missing_charge(history, charged).map(finding));
    let contradiction = contradiction(history).or_else(|| charged_though_declined(history, charged));
    verdict.divergent.extend(contradiction.map(finding));
    match history.end {
        End::Paid | End::Declined => verdict.settled += 1,
        // A payment that nobody tried before the deadline is no riddle, unless the bank knows of it.
        _ if history.exchanges.is_empty() && charged.is_empty() => {}
        end => verdict.unsettled.push(Unsettled {
            reference: history.reference.clone(),
            end,
            last: last_heard(history),
            charges: charged.len(),
        }),
    }
}

/// What a 201 says, as far as the ledger can confirm it.
#[derive(Debug, Deserialize)]
struct Receipt {
    reference: String,
    amount: u64,
    charge: String,
}

fn missing_charge(history: &History, charged: &[&Charge]) -> Option<String> {
    let mut receipts = history.exchanges.iter().filter_map(Exchange::paid);
    receipts.find_map(|answer| match serde_json::from_slice::<Receipt>(&answer.body) {
        Err(error) => Some(format!("a 201 that is no receipt: {error}")),
        Ok(receipt) => unconfirmed(&receipt, history, charged),
    })
}

fn unconfirmed(receipt: &Receipt, history: &History, charged: &[&Charge]) -> Option<String> {
    if receipt.reference != history.reference || receipt.amount != history.amount {
        return Some(format!("a 201 for {} over {}, which is another payment", receipt.reference, receipt.amount));
    }
    let confirms = |charge: &&&Charge| charge.id == receipt.charge && charge.amount == receipt.amount;
    match charged.iter().find(confirms) {
        Some(_) => None,
        None => Some(format!("a 201 for charge {}, which the bank does not know", receipt.charge)),
    }
}

fn charged_though_declined(history: &History, charged: &[&Charge]) -> Option<String> {
    let declined = history.exchanges.iter().filter_map(Exchange::settled);
    let declined = declined.filter(|answer| answer.meaning == Meaning::Declined).count();
    (declined > 0 && !charged.is_empty()).then(|| "a 402, and a charge in the ledger".to_owned())
}

/// Two answers for one key that cannot both be true.
fn contradiction(history: &History) -> Option<String> {
    let mut first: HashMap<&str, &Exchange> = HashMap::new();
    // By the time they were given: what counts is what a client could have known when it asked again.
    let mut exchanges: Vec<_> = history.exchanges.iter().collect();
    exchanges.sort_by_key(|exchange| exchange.done);
    exchanges.into_iter().find_map(|exchange| {
        let answer = exchange.settled()?;
        match first.get(exchange.key.as_str()) {
            Some(earlier) => contradicts(earlier, earlier.settled()?, exchange, answer),
            None if is_outcome(answer) => {
                first.insert(&exchange.key, exchange);
                None
            }
            None => None,
        }
    })
}

/// The answers that say what became of the money.
fn is_outcome(answer: &Answer) -> bool {
    matches!(answer.meaning, Meaning::Paid | Meaning::Declined)
}

fn contradicts(earlier: &Exchange, was: &Answer, later: &Exchange, is: &Answer) -> Option<String> {
    if is_outcome(is) {
        let same = (was.status, &was.body) == (is.status, &is.body);
        return (!same).then(|| format!("{} {} became {} {}", was.status, text(was), is.status, text(is)));
    }
    // Whoever asks after an outcome was recorded gets that outcome. An answer that says itself that it is not recorded
    // promises no such thing, and neither does one that was still under way when the other question was asked.
    let promised = !was.unrecorded && later.sent >= earlier.done;
    promised.then(|| format!("{} became {} {}", was.status, is.status, is.excerpt()))
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn last_heard(history: &History) -> String {
    let mut exchanges = history.exchanges.iter().rev();
    match exchanges.find_map(Exchange::heard) {
        Some(answer) => format!("{} {}", answer.status, answer.excerpt()),
        None => "no answer at all".to_owned(),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
