//! hono-idempotency at 6d6a075: bytes that are no text came back as others, and a 500 after the effect ran again.

use bytes::Bytes;
use idempotency_tests::{App, Backend, on_each_store, reply};
use reqwest::StatusCode;

on_each_store!(hono_idempotency_six_bytes_came_back_as_fourteen, hono_idempotency_a_500_after_its_effect_ran_again,);

async fn hono_idempotency_six_bytes_came_back_as_fourteen(backend: impl Backend) {
    const NO_TEXT: &[u8] = b"\xff\xfe\x00\x80\xc3\x28";
    let app = App::start(&backend).await;
    let send = || reply(app.post("/echo", "key-1").body(NO_TEXT));
    let first = send().await;
    assert_eq!(first.body, Bytes::from_static(NO_TEXT), "on the first answer");
    let replay = send().await;
    replay.expect_replay_of(&first, &[]);
    assert_eq!(replay.body, Bytes::from_static(NO_TEXT), "on the replay");
    assert_eq!(app.exec(), 1);
}

async fn hono_idempotency_a_500_after_its_effect_ran_again(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/fails", "key-1").await;
    assert_eq!(first.status, StatusCode::INTERNAL_SERVER_ERROR);
    app.send("/fails", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}
