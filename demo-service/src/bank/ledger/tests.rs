use std::fs;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::bank::charge::ChargeQuery;
use crate::bank::clock;

fn charge(reference: &str, amount: u64) -> Charge {
    Charge {
        id: String::new(),
        amount,
        currency: "EUR".into(),
        source: "card_visa".into(),
        reference: reference.into(),
        merchant: "m".into(),
        payment: Uuid::nil(),
        key: Some("k".into()),
        fence: Some("7".into()),
        at: 0,
        refunded: 0,
    }
}

fn refund(charge: &str, amount: u64) -> Refund {
    Refund { id: String::new(), charge: charge.into(), amount, reference: None, key: None, fence: None, at: 0 }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/ledger.jsonl");
    (directory, path)
}

fn all(ledger: &Ledger) -> Vec<Charge> {
    ledger.read(|book| book.charges(&ChargeQuery::default()).unwrap())
}

#[tokio::test]
async fn what_was_executed_is_there_after_a_restart() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    let first = ledger.charge(charge("a", 100), None).await.unwrap();
    ledger.refund(refund(&first.id, 40), None).await.unwrap();
    let second = ledger.charge(charge("a", 200), None).await.unwrap();
    ledger.close().await;

    let ledger = Ledger::open(&path).await.unwrap();
    assert_eq!(all(&ledger), [second, Charge { refunded: 40, ..first }]);
    assert_eq!(ledger.read(Book::summary).refunds, 1);
}

#[tokio::test]
async fn what_is_answered_is_on_the_disk_and_in_the_book() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    let charged = ledger.charge(charge("a", 100), None).await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains(&charged.id));
    assert_eq!(all(&ledger), [charged]);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    let kept = ledger.charge(charge("a", 100), None).await.unwrap();
    ledger.close().await;
    let whole = fs::read_to_string(&path).unwrap();
    // Torn anywhere, even right before its newline.
    for torn in [1, 20, whole.len() - 1] {
        fs::write(&path, format!("{whole}{}", &whole[..torn])).unwrap();
        let ledger = Ledger::open(&path).await.unwrap();
        assert_eq!(all(&ledger), std::slice::from_ref(&kept));
        ledger.close().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }
}

#[tokio::test]
async fn charging_goes_on_after_a_torn_line() {
    let (_directory, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, r#"{"charge":{"id":"ch_"#).unwrap();
    let ledger = Ledger::open(&path).await.unwrap();
    ledger.charge(charge("a", 100), None).await.unwrap();
    ledger.close().await;
    assert_eq!(all(&Ledger::open(&path).await.unwrap()).len(), 1);
}

#[tokio::test]
async fn garbage_in_the_middle_is_refused_and_left_alone() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    ledger.charge(charge("a", 100), None).await.unwrap();
    ledger.close().await;
    let good = fs::read_to_string(&path).unwrap();
    let bad = format!("{good}garbage\n{good}");
    fs::write(&path, &bad).unwrap();

    let error = Ledger::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    assert!(error.contains("backup"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), bad);
}

#[tokio::test]
async fn a_refund_of_nothing_is_garbage() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    let charged = ledger.charge(charge("a", 100), None).await.unwrap();
    ledger.refund(refund(&charged.id, 1), None).await.unwrap();
    ledger.close().await;
    let lines = fs::read_to_string(&path).unwrap();
    fs::write(&path, lines.split_inclusive('\n').next_back().unwrap()).unwrap();
    let error = Ledger::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { line: 1, reason: Reason::UnknownCharge(_), .. }), "{error}");
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let (_directory, path) = place();
    let first = Ledger::open(&path).await.unwrap();
    let error = Ledger::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("--ledger"));
    first.close().await;
    Ledger::open(&path).await.unwrap();
}

#[tokio::test]
async fn an_unusable_path_is_refused() {
    let (directory, _) = place();
    let error = Ledger::open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[tokio::test]
async fn refunds_never_exceed_the_charge_even_together() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    let charged = ledger.charge(charge("a", 100), None).await.unwrap();
    let attempts: Vec<_> = (0..50)
        .map(|_| {
            let (ledger, refund) = (ledger.clone(), refund(&charged.id, 30));
            tokio::spawn(async move { ledger.refund(refund, None).await })
        })
        .collect();
    let mut given_back = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(refund) => given_back += refund.amount,
            Err(error) => assert!(matches!(error, LedgerError::OverRefund { .. }), "{error}"),
        }
    }
    assert_eq!(given_back, 90);
    assert_eq!(ledger.refund(refund(&charged.id, 11), None).await, Err(LedgerError::OverRefund { left: 10 }));
    ledger.refund(refund(&charged.id, 10), None).await.unwrap();
    assert_eq!(all(&ledger)[0].refunded, 100);
}

#[tokio::test]
async fn a_refund_of_an_unknown_charge_is_refused() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    assert_eq!(ledger.refund(refund("ch_x", 1), None).await, Err(LedgerError::UnknownCharge("ch_x".into())));
}

#[tokio::test]
async fn what_comes_too_late_leaves_the_ledger_untouched() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    let past = clock::now() - 1;
    assert_eq!(ledger.charge(charge("a", 1), Some(past)).await, Err(LedgerError::Expired));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[tokio::test]
async fn a_question_does_not_overtake_a_charge() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    for reference in 0..50 {
        let ordered = ledger.clone();
        let charging = async move { ordered.charge(charge(&reference.to_string(), 1), None).await };
        // Polled first, so ordered first; the question is not allowed to be answered without it.
        let (charged, found) = tokio::join!(biased; charging, async {
            ledger.settled().await.unwrap();
            all(&ledger).len()
        });
        charged.unwrap();
        assert_eq!(found, reference + 1);
    }
}

#[tokio::test]
async fn a_closed_ledger_refuses() {
    let (_directory, path) = place();
    let ledger = Ledger::open(&path).await.unwrap();
    ledger.close().await;
    ledger.close().await;
    assert_eq!(ledger.charge(charge("a", 1), None).await, Err(LedgerError::Broken));
    assert_eq!(ledger.settled().await, Err(LedgerError::Broken));
}
