//! A unary gRPC method with tonic: the retry gets the message and the trailers of the first answer.
//!
//! gRPC says how a call ended in the trailers (`grpc-status`), so an answer without them is no answer. The client puts the
//! key into the request's metadata. A problem document would tell a gRPC client nothing, so rejections are put into a
//! status, too. A real service has its messages and its codec generated; here both are a string.
//!
//! ```sh
//! cargo run -p tower-idempotency --example tonic
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};
use tonic::{Code, Request, Response, Status};
use tower::service_fn;
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{Idempotency, IdempotencyLayer, Rejection, RejectionKind, RequestBody, Scope, Secret};

type Failure = Box<dyn Error + Send + Sync>;

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

/// The method, as a generated server would call it. The layer's extension is an extension of tonic's request, too.
fn pay(request: &Request<String>, run: usize) -> Result<Response<String>, Status> {
    println!("  the method runs, attempt {:?}", request.extensions().get::<Idempotency>().map(Idempotency::attempt));
    match request.get_ref().as_str() {
        "a broken card" => Err(Status::failed_precondition(format!("run {run}: the card is broken"))),
        order => Ok(Response::new(format!("run {run}: paid for {order}"))),
    }
}

/// What the layer says instead of the method, in a status of gRPC.
fn status(rejection: &Rejection) -> http::Response<Bytes> {
    let code = match rejection.kind() {
        RejectionKind::KeyMissing | RejectionKind::KeyMalformed | RejectionKind::KeyReused => Code::InvalidArgument,
        RejectionKind::InFlight | RejectionKind::StoreUnavailable | RejectionKind::ShuttingDown => Code::Unavailable,
        // Above all `indeterminate`: not to be repeated before somebody has looked at the outcome.
        _ => Code::Aborted,
    };
    Status::new(code, rejection.detail()).into_http::<Body>().map(|_| Bytes::new())
}

/// A server with this one method, whatever its path.
fn serve(layer: IdempotencyLayer<MemoryStore>) -> Result<SocketAddr, Failure> {
    let runs = Arc::new(AtomicUsize::new(0));
    let method = service_fn(move |request: http::Request<RequestBody<Body>>| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let method = service_fn(move |request| async move { pay(&request, run) });
            Ok::<_, Infallible>(tonic::server::Grpc::new(Text).unary(method, request).await)
        }
    });
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = incoming.local_addr()?;
    tokio::spawn(Server::builder().layer(layer).serve_with_incoming(method, incoming));
    Ok(address)
}

/// What the call came to, as a generated client would say it.
async fn call(channel: &Channel, key: &str, order: &str) -> Result<Result<Response<String>, Status>, Failure> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await?;
    let mut request = Request::new(order.to_owned());
    request.metadata_mut().insert("idempotency-key", key.parse()?);
    let answer = client.unary(request, PathAndQuery::from_static("/bank.Payments/Pay"), Text).await;
    println!("{key}: {answer:?}");
    Ok(answer)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
    let layer = layer.required().on_rejection(status);
    let address = serve(layer)?;
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;

    let (first, retry) = (call(&channel, "order-42", "shoes").await??, call(&channel, "order-42", "shoes").await??);
    assert_eq!((first.get_ref().as_str(), retry.get_ref()), ("run 1: paid for shoes", first.get_ref()));
    // tonic puts the trailers to the metadata.
    assert_eq!(retry.metadata().get("grpc-status"), first.metadata().get("grpc-status"));
    assert_eq!(first.metadata().get("idempotent-replayed"), None);
    assert!(retry.metadata().get("idempotent-replayed").is_some_and(|value| value == "true"));

    let reused = call(&channel, "order-42", "other shoes").await?.err().ok_or("it is refused")?;
    assert_eq!(reused.code(), Code::InvalidArgument);

    // A failure is an outcome as well. It has no message, so its status stands in the header fields.
    for _ in 0..2 {
        let failed = call(&channel, "order-43", "a broken card").await?.err().ok_or("it fails")?;
        assert_eq!((failed.code(), failed.message()), (Code::FailedPrecondition, "run 2: the card is broken"));
    }
    Ok(())
}

#[test]
fn it_shows_what_it_says() -> Result<(), Failure> {
    main()
}
