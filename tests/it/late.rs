//! What comes late: from an owner that was superseded, and from a line that delivers after everybody has given up.

use std::num::NonZeroU32;
use std::time::Duration;

use idempotency_store::{
    Answer, Checkpoint, Checkpointed, Claim, Claimed, ErrorKind, Grant, OnAbandoned, Recorded, Released, Renewed, Store,
};
use idempotency_tests::redis_proxy::named;
use idempotency_tests::{Backend, Gate, LineFault, eventually, on_each_store};

use crate::redis_own::{Own, claim, soon};

on_each_store!(s27_what_a_superseded_owner_asks_late_changes_nothing);

async fn grant(store: &impl Store, claim: &Claim) -> Grant {
    match store.claim(claim, soon()).await {
        Ok(Claimed::Acquired { grant, .. }) => grant,
        other => panic!("not acquired: {other:?}"),
    }
}

async fn s27_what_a_superseded_owner_asks_late_changes_nothing(backend: impl Backend) {
    let store = backend.store();
    let old = grant(&store, &claim(1)).await;
    backend.advance(Duration::from_secs(31)).await;
    let max_attempts = NonZeroU32::new(2).unwrap();
    let new = grant(&store, &Claim { on_abandoned: OnAbandoned::Reexecute { max_attempts }, ..claim(1) }).await;
    assert!(new.fence > old.fence && new.is_takeover());

    let note = Checkpoint::new("late").unwrap();
    assert!(matches!(store.renew(&old, soon()).await, Ok(Renewed::Lost(_))));
    assert!(matches!(store.checkpoint(&old, &note, soon()).await, Ok(Checkpointed::Lost(_))));
    for fence in [Some(old.fence), None] {
        assert!(matches!(store.release(&old.attempt, fence, soon()).await, Ok(Released::Lost(_))));
    }
    let answer = Answer::Kept("the new owner's".into());
    assert_eq!(store.complete(&new, &answer.clone().into(), soon()).await.unwrap(), Recorded::Recorded);
    let Ok(Claimed::Completed(completed)) = store.claim(&claim(1), soon()).await else { panic!("not completed") };
    assert_eq!((completed.answer, completed.fence), (answer, new.fence));
}

#[tokio::test]
async fn s11_a_claim_that_arrives_after_its_release_leaves_no_ownerless_record() {
    let (own, line) = Own::behind_a_line().await;
    let (late, delivery) = (claim(1), Gate::default());
    line.next(1, named("SET"), LineFault::Ghost(delivery.clone()));
    let lost = own.store.claim(&late, soon()).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unknown);
    assert_eq!(own.store.release(&late.attempt, None, soon()).await.unwrap(), Released::Absent);
    let tombstone = own.server.get(&own.record().await).await;

    // Now the network delivers the claim that was given up.
    let sets = || async { own.server.commandstats().await.get("set").copied() };
    let before = sets().await;
    delivery.open();
    eventually("the late claim is executed", || async { (sets().await > before).then_some(()) }).await;
    assert_eq!(own.server.get(&own.record().await).await, tombstone, "it has changed nothing");
    assert_eq!(own.store.claim(&late, soon()).await.unwrap(), Claimed::Stale);
    assert_eq!(grant(&own.store, &claim(1)).await.number, 1);
}
