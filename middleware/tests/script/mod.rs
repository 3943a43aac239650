//! A server that does what its script says, and keeps what it was sent.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_idempotency::ResponseBody;
use tower_idempotency::client::{CallError, RequestKey, RetryLayer, RetryPolicy, RetryService};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Say {
    Answer {
        status: StatusCode,
        fields: Vec<(&'static str, String)>,
        body: String,
    },
    Error(ErrorKind),
    Hang,
    /// Begins to answer, and closes the connection.
    Break(u16),
}

/// An answer whose body is its status.
pub fn answer(status: u16) -> Say {
    Say::Answer { status: StatusCode::from_u16(status).unwrap(), fields: Vec::new(), body: status.to_string() }
}

/// A 409 of this kind.
pub fn problem(name: &str) -> Say {
    let body = format!(r#"{{"type":"https://example.com/problems/{name}","status":409}}"#);
    answer(409).with("content-type", "application/problem+json").saying(&body)
}

impl Say {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let Self::Answer { fields, .. } = &mut self else { unreachable!() };
        fields.push((name, value.to_owned()));
        self
    }

    pub fn saying(mut self, text: &str) -> Self {
        let Self::Answer { body, .. } = &mut self else { unreachable!() };
        text.clone_into(body);
        self
    }

    async fn happen(self) -> Result<Response<Body>, BoxError> {
        match self {
            Self::Answer { status, fields, body } => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                for (name, value) in fields {
                    response.headers_mut().append(name, value.parse()?);
                }
                Ok(response)
            }
            Self::Error(kind) => Err(Box::new(io::Error::from(kind))),
            Self::Hang => pending().await,
            Self::Break(status) => {
                let chunks = [Ok(Bytes::from("2")), Err(io::Error::from(ErrorKind::ConnectionReset))];
                Ok(Response::builder().status(status).body(Body::from_stream(stream::iter(chunks)))?)
            }
        }
    }
}

/// What the server was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Instant,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Sent {
    pub fn key(&self) -> Option<String> {
        let mut keys = self.headers.get_all("idempotency-key").iter();
        let key = keys.next().map(|key| key.to_str().unwrap().to_owned());
        assert!(keys.next().is_none(), "several keys: {:?}", self.headers);
        key
    }
}

/// The server, as a tower service that insists on being asked whether it is ready. Clones are the same server.
#[derive(Debug, Default)]
pub struct Script {
    says: Arc<Mutex<VecDeque<Say>>>,
    always: Option<Say>,
    sent: Arc<Mutex<Vec<Sent>>>,
    ready: bool,
}

impl Script {
    pub fn of(says: impl IntoIterator<Item = Say>) -> Self {
        Self { says: Arc::new(Mutex::new(says.into_iter().collect())), ..Self::default() }
    }

    pub fn always(say: Say) -> Self {
        Self { always: Some(say), ..Self::default() }
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

impl Clone for Script {
    fn clone(&self) -> Self {
        let (says, sent) = (Arc::clone(&self.says), Arc::clone(&self.sent));
        Self { says, always: self.always.clone(), sent, ready: false }
    }
}

impl Service<Request<Full<Bytes>>> for Script {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        let say = self.says.lock().unwrap().pop_front().or_else(|| self.always.clone()).expect("an unexpected try");
        let sent = Arc::clone(&self.sent);
        let at = Instant::now();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            sent.lock().unwrap().push(Sent { at, method: parts.method, headers: parts.headers, body });
            say.happen().await
        })
    }
}

pub fn post(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/pay").body(Full::from(body)).unwrap()
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Read {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub key: Option<RequestKey>,
    pub body: Bytes,
}

pub async fn read(response: Response<ResponseBody<Body>>) -> Result<Read, axum::Error> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Read { status: parts.status, headers: parts.headers, key: parts.extensions.get().cloned(), body })
}

/// A client of the server.
pub struct Client(RetryService<Script>);

impl Client {
    pub fn new(script: &Script) -> Self {
        Self::behind(script, &RetryLayer::new())
    }

    pub fn with(script: &Script, policy: RetryPolicy) -> Self {
        Self::behind(script, &RetryLayer::new().policy(policy).unwrap())
    }

    pub fn behind(script: &Script, layer: &RetryLayer) -> Self {
        Self(layer.layer(script.clone()))
    }

    pub fn service(&self) -> RetryService<Script> {
        self.0.clone()
    }

    pub async fn call(&self, request: Request<Full<Bytes>>) -> Result<Read, CallError> {
        Ok(read(self.service().oneshot(request).await?).await.expect("a whole body"))
    }
}
