//! A plain tower service behind the layer: no framework, no socket.
//!
//! ```sh
//! cargo run -p tower-idempotency --example tower
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{Idempotency, IdempotencyLayer, RequestBody, Scope, Secret};

/// What reaches the service behind the layer: the body is the layer's, with the bytes that it digested.
type Keyed = Request<RequestBody<Full<Bytes>>>;

/// Moves money. `None` is a request that carried no key.
fn pay(request: &Keyed, run: usize) -> Response<Full<Bytes>> {
    let key = request.extensions().get::<Idempotency>().map(|idempotency| idempotency.downstream_key("charge"));
    println!("  the service runs, and would send this key to its bank: {key:?}");
    let mut response = Response::new(Full::from(format!("payment {run}")));
    *response.status_mut() = StatusCode::CREATED;
    response
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let pay = service_fn(move |request: Keyed| {
        let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok::<_, Infallible>(pay(&request, run)) }
    });
    let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?);
    let mut service = ServiceBuilder::new().layer(layer).service(pay);

    for (attempt, body, expected) in [
        ("first", "10 EUR", (201, "payment 1", false)),
        ("retry", "10 EUR", (201, "payment 1", true)),
        ("another request", "99 EUR", (422, "key-reused", false)),
    ] {
        let request = Request::post("/payments").header("idempotency-key", "order-42").body(Full::from(body))?;
        let response = service.ready().await?.call(request).await?;
        let (status, replayed) = (response.status(), response.headers().contains_key("idempotent-replayed"));
        let body = response.into_body().collect().await?.to_bytes();
        println!("{attempt}: {status}, replayed: {replayed}, {}", String::from_utf8_lossy(&body));
        assert_eq!((status.as_u16(), replayed), (expected.0, expected.2));
        assert!(String::from_utf8_lossy(&body).contains(expected.1));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the service ran once");
    Ok(())
}

#[test]
fn it_shows_what_it_says() -> Result<(), Box<dyn Error + Send + Sync>> {
    main()
}
