//! Where handlers have their effects. It executes whatever reaches it and so is the judge.

use std::sync::Arc;

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A service behind the application, on a socket of its own. It outlives an application that is killed. Clones
/// are the same service.
#[derive(Clone, Debug)]
pub struct Downstream(Arc<MockServer>);

impl Downstream {
    /// Starts one on any free port.
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        for (at, status) in [("/entries", 204), ("/effects", 201)] {
            Mock::given(method("POST")).and(path(at)).respond_with(ResponseTemplate::new(status)).mount(&server).await;
        }
        Self(Arc::new(server))
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.0.uri()
    }

    /// How often a handler was entered, as the handlers report it before they do anything else.
    pub async fn entries(&self) -> usize {
        self.received("/entries").await.len()
    }

    /// How many effects there were.
    pub async fn effects(&self) -> usize {
        self.received("/effects").await.len()
    }

    /// The derived keys that came with the effects, in their order.
    pub async fn keys(&self) -> Vec<String> {
        let key = |request: &wiremock::Request| request.headers["idempotency-key"].to_str().unwrap().to_owned();
        self.received("/effects").await.iter().map(key).collect()
    }

    async fn received(&self, at: &str) -> Vec<wiremock::Request> {
        let all = self.0.received_requests().await.expect("the mock server records what it receives");
        all.into_iter().filter(|request| request.url.path() == at).collect()
    }
}
