//! What other layers do outside of this one and inside of it: each claim of `docs/layer-order.md`, in the wrong order and in
//! the right one. The store makes no difference, so it is the memory store.

mod authentication;
mod bodies;
mod headers;
mod limits;
mod panics;
mod routes;
mod timeout;

use std::net::SocketAddr;

use axum::Router;
use idempotency_store::MemoryStore;
use idempotency_tests::{Count, Faults, Faulty, Gate, Reply, reply};
use reqwest::RequestBuilder;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_idempotency::{IDEMPOTENCY_KEY, IdempotencyLayer, Scope, Secret};

type Layer = IdempotencyLayer<Faulty<MemoryStore>>;

/// The layer, and what the handlers behind it count and wait at.
struct Scene {
    layer: Layer,
    faults: Faults,
    runs: Count,
    gate: Gate,
}

impl Scene {
    fn new() -> Self {
        let store = Faulty::new(MemoryStore::new());
        let faults = store.faults();
        let secret = Secret::new("one secret for all servers").unwrap();
        let layer = IdempotencyLayer::new(store, Scope::shared(), secret);
        Self { layer, faults, runs: Count::default(), gate: Gate::default() }
    }

    /// The layer once more: the same store and the same work.
    fn layer(&self) -> Layer {
        self.layer.clone()
    }
}

/// A router on a socket.
struct Site {
    address: SocketAddr,
    server: JoinHandle<()>,
    http: reqwest::Client,
}

impl Site {
    async fn of(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let http = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap();
        Self { address, server, http }
    }

    fn post(&self, key: &str) -> RequestBuilder {
        self.http.post(format!("http://{}/pay", self.address)).header(IDEMPOTENCY_KEY, key).body("{}")
    }

    async fn send(&self, key: &str) -> Reply {
        reply(self.post(key)).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}
