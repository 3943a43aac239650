//! gRPC over HTTP/2, by tonic: how a call ended stands in trailers, or in the header fields if there is no message.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::http::{self, HeaderMap, HeaderValue, StatusCode, Version, header};
use bytes::{Buf, BufMut, Bytes};
use http_body_util::BodyExt;
use idempotency_store::BoxStore;
use idempotency_tests::{Backend, Count, Gate, on_each_store, within};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tower::{ServiceExt, service_fn};
use tower_idempotency::{IdempotencyLayer, RejectionKind, RequestBody, Scope, Secret};

on_each_store!(
    grpc_a_retry_gets_the_message_and_its_trailers,
    grpc_an_error_in_header_fields_is_replayed,
    grpc_a_method_that_runs_is_not_entered_again,
    grpc_a_rejection_can_be_said_in_its_words,
);

type Layer = IdempotencyLayer<BoxStore>;

/// A server with one method, which answers with its request and the number of its run, and a client of it.
struct Grpc {
    runs: Count,
    gate: Gate,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Grpc {
    async fn start(backend: &impl Backend, configure: impl FnOnce(Layer) -> Layer) -> Self {
        let secret = Secret::new("one secret for all servers").unwrap();
        let layer = configure(IdempotencyLayer::new(backend.store(), Scope::shared(), secret).required());
        let (runs, gate) = (Count::default(), Gate::default());
        let method = method(runs.clone(), gate.clone());
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let server = Server::builder().layer(layer).serve_with_incoming(method, incoming);
        Self { runs, gate, address, server: tokio::spawn(async move { server.await.unwrap() }) }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        within("the server accepts", endpoint.connect()).await.unwrap()
    }

    /// A unary call, as a generated client makes it.
    async fn call(&self, key: &str, message: &str) -> Result<Response<String>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel().await);
        client.ready().await.unwrap();
        let mut request = Request::new(message.to_owned());
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        let path = http::uri::PathAndQuery::from_static("/bank.Payments/Pay");
        within("the call ends", client.unary(request, path, Text)).await
    }

    /// The same call, as it looks on the wire.
    async fn exchange(&self, key: &str, message: &str) -> Exchange {
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        framed.extend(message.as_bytes());
        let request = http::Request::post(format!("http://{}/bank.Payments/Pay", self.address))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header("idempotency-key", key)
            .body(Body::new(http_body_util::Full::from(framed)))
            .unwrap();
        let answer = async {
            let response = self.channel().await.oneshot(request).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_2);
            let (http::response::Parts { status, headers, .. }, body) = response.into_parts();
            let body = body.collect().await.unwrap();
            Exchange { status, headers, trailers: body.trailers().cloned(), body: body.to_bytes() }
        };
        within("an answer", answer).await
    }
}

