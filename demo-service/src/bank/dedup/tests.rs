use http::StatusCode;

use crate::bank::charge::{Charge, ChargeQuery, ChargeRequest, RefundRequest, Terms, VOID_AFTER};
use crate::bank::client::CallError;
use crate::bank::clock;
use crate::bank::tests::{Running, refused, request, terms_of};

const FIRST: u64 = 33;
const SUCCESSOR: u64 = 34;

async fn charge(bank: &Running, source: &str, fence: u64) -> Result<Charge, CallError> {
    bank.client.charge(&request(source), &terms_of("k", fence)).await
}

#[tokio::test]
async fn two_attempts_of_one_key_move_the_money_once_and_get_one_answer() {
    let bank = Running::start_with_dedup().await;
    let first = charge(&bank, "card_visa", FIRST).await.unwrap();
    assert_eq!((first.key.as_deref(), first.fence.as_deref()), (Some("k"), Some("33")));
    assert_eq!(charge(&bank, "card_visa", SUCCESSOR).await.unwrap(), first);
    assert_eq!(charge(&bank, "card_visa", SUCCESSOR).await.unwrap(), first, "and as often as it asks");
    assert_eq!(bank.count().await, 1);
    let other = bank.client.charge(&request("card_visa"), &terms_of("k2", FIRST)).await.unwrap();
    assert_ne!(other.id, first.id);
}

#[tokio::test]
async fn a_superseded_attempt_is_refused_also_where_its_successor_charged_nothing() {
    let bank = Running::start_with_dedup().await;
    charge(&bank, "card_bank_500", SUCCESSOR).await.unwrap_err();
    let problem = refused(charge(&bank, "card_visa", FIRST).await.unwrap_err());
    assert_eq!((problem.status(), problem.name()), (StatusCode::CONFLICT, "fenced"));
    assert_eq!(bank.count().await, 0);
    charge(&bank, "card_visa", SUCCESSOR).await.unwrap();
    assert_eq!(refused(charge(&bank, "card_visa", FIRST).await.unwrap_err()).name(), "fenced");
    assert_eq!(bank.count().await, 1);
}

#[tokio::test]
async fn a_restart_keeps_keys_and_fences() {
    let bank = Running::start_with_dedup().await;
    let charged = charge(&bank, "card_visa", FIRST).await.unwrap();
    bank.client.charge(&request("card_bank_500"), &terms_of("k2", SUCCESSOR)).await.unwrap_err();
    let bank = bank.restart().await;
    assert_eq!(charge(&bank, "card_visa", SUCCESSOR).await.unwrap(), charged);
    for key in ["k", "k2"] {
        let late = bank.client.charge(&request("card_visa"), &terms_of(key, FIRST)).await;
        assert_eq!(refused(late.unwrap_err()).name(), "fenced", "{key}");
    }
    assert_eq!(bank.count().await, 1);
}

/// A takeover whose predecessor came too late: the money has not moved, and has to.
#[tokio::test]
async fn what_was_refused_gives_the_key_back() {
    let late = Terms { not_after: Some(clock::now() - 1), ..terms_of("k", FIRST) };
    // The bank has it in time and comes to write it too late.
    let void = clock::now().saturating_sub(u64::try_from(VOID_AFTER.as_millis()).unwrap());
    let void = Terms { not_after: Some(void), ..terms_of("k", FIRST) };
    let cases = [
        ("card_visa", late, "expired"),
        ("card_visa", void, "expired"),
        ("card_bank_500", terms_of("k", FIRST), "bank-failed"),
    ];
    for (source, terms, name) in cases {
        let bank = Running::start_with_dedup().await;
        let first = bank.client.charge(&request(source), &terms).await;
        assert_eq!(refused(first.unwrap_err()).name(), name);
        charge(&bank, "card_visa", SUCCESSOR).await.unwrap();
        assert_eq!(bank.count().await, 1, "{name}");
    }
}

#[tokio::test]
async fn a_reply_that_was_lost_comes_with_the_next_attempt() {
    let bank = Running::start_with_dedup().await;
    let lost = charge(&bank, "card_lost_reply", FIRST).await.unwrap_err();
    assert!(matches!(lost, CallError::Lost(_)), "{lost:?}");
    let charged = charge(&bank, "card_lost_reply", SUCCESSOR).await.unwrap();
    assert_eq!(charged.fence.as_deref(), Some("33"));
    assert_eq!(bank.count().await, 1);
}

#[tokio::test]
async fn while_the_first_attempt_is_at_work_its_successor_charges_nothing() {
    let bank = Running::start_with_dedup().await;
    let client = bank.client.clone();
    let first = tokio::spawn(async move { client.charge(&request("card_slow_1000"), &terms_of("k", FIRST)).await });
    while bank.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    let successor = charge(&bank, "card_slow_1000", SUCCESSOR).await.unwrap_err();
    assert!(matches!(successor, CallError::Unclear(StatusCode::CONFLICT)), "nobody knows yet: {successor:?}");
    let charged = first.await.unwrap().unwrap();
    assert_eq!(charge(&bank, "card_slow_1000", SUCCESSOR).await.unwrap(), charged);
    assert_eq!(bank.count().await, 1);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_neither_executed_nor_said_to_be_harmless() {
    let bank = Running::start_with_dedup().await;
    charge(&bank, "card_visa", FIRST).await.unwrap();
    let dearer = ChargeRequest { amount: 2000, ..request("card_visa") };
    let error = bank.client.charge(&dearer, &terms_of("k", SUCCESSOR)).await.unwrap_err();
    assert!(matches!(error, CallError::Unclear(StatusCode::UNPROCESSABLE_ENTITY)), "{error:?}");
    assert_eq!(bank.count().await, 1);
}

#[tokio::test]
async fn a_transfer_needs_a_key_and_a_question_does_not() {
    let bank = Running::start_with_dedup().await;
    let problem = refused(bank.client.charge(&request("card_visa"), &Terms::default()).await.unwrap_err());
    assert_eq!((problem.status(), problem.name()), (StatusCode::BAD_REQUEST, "key-missing"));
    let without_fence = Terms { fence: None, ..terms_of("k", FIRST) };
    bank.client.charge(&request("card_visa"), &without_fence).await.unwrap();
    assert_eq!(bank.client.summary().await.unwrap().charges, 1);
}

#[tokio::test]
async fn a_refund_is_given_once_as_well() {
    let bank = Running::start_with_dedup().await;
    let charged = charge(&bank, "card_visa", FIRST).await.unwrap();
    let part = RefundRequest { amount: 10, reference: None };
    let refund = |fence| {
        let (client, id, terms) = (bank.client.clone(), charged.id.clone(), terms_of("r", fence));
        let part = part.clone();
        async move { client.refund(&id, &part, &terms).await }
    };
    let first = refund(FIRST).await.unwrap();
    assert_eq!(refund(SUCCESSOR).await.unwrap(), first);
    assert_eq!(refused(refund(FIRST).await.unwrap_err()).name(), "fenced");
    let found = bank.client.charges(&ChargeQuery::default()).await.unwrap().records;
    assert_eq!(found.iter().map(|charge| charge.refunded).collect::<Vec<_>>(), [10]);
}
