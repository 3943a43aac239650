//! An application in this process, on a real socket, behind the layer.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use idempotency_store::{BoxStore, EncryptedStore, KeyRing};
use reqwest::{Method, RequestBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_http::on_early_drop::OnEarlyDropGuard;
use tower_idempotency::{IDEMPOTENCY_KEY, IdempotencyLayer, Scope, Secret, Timing};

use crate::handlers::{Handlers, Run};
use crate::{Backend, Count, Downstream, Faults, Faulty, Gate, Reply, reply, within};

/// The layer of an [`App`].
pub type Layer = IdempotencyLayer<Faulty<BoxStore>>;

/// The header field that the default scope is read from.
pub const MERCHANT: &str = "x-merchant";

/// What all applications digest with, so that those on one store are servers of one service.
pub(crate) const SECRET: &str = "one secret for all servers";

/// A running application. Its routes are `/charge` and `/refund` (both charge), `/held-before` and `/held-after` (before
/// and after their effect, until the gate opens), `/panic`, `/poison` (ends the process), `/busy` (429), `/fails` (500),
/// `/not-executed`, `/cookie`, `/headers`, `/binary`, `/empty` (204), `/echo`, `/status/{code}`, and those of `streams`; and
/// all of them under `/v1` and `/v2`. Each takes every method.
///
/// It ends when it is dropped.
#[derive(Debug)]
pub struct App {
    /// Makes its store fail.
    pub faults: Faults,
    /// What `/held-before` and `/held-after` wait at.
    pub gate: Gate,
    /// Where the effects are.
    pub downstream: Downstream,
    /// How many requests the server has dropped unanswered, because their client was gone.
    pub departed: Count,
    /// How many requests the server is done with, answered or not.
    pub ended: Count,
    /// Its layer, for draining.
    pub layer: Layer,
    /// Its store, behind the faults.
    pub store: BoxStore,
    handlers: Handlers,
    address: SocketAddr,
    http: reqwest::Client,
    server: JoinHandle<()>,
}

/// The default timing, but for the waits for the store: a disk that is busy with other tests is no failure.
pub fn patient() -> Timing {
    let long = Duration::from_secs(30);
    Timing::default().claim_budget(long).completion_wait(long)
}

/// What is special about an [`App`].
pub struct Builder {
    store: BoxStore,
    downstream: Option<Downstream>,
    gate: Gate,
    scope: Scope,
    configure: Box<dyn FnOnce(Layer) -> Layer + Send>,
    inside: Box<dyn FnOnce(Router) -> Router + Send>,
    outside: Box<dyn FnOnce(Router) -> Router + Send>,
    http: reqwest::ClientBuilder,
}

impl App {
    /// One with the merchant in `x-merchant` as scope, a key required, [`patient`] timing, and every other setting at its
    /// default.
    pub async fn start(backend: &impl Backend) -> Self {
        Self::on(backend).start().await
    }

    /// One that is still to be configured.
    pub fn on(backend: &impl Backend) -> Builder {
        Builder {
            store: backend.store(),
            downstream: None,
            gate: Gate::default(),
            scope: Scope::header(MERCHANT.parse().expect("a name")),
            configure: Box::new(|layer| layer),
            inside: Box::new(|routes| routes),
            outside: Box::new(|router| router),
            http: reqwest::Client::builder(),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `POST` of the usual body by the usual merchant, to be changed or sent.
    pub fn post(&self, path: &str, key: &str) -> RequestBuilder {
        self.request(Method::POST, path).header(MERCHANT, "acme").header(IDEMPOTENCY_KEY, key)
    }

    /// A request with the usual body, of nobody and without a key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.request(method, url).header("content-type", "application/json").body(r#"{"amount":1000}"#)
    }

    /// A request that was taken apart and changed.
    pub fn rebuilt(&self, request: reqwest::Request) -> RequestBuilder {
        RequestBuilder::from_parts(self.http.clone(), request)
    }

    /// Sends that `POST`, and reads the answer.
    pub async fn send(&self, path: &str, key: &str) -> Reply {
        reply(self.post(path, key)).await
    }

    /// Sends that `POST` from a task of its own, and returns once its handler waits at the gate.
    pub async fn send_until_held(&self, path: &str, key: &str) -> JoinHandle<Reply> {
        let answer = tokio::spawn(reply(self.post(path, key)));
        self.gate.arrived(1).await;
        answer
    }

    /// How often a handler was entered.
    pub fn exec(&self) -> usize {
        self.handlers.entered.get()
    }

    /// Waits until handlers have finished `times`.
    pub async fn until_finished(&self, times: usize) {
        within("a handler finishes", self.handlers.finished.reached(times)).await;
    }

    /// Every entry of a handler, in their order.
    pub fn runs(&self) -> Vec<Run> {
        self.handlers.runs.lock().unwrap().clone()
    }

    /// The fences that handlers ran under, in their order.
    pub fn fences(&self) -> Vec<u64> {
        self.runs().iter().map(|run| run.lease.expect("a protected run").fence.get()).collect()
    }
}

impl Builder {
    /// Changes the layer's timing.
    pub fn timing(self, timing: Timing) -> Self {
        self.layer(move |layer| layer.timing(timing).expect("sensible durations"))
    }

    /// Changes the layer's settings.
    pub fn layer(mut self, configure: impl FnOnce(Layer) -> Layer + Send + 'static) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Puts something between the layer and the handlers.
    pub fn inside(mut self, wrap: impl FnOnce(Router) -> Router + Send + 'static) -> Self {
        self.inside = Box::new(wrap);
        self
    }

    /// Puts something around the layer.
    pub fn outside(mut self, wrap: impl FnOnce(Router) -> Router + Send + 'static) -> Self {
        self.outside = Box::new(wrap);
        self
    }

    /// Changes whose keys they are.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Works for this downstream instead of one that executes everything.
    pub fn downstream(mut self, downstream: &Downstream) -> Self {
        self.downstream = Some(downstream.clone());
        self
    }

    /// Works for the same downstream and waits at the same gate as `other`, as a second server of one service does.
    pub fn beside(mut self, other: &App) -> Self {
        (self.downstream, self.gate) = (Some(other.downstream.clone()), other.gate.clone());
        self
    }

    /// Encrypts what its store keeps of answers.
    pub fn encrypted(mut self, ring: KeyRing) -> Self {
        self.store = BoxStore::new(EncryptedStore::new(self.store, ring));
        self
    }

    /// Talks HTTP/2 from the first byte.
    pub fn http2(mut self) -> Self {
        self.http = self.http.http2_prior_knowledge();
        self
    }

    /// Starts it.
    pub async fn start(self) -> App {
        let downstream = match self.downstream {
            Some(downstream) => downstream,
            None => Downstream::start().await,
        };
        let handlers = Handlers::new(downstream.url(), self.gate.clone());
        let store = Faulty::new(self.store.clone());
        let faults = store.faults();
        let secret = Secret::new(SECRET).expect("long enough");
        let layer = IdempotencyLayer::new(store, self.scope, secret).required();
        let layer = (self.configure)(layer.timing(patient()).expect("sensible durations"));
        let (departed, ended) = (Count::default(), Count::default());
        let router = (self.outside)(handlers.clone().router(self.inside, layer.clone()));
        let router = observed(router, &departed, &ended);

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let http = self.http.no_proxy().retry(reqwest::retry::never()).build().expect("a client");
        App {
            faults,
            gate: self.gate,
            downstream,
            departed,
            ended,
            layer,
            store: self.store,
            handlers,
            address,
            http,
            server,
        }
    }
}

/// Counts, outside of the layer, the requests that the server drops before they are answered, and all that it ends.
fn observed(router: Router, departed: &Count, ended: &Count) -> Router {
    let (departed, ended) = (departed.clone(), ended.clone());
    router.layer(from_fn(move |request: Request, next: Next| {
        let (departed, ended) = (departed.clone(), ended.clone());
        async move {
            let left = ended.clone();
            let mut guard = OnEarlyDropGuard::new(move || {
                departed.up();
                left.up();
            });
            let response = next.run(request).await;
            guard.completed();
            ended.up();
            response
        }
    }))
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Builder(..)")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}
