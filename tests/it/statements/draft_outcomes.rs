//! Sections 2.6 and 2.7 of the draft: what a request is answered.

use idempotency_tests::{App, Backend, MERCHANT, Reply, on_each_store, reply};
use reqwest::{Method, RequestBuilder, StatusCode};
use tower_idempotency::RejectionKind;

on_each_store!(
    draft_i09_a_key_that_is_used_for_another_payload_is_refused,
    draft_i15_a_first_request_is_processed_as_if_there_were_no_layer,
    draft_i16_a_retry_gets_the_earlier_answer_success_or_error,
    draft_i17_another_payload_gets_422_with_a_link_to_documentation,
    draft_i18_a_request_that_is_being_processed_gets_409_with_a_description,
    draft_i18_another_status_than_409_is_a_closure_away,
    draft_i19_a_missing_key_gets_400_with_a_link_to_documentation,
    draft_i20_rejections_are_problem_details_in_english,
    draft_i21_a_link_instead_of_a_body_is_a_closure_away,
    draft_i22_only_what_may_be_repeated_says_retry_after,
    draft_i23_another_payload_is_refused_while_the_first_is_processed,
);

/// The same key with another payload.
fn other_payload(app: &App, path: &str) -> RequestBuilder {
    app.post(path, "key-1").body(r#"{"amount":2000}"#)
}

fn without_key(app: &App) -> RequestBuilder {
    app.request(Method::POST, "/charge").header(MERCHANT, "acme")
}

async fn draft_i09_a_key_that_is_used_for_another_payload_is_refused(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send("/charge", "key-1").await;
    for _ in 0..3 {
        reply(other_payload(&app, "/charge")).await.expect_rejection(422, "key-reused");
    }
    app.send("/charge", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.exec(), app.downstream.effects()), (1, 1));
}

async fn draft_i15_a_first_request_is_processed_as_if_there_were_no_layer(backend: impl Backend) {
    let app = App::start(&backend).await;
    // A safe method passes by the layer, whatever it carries.
    let plain = reply(app.request(Method::GET, "/headers").header(MERCHANT, "acme")).await;
    let first = app.send("/headers", "key-1").await;
    assert_eq!(first.status, plain.status);
    let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), names(&plain), "the layer adds nothing to a first answer");
    let echoed = reply(app.post("/echo", "key-2").body("\u{0}any bytes\u{7f}")).await;
    assert_eq!(&echoed.body[..], b"\x00any bytes\x7f");
}

async fn draft_i16_a_retry_gets_the_earlier_answer_success_or_error(backend: impl Backend) {
    const OUTCOMES: [u16; 13] = [200, 201, 202, 207, 400, 402, 404, 408, 409, 422, 500, 503, 599];
    let app = App::start(&backend).await;
    for status in OUTCOMES {
        let path = format!("/status/{status}");
        let first = app.send(&path, &path).await;
        assert_eq!((first.status.as_u16(), first.is_replay()), (status, false));
        app.send(&path, &path).await.expect_replay_of(&first, &[]);
    }
    assert_eq!((app.exec(), app.downstream.effects()), (OUTCOMES.len(), OUTCOMES.len()));
}

/// The name of a rejection as the last segment of an address, where the default documentation is.
#[track_caller]
fn expect_documentation(reply: &Reply, name: &str) {
    let linked = reply.json()["type"].as_str().unwrap().to_owned();
    assert_eq!(linked, format!("https://docs.rs/tower-idempotency/latest/tower_idempotency/problems/{name}"));
}

async fn draft_i17_another_payload_gets_422_with_a_link_to_documentation(backend: impl Backend) {
    let app = App::start(&backend).await;
    app.send("/charge", "key-1").await;
    let refused = reply(other_payload(&app, "/charge")).await;
    refused.expect_rejection(422, "key-reused");
    expect_documentation(&refused, "key-reused");
    let based = |layer: idempotency_tests::Layer| layer.problem_base("https://example.com/problems#").unwrap();
    let ours = App::on(&backend).beside(&app).layer(based).start().await;
    let refused = reply(other_payload(&ours, "/charge")).await;
    assert_eq!(refused.json()["type"], "https://example.com/problems#key-reused");
}

async fn draft_i18_a_request_that_is_being_processed_gets_409_with_a_description(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    let refused = app.send("/held-before", "key-1").await;
    refused.expect_rejection(409, "in-flight");
    expect_documentation(&refused, "in-flight");
    assert!(refused.json()["detail"].as_str().unwrap().contains("still running"));
    app.gate.open();
    let first = first.await.unwrap();
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}

