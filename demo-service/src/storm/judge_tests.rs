use std::time::Duration;

use super::super::history::tests::{answer, exchange, problem};
use super::super::history::{Fate, Phase};
use super::*;

const PAYMENT: &str = "storm-1-1";

fn charge(id: &str) -> Charge {
    Charge { id: id.to_owned(), reference: PAYMENT.to_owned(), amount: 1_000 }
}

fn receipt(charge: &str) -> Answer {
    let body = format!(r#"{{"id":"p","reference":"{PAYMENT}","amount":1000,"charge":"{charge}"}}"#);
    answer(201, &body)
}

fn history(end: End, exchanges: Vec<Exchange>) -> History {
    History { number: 1, reference: PAYMENT.to_owned(), amount: 1_000, exchanges, end }
}

fn heard(at: u64, answer: Answer) -> Exchange {
    exchange(at, Fate::Answered, Some(answer))
}

fn paid(exchanges: Vec<Exchange>, ledger: &[Charge]) -> Verdict {
    judge(&[history(End::Paid, exchanges)], ledger)
}

/// Doubles, lost, divergent.
fn findings(verdict: &Verdict) -> (usize, usize, usize) {
    (verdict.doubles.len(), verdict.lost.len(), verdict.divergent.len())
}

#[test]
fn one_charge_and_one_answer_are_clean() {
    let verdict = paid(vec![heard(0, receipt("c1")), heard(10, receipt("c1"))], &[charge("c1")]);
    assert!(verdict.is_clean() && !verdict.is_empty());
    assert_eq!((verdict.settled, verdict.charges), (1, 1));
    assert!(verdict.unsettled.is_empty());
}

#[test]
fn two_charges_are_a_double() {
    let verdict = paid(vec![heard(0, receipt("c1"))], &[charge("c1"), charge("c2")]);
    assert_eq!(findings(&verdict), (1, 0, 0));
    assert_eq!(verdict.doubles[0].what, "2 charges");
}

#[test]
fn a_double_is_seen_where_the_client_never_heard_of_either() {
    let silent = history(End::GaveUp, vec![exchange(0, Fate::Disconnected, None)]);
    let verdict = judge(&[silent], &[charge("c1"), charge("c2")]);
    assert_eq!(findings(&verdict), (1, 0, 0));
    assert_eq!(verdict.unsettled[0].charges, 2);
}

#[test]
fn a_receipt_without_a_charge_is_a_lost_payment() {
    assert_eq!(findings(&paid(vec![heard(0, receipt("c1"))], &[])), (0, 1, 0));
}

#[test]
fn a_receipt_that_was_cut_off_counts_as_well() {
    let overheard = exchange(0, Fate::ReplyLost, Some(receipt("c1")));
    let verdict = judge(&[history(End::GaveUp, vec![overheard])], &[]);
    assert_eq!(findings(&verdict), (0, 1, 0));
}

#[test]
fn a_receipt_for_a_charge_that_the_bank_does_not_know_is_a_lost_payment() {
    assert_eq!(findings(&paid(vec![heard(0, receipt("c1"))], &[charge("c2")])), (0, 1, 0));
    let other_amount = Charge { amount: 999, ..charge("c1") };
    assert_eq!(findings(&paid(vec![heard(0, receipt("c1"))], &[other_amount])), (0, 1, 0));
}

#[test]
fn somebody_elses_receipt_is_a_lost_payment() {
    let theirs = answer(201, r#"{"reference":"storm-1-2","amount":1000,"charge":"c1"}"#);
    assert_eq!(findings(&paid(vec![heard(0, theirs)], &[charge("c1")])), (0, 1, 0));
    assert_eq!(findings(&paid(vec![heard(0, answer(201, "ok"))], &[charge("c1")])), (0, 1, 0));
}

#[test]
fn two_receipts_that_differ_in_a_byte_are_divergent() {
    let other = answer(201, &String::from_utf8_lossy(&receipt("c1").body).replace("\"p\"", "\"q\""));
    let verdict = paid(vec![heard(0, receipt("c1")), heard(10, other)], &[charge("c1")]);
    assert_eq!(findings(&verdict), (0, 0, 1));
}

#[test]
fn an_overheard_receipt_is_compared_too() {
    let overheard = exchange(0, Fate::ReplyLost, Some(receipt("c1")));
    let verdict = paid(vec![overheard, heard(10, receipt("c2"))], &[charge("c1"), charge("c2")]);
    assert_eq!(findings(&verdict), (1, 0, 1));
}

#[test]
fn receipts_of_different_keys_may_differ() {
    let other = Exchange { key: "key-2".to_owned(), ..heard(10, receipt("c2")) };
    let verdict = paid(vec![heard(0, receipt("c1")), other], &[charge("c1"), charge("c2")]);
    assert_eq!(findings(&verdict), (1, 0, 0));
}

#[test]
fn paid_and_declined_are_divergent() {
    let both = vec![heard(0, receipt("c1")), heard(10, answer(402, "{}"))];
    assert_eq!(findings(&paid(both, &[charge("c1")])), (0, 0, 1));
}

#[test]
fn declined_and_charged_is_divergent() {
    let declined = history(End::Declined, vec![heard(0, answer(402, "{}"))]);
    assert!(judge(std::slice::from_ref(&declined), &[]).is_clean());
    assert_eq!(findings(&judge(&[declined], &[charge("c1")])), (0, 0, 1));
}

#[test]
fn an_outcome_that_is_forgotten_is_divergent() {
    let forgotten = Exchange { phase: Phase::Recall, ..heard(10, problem("indeterminate")) };
    assert_eq!(findings(&paid(vec![heard(0, receipt("c1")), forgotten], &[charge("c1")])), (0, 0, 1));
}

#[test]
fn an_unrecorded_outcome_promises_no_replay() {
    let unrecorded = Answer { unrecorded: true, ..receipt("c1") };
    let then = vec![heard(0, unrecorded.clone()), heard(10, problem("indeterminate"))];
    assert!(paid(then, &[charge("c1")]).is_clean());
    let other = vec![heard(0, unrecorded), heard(10, receipt("c2"))];
    assert_eq!(findings(&paid(other, &[charge("c1"), charge("c2")])), (1, 0, 1));
}

#[test]
fn an_answer_that_was_under_way_before_the_outcome_is_no_contradiction() {
    let asked_before = Exchange { done: Duration::from_millis(50), ..heard(1, problem("indeterminate")) };
    assert!(paid(vec![heard(0, receipt("c1")), asked_before], &[charge("c1")]).is_clean());
}

#[test]
fn indeterminate_first_and_paid_later_is_honest() {
    let then = vec![heard(0, problem("indeterminate")), heard(10, receipt("c1"))];
    assert!(paid(then, &[charge("c1")]).is_clean());
}

#[test]
fn in_flight_settles_nothing() {
    let then = vec![heard(0, receipt("c1")), heard(10, problem("in-flight"))];
    assert!(paid(then, &[charge("c1")]).is_clean());
}

#[test]
fn what_nobody_knows_is_listed_with_its_charges() {
    let unknown = history(End::Indeterminate, vec![heard(0, problem("indeterminate"))]);
    let silent =
        History { reference: "storm-1-2".to_owned(), ..history(End::GaveUp, vec![exchange(0, Fate::Broken, None)]) };
    let verdict = judge(&[unknown, silent], &[charge("c1")]);
    assert!(verdict.is_clean() && verdict.is_empty());
    let [unknown, silent] = &verdict.unsettled[..] else { panic!("{verdict:?}") };
    assert_eq!((unknown.charges, unknown.last.as_str()), (1, "409 indeterminate"));
    assert_eq!((silent.charges, silent.last.as_str()), (0, "no answer at all"));
}

#[test]
fn what_nobody_tried_is_listed_only_where_the_bank_knows_of_it() {
    let untried = history(End::GaveUp, Vec::new());
    assert!(judge(std::slice::from_ref(&untried), &[]).unsettled.is_empty());
    assert_eq!(judge(&[untried], &[charge("c1")]).unsettled.len(), 1);
}
