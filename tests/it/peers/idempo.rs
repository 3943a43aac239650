//! idempo 1.4.0, its lock in memory: a request that was refused released the lock of the one that ran.

use idempotency_tests::{App, Backend, Verb, on_each_store};

on_each_store!(idempo_a_refused_request_released_the_key_of_the_one_that_ran);

async fn idempo_a_refused_request_released_the_key_of_the_one_that_ran(backend: impl Backend) {
    let app = App::start(&backend).await;
    let other = App::on(&backend).beside(&app).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    for _ in 0..3 {
        app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
        other.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    }
    let released = |app: &App| app.faults.called(Verb::Release) + app.faults.called(Verb::Abandon);
    assert_eq!((released(&app), released(&other)), (0, 0));
    app.gate.open();
    let first = first.await.unwrap();
    other.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec() + other.exec(), app.downstream.effects()), (1, 1));
}
