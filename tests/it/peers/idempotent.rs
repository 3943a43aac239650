//! idempotent 0.3.0: tokens from a counter that starts again when the data is lost, and that counter where a client's key
//! can reach it.

use std::time::Duration;

use idempotency_store::{Answer, Claim, Claimed, Fence, Grant, Loss, Recorded, Store};
use idempotency_tests::{App, Backend, MERCHANT, on_each_store, reply};
use reqwest::{Method, StatusCode};
use tower_idempotency::IDEMPOTENCY_KEY;

use crate::redis_own::{claim, soon};

on_each_store!(
    idempotent_after_data_loss_a_zombie_completed_over_its_successor,
    idempotent_a_key_that_is_named_like_something_internal_broke_the_counter,
);

/// Claims a key that is free.
async fn acquire(store: &impl Store, claim: &Claim) -> Grant {
    match store.claim(claim, soon()).await {
        Ok(Claimed::Acquired { grant, .. }) => grant,
        other => panic!("not acquired: {other:?}"),
    }
}

/// What is lost here is a record that has expired: every store loses those.
async fn idempotent_after_data_loss_a_zombie_completed_over_its_successor(backend: impl Backend) {
    let store = backend.store();
    let zombie = acquire(&store, &claim(1)).await;
    backend.advance(Duration::from_secs(3_601)).await;
    let successor = acquire(&store, &claim(1)).await;
    assert!(successor.fence > zombie.fence, "the fence started again");
    let late = store.complete(&zombie, &answer("the zombie's").into(), soon()).await.unwrap();
    assert!(matches!(late, Recorded::Lost(Loss::InFlight { .. })), "{late:?}");
    store.complete(&successor, &answer("the successor's").into(), soon()).await.unwrap();
    let Ok(Claimed::Completed(completed)) = store.claim(&claim(1), soon()).await else { panic!("not completed") };
    assert_eq!(completed.answer, answer("the successor's"));
}

fn answer(text: &'static str) -> Answer {
    Answer::Kept(text.into())
}

/// Whatever a client or a merchant is called, it is digested before a store sees it.
async fn idempotent_a_key_that_is_named_like_something_internal_broke_the_counter(backend: impl Backend) {
    const INTERNAL: [&str; 8] =
        [":idempotent_ft_seq", "svc:idempotent_ft_seq", "idem:{", "idem:{}", "idem:probe:", "{x}", "*", "records"];
    let app = App::start(&backend).await;
    for name in INTERNAL {
        let send = || {
            let request = app.request(Method::POST, "/charge").header(MERCHANT, name);
            reply(request.header(IDEMPOTENCY_KEY, name))
        };
        let first = send().await;
        assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false), "{name}");
        send().await.expect_replay_of(&first, &[]);
    }
    assert_eq!(app.exec(), INTERNAL.len());
    let fences: Vec<Fence> = app.runs().iter().map(|run| run.lease.unwrap().fence).collect();
    assert!(fences.iter().all(|fence| fence.get() > INTERNAL.len() as u64), "a counter: {fences:?}");
}