impl Drop for Grpc {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer's parts.
struct Exchange {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Exchange {
    fn is_replay(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }
}

type Keyed = http::Request<RequestBody<Body>>;

/// The server's only method: `UNAVAILABLE`, `FAILED_PRECONDITION` with details, or a message.
fn method(
    runs: Count,
    gate: Gate,
) -> impl tower::Service<Keyed, Response = http::Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(move |request: Keyed| {
        let (runs, gate) = (runs.clone(), gate.clone());
        async move {
            let method = service_fn(move |request: Request<String>| pay(request, runs.clone(), gate.clone()));
            Ok(tonic::server::Grpc::new(Text).unary(method, request).await)
        }
    })
}

async fn pay(request: Request<String>, runs: Count, gate: Gate) -> Result<Response<String>, Status> {
    let run = runs.up();
    match request.into_inner().as_str() {
        "unavailable" => Err(Status::unavailable(format!("run {run}"))),
        "refused" => {
            let details = Bytes::from_static(b"\x00\xffdetails");
            Err(Status::with_details(Code::FailedPrecondition, format!("run {run}"), details))
        }
        "held" => {
            gate.pass().await;
            Ok(Response::new(format!("run {run}: held")))
        }
        message => Ok(Response::new(format!("run {run}: {message}"))),
    }
}

async fn grpc_a_retry_gets_the_message_and_its_trailers(backend: impl Backend) {
    let grpc = Grpc::start(&backend, |layer| layer).await;
    let (first, retry) = (grpc.call("key-1", "shoes").await.unwrap(), grpc.call("key-1", "shoes").await.unwrap());
    assert_eq!((first.get_ref().as_str(), retry.get_ref().as_str()), ("run 1: shoes", "run 1: shoes"));

    let (first, retry) = (grpc.exchange("key-2", "shoes").await, grpc.exchange("key-2", "shoes").await);
    assert_eq!((first.is_replay(), retry.is_replay()), (false, true));
    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    assert_eq!(first.trailers.as_ref(), Some(&status));
    assert_eq!((retry.trailers, retry.body), (first.trailers, first.body));
    assert!(!retry.headers.contains_key("grpc-status"), "trailers stay trailers: {:?}", retry.headers);
    assert_eq!(grpc.runs.get(), 2);
}

async fn grpc_an_error_in_header_fields_is_replayed(backend: impl Backend) {
    let grpc = Grpc::start(&backend, |layer| layer).await;
    for (run, (message, code)) in
        [("unavailable", Code::Unavailable), ("refused", Code::FailedPrecondition)].into_iter().enumerate()
    {
        let (first, retry) = (grpc.exchange(message, message).await, grpc.exchange(message, message).await);
        assert_eq!((first.is_replay(), retry.is_replay()), (false, true));
        assert_eq!((first.status, retry.status), (StatusCode::OK, StatusCode::OK));
        assert_eq!((first.body.len(), &first.trailers), (0, &None), "there is no message");
        assert_eq!(first.headers["grpc-status"], (code as i32).to_string().as_str());
        for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "content-type"] {
            assert_eq!(retry.headers.get(name), first.headers.get(name), "{name}");
        }
        assert_eq!((retry.body.len(), retry.trailers), (0, None));
        let status = grpc.call(message, message).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, format!("run {}", run + 1).as_str()));
    }
    assert_eq!(grpc.call("refused", "refused").await.unwrap_err().details(), b"\x00\xffdetails");
    assert_eq!(grpc.runs.get(), 2);
}

async fn grpc_a_method_that_runs_is_not_entered_again(backend: impl Backend) {
    let grpc = Grpc::start(&backend, |layer| layer).await;
    let (first, ()) = tokio::join!(grpc.call("key-1", "held"), async {
        grpc.gate.arrived(1).await;
        // A problem document is no answer of gRPC: its client knows that it failed, but not why.
        let refused = grpc.exchange("key-1", "held").await;
        assert_eq!((refused.status, refused.is_replay()), (StatusCode::CONFLICT, false));
        assert!(String::from_utf8_lossy(&refused.body).contains("/in-flight\""), "{:?}", refused.body);
        assert_eq!(grpc.call("key-1", "held").await.unwrap_err().code(), Code::Internal);
        grpc.gate.open();
    });
    assert_eq!(first.unwrap().get_ref(), "run 1: held");
    assert_eq!(grpc.call("key-1", "held").await.unwrap().get_ref(), "run 1: held");
    assert_eq!(grpc.runs.get(), 1);
}

/// The documentation's advice for a service that speaks gRPC only.
async fn grpc_a_rejection_can_be_said_in_its_words(backend: impl Backend) {
    let in_grpc = |layer: Layer| {
        layer.on_rejection(|rejection| {
            let code = match rejection.kind() {
                RejectionKind::InFlight | RejectionKind::StoreUnavailable => Code::Unavailable,
                RejectionKind::KeyMissing | RejectionKind::KeyMalformed | RejectionKind::KeyReused => {
                    Code::InvalidArgument
                }
                _ => Code::Aborted,
            };
            Status::new(code, rejection.detail()).into_http::<http_body_util::Empty<Bytes>>().map(|_| Bytes::new())
        })
    };
    let grpc = Grpc::start(&backend, in_grpc).await;
    grpc.call("key-1", "shoes").await.unwrap();
    let refused = grpc.call("key-1", "other shoes").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("used for a different request"), "{refused}");
    let (_, ()) = tokio::join!(grpc.call("key-2", "held"), async {
        grpc.gate.arrived(1).await;
        assert_eq!(grpc.call("key-2", "held").await.unwrap_err().code(), Code::Unavailable);
        grpc.gate.open();
    });
    assert_eq!(grpc.runs.get(), 2);
}

/// A message is its text.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let text = String::from_utf8(bytes.copy_to_bytes(bytes.remaining()).into());
        text.map(Some).map_err(|_| Status::invalid_argument("a message is text"))
    }
}
