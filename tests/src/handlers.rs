//! The handlers of the application: what a service does that is worth protecting, and how it may end.
//!
//! Each is entered (counted here, reported downstream), may wait at the gate, has an effect downstream, and answers with a
//! receipt that no other run repeats: so a second run can neither hide from the judge nor look like a replay.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::any;
use idempotency_store::Lease;
use serde_json::json;
use tower_idempotency::{Idempotency, Recording};

use crate::{Count, Gate, Layer};

/// What the handlers work on, and what they tell the tests.
#[derive(Clone, Debug)]
pub(crate) struct Handlers {
    pub(crate) entered: Count,
    pub(crate) finished: Count,
    pub(crate) gate: Gate,
    pub(crate) runs: Arc<Mutex<Vec<Run>>>,
    downstream: String,
    http: reqwest::Client,
}

/// One entry of a handler, with what the layer told it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The lease that it ran under; `None` if the layer did not protect it.
    pub lease: Option<Lease>,
}

impl Handlers {
    pub(crate) fn new(downstream: String, gate: Gate) -> Self {
        let http = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().expect("a client");
        let (entered, finished, runs) = Default::default();
        Self { entered, finished, gate, runs, downstream, http }
    }

    /// The routes behind the layer, and the same under two prefixes, which `nest` takes off before the layer sees the path.
    pub(crate) fn router(self, layer: Layer) -> Router {
        let routes = Router::new()
            .route("/charge", any(charge))
            .route("/refund", any(charge))
            .route("/held-before", any(held_before))
            .route("/held-after", any(held_after))
            .route("/panic", any(panics))
            .route("/poison", any(poisons))
            .route("/busy", any(busy))
            .route("/fails", any(fails))
            .route("/not-executed", any(not_executed))
            .route("/cookie", any(cookie))
            .route("/headers", any(headers))
            .route("/binary", any(binary))
            .route_layer(layer);
        Router::new().nest("/v1", routes.clone()).nest("/v2", routes.clone()).merge(routes).with_state(self)
    }

    async fn enter(&self, idempotency: Option<&Idempotency>) {
        self.runs.lock().unwrap().push(Run { lease: idempotency.map(Idempotency::lease) });
        self.report("entries", idempotency).await;
        self.entered.up();
    }

    async fn effect(&self, idempotency: Option<&Idempotency>) {
        self.report("effects", idempotency).await;
    }

    async fn report(&self, at: &str, idempotency: Option<&Idempotency>) {
        let key = idempotency.map(|idempotency| idempotency.downstream_key("effect")).unwrap_or_default();
        let fence = idempotency.map(|idempotency| idempotency.fence().get()).unwrap_or_default();
        let request = self.http.post(format!("{}/{at}", self.downstream));
        let request = request.header("idempotency-key", key).header("idempotency-fence", fence);
        request.send().await.and_then(reqwest::Response::error_for_status).expect("the downstream takes everything");
    }

    /// An answer of this run alone.
    fn receipt(&self, idempotency: Option<&Idempotency>, caller: &HeaderMap) -> Response {
        let run = self.finished.up();
        let fence = idempotency.map(|idempotency| idempotency.fence().get());
        let merchant = caller.get("x-merchant").and_then(|merchant| merchant.to_str().ok());
        let receipt = json!({ "receipt": format!("{run}-{}", fence.unwrap_or_default()), "merchant": merchant });
        (StatusCode::CREATED, [(header::LOCATION, format!("/charges/{run}"))], axum::Json(receipt)).into_response()
    }
}

async fn charge(State(on): State<Handlers>, idempotency: Option<Idempotency>, caller: HeaderMap) -> Response {
    on.enter(idempotency.as_ref()).await;
    on.effect(idempotency.as_ref()).await;
    on.receipt(idempotency.as_ref(), &caller)
}

async fn held_before(State(on): State<Handlers>, idempotency: Option<Idempotency>, caller: HeaderMap) -> Response {
    on.enter(idempotency.as_ref()).await;
    on.gate.pass().await;
    on.effect(idempotency.as_ref()).await;
    on.receipt(idempotency.as_ref(), &caller)
}

async fn held_after(State(on): State<Handlers>, idempotency: Option<Idempotency>, caller: HeaderMap) -> Response {
    on.enter(idempotency.as_ref()).await;
    on.effect(idempotency.as_ref()).await;
    on.gate.pass().await;
    on.receipt(idempotency.as_ref(), &caller)
}

async fn panics(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    on.enter(idempotency.as_ref()).await;
    on.effect(idempotency.as_ref()).await;
    panic!("a handler that was asked to panic");
}

/// Takes its whole process with it.
async fn poisons(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    on.enter(idempotency.as_ref()).await;
    std::process::abort();
}

async fn busy(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    on.enter(idempotency.as_ref()).await;
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7")]).into_response()
}

async fn fails(State(on): State<Handlers>, idempotency: Option<Idempotency>, caller: HeaderMap) -> Response {
    on.enter(idempotency.as_ref()).await;
    on.effect(idempotency.as_ref()).await;
    (StatusCode::INTERNAL_SERVER_ERROR, on.receipt(idempotency.as_ref(), &caller)).into_response()
}

async fn not_executed(State(on): State<Handlers>, idempotency: Option<Idempotency>) -> Response {
    on.enter(idempotency.as_ref()).await;
    let mut response = (StatusCode::UNPROCESSABLE_ENTITY, "no such card").into_response();
    response.extensions_mut().insert(Recording::NotExecuted);
    response
}

async fn cookie(State(on): State<Handlers>, idempotency: Option<Idempotency>, caller: HeaderMap) -> Response {
    on.enter(idempotency.as_ref()).await;
    let cookies = AppendHeaders([(header::SET_COOKIE, "session=secret"), (header::SET_COOKIE, "theme=dark")]);
    (cookies, [("authorization", "Bearer secret")], on.receipt(idempotency.as_ref(), &caller)).into_response()
}

/// Repeated fields, one that is not UTF-8, and those of this exchange alone.
async fn headers(State(on): State<Handlers>, idempotency: Option<Idempotency>, caller: HeaderMap) -> Response {
    on.enter(idempotency.as_ref()).await;
    let mut response = on.receipt(idempotency.as_ref(), &caller);
    let fields: [(&'static str, &'static [u8]); 9] = [
        ("link", b"</2>; rel=next"),
        ("content-disposition", b"attachment; filename=\"quittung-\xe4.txt\""),
        ("link", b"</9>; rel=last"),
        ("vary", b"accept"),
        ("vary", b"accept-language"),
        ("etag", b"\"7\""),
        ("cache-control", b"no-store"),
        ("x-request-id", b"of-the-first-request"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value).expect("a legal value");
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    response
}

/// Every byte there is, and no text.
async fn binary(State(on): State<Handlers>, idempotency: Option<Idempotency>, request: Bytes) -> Response {
    on.enter(idempotency.as_ref()).await;
    let mut body: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    body.extend_from_slice(&request);
    body.extend_from_slice(on.finished.up().to_string().as_bytes());
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}