async fn draft_i18_another_status_than_409_is_a_closure_away(backend: impl Backend) {
    let locked = |layer: idempotency_tests::Layer| {
        layer.on_rejection(|rejection| {
            let is_running = rejection.kind() == RejectionKind::InFlight;
            let status = if is_running { StatusCode::LOCKED } else { rejection.status() };
            axum::http::Response::builder().status(status).body(bytes::Bytes::from(rejection.detail())).unwrap()
        })
    };
    let app = App::on(&backend).layer(locked).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    assert_eq!(app.send("/held-before", "key-1").await.status, StatusCode::LOCKED);
    app.gate.open();
    let first = first.await.unwrap();
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}

async fn draft_i19_a_missing_key_gets_400_with_a_link_to_documentation(backend: impl Backend) {
    let app = App::start(&backend).await;
    let refused = reply(without_key(&app)).await;
    refused.expect_rejection(400, "key-missing");
    expect_documentation(&refused, "key-missing");
    assert_eq!((app.exec(), app.faults.called_in_all()), (0, 0));
}

async fn draft_i20_rejections_are_problem_details_in_english(backend: impl Backend) {
    let app = App::start(&backend).await;
    let _first = app.send_until_held("/held-before", "key-1").await;
    let missing = reply(without_key(&app)).await;
    let reused = reply(other_payload(&app, "/held-before")).await;
    let outstanding = app.send("/held-before", "key-1").await;
    for (refused, title) in [
        (missing, "Idempotency-Key is missing"),
        (reused, "Idempotency-Key is already used"),
        (outstanding, "A request is outstanding for this Idempotency-Key"),
    ] {
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert_eq!(refused.header("content-language"), Some("en"));
        let problem = refused.json();
        assert_eq!((&problem["title"], &problem["status"]), (&title.into(), &refused.status.as_u16().into()));
        assert!(problem["type"].as_str().unwrap().starts_with("https://"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(problem.as_object().unwrap().len(), 4, "{problem}");
    }
    app.gate.open();
}

async fn draft_i21_a_link_instead_of_a_body_is_a_closure_away(backend: impl Backend) {
    let linked = |layer: idempotency_tests::Layer| {
        layer.on_rejection(|rejection| {
            let link = format!(
                "<https://example.com/keys#{}>; rel=\"describedby\"; type=\"text/html\"",
                rejection.kind().name()
            );
            let response = axum::http::Response::builder().status(rejection.status()).header("link", link);
            response.body(bytes::Bytes::new()).unwrap()
        })
    };
    let app = App::on(&backend).layer(linked).start().await;
    let refused = reply(without_key(&app)).await;
    assert_eq!((refused.status, refused.body.len()), (StatusCode::BAD_REQUEST, 0));
    let link = "<https://example.com/keys#key-missing>; rel=\"describedby\"; type=\"text/html\"";
    assert_eq!(refused.header("link"), Some(link));
}

async fn draft_i22_only_what_may_be_repeated_says_retry_after(backend: impl Backend) {
    let app = App::start(&backend).await;
    let retry_after = |reply: &Reply| reply.header("retry-after").map(str::to_owned);
    let _first = app.send_until_held("/held-before", "key-1").await;
    let outstanding = app.send("/held-before", "key-1").await;
    assert!(["1", "2"].contains(&retry_after(&outstanding).unwrap().as_str()), "{outstanding:?}");
    app.send("/panic", "panic").await.expect_rejection(500, "handler-panicked");
    let corrected = [
        reply(without_key(&app)).await,
        reply(app.post("/charge", "key-2").header("idempotency-key", "key-3")).await,
        reply(app.request(Method::POST, "/charge").header("idempotency-key", "key-1")).await,
        reply(other_payload(&app, "/held-before")).await,
        app.send("/panic", "panic").await,
    ];
    let statuses: Vec<u16> = corrected.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!(statuses, [400, 400, 401, 422, 409]);
    for refused in corrected {
        assert_eq!(retry_after(&refused), None, "{refused:?}");
    }
    app.gate.open();
}

/// The draft does not say which comes first; a client that sends the wrong payload is to know at once.
async fn draft_i23_another_payload_is_refused_while_the_first_is_processed(backend: impl Backend) {
    let app = App::start(&backend).await;
    let first = app.send_until_held("/held-before", "key-1").await;
    reply(other_payload(&app, "/held-before")).await.expect_rejection(422, "key-reused");
    app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    reply(other_payload(&app, "/held-before")).await.expect_rejection(422, "key-reused");
    app.gate.open();
    let first = first.await.unwrap();
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!(app.exec(), 1);
}
