//! Where handlers have their effects, and the judge of how many there were.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// A service behind the application, on a socket of its own. It outlives an application that is killed. Clones
/// are the same service.
#[derive(Clone, Debug)]
pub struct Downstream {
    server: Arc<MockServer>,
    effects: Arc<AtomicUsize>,
}

/// What a downstream looks at before it does what it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checks {
    /// Nothing: whatever reaches it is executed.
    Nothing,
    /// The marker: a derived key that it has seen is not executed again.
    Marker,
    /// The fence alone: what comes with a lower one than it has seen for the key is refused.
    Fence,
}

/// Executes, or not, what reaches it.
struct Till {
    checks: Checks,
    effects: Arc<AtomicUsize>,
    /// The greatest fence seen with each key.
    seen: Mutex<HashMap<String, u64>>,
}

impl Respond for Till {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let key = field(request, "idempotency-key");
        let fence = field(request, "idempotency-fence").parse().unwrap_or_default();
        let mut seen = self.seen.lock().unwrap();
        let before = seen.get(&key).copied();
        let status = match (self.checks, before) {
            (Checks::Marker, Some(_)) => 200,
            (Checks::Fence, Some(before)) if fence < before => 409,
            _ => 201,
        };
        if status == 201 {
            self.effects.fetch_add(1, Ordering::SeqCst);
        }
        seen.insert(key, before.unwrap_or_default().max(fence));
        ResponseTemplate::new(status)
    }
}

fn field(request: &Request, name: &str) -> String {
    request.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

impl Downstream {
    /// Starts one on any free port that executes whatever reaches it.
    pub async fn start() -> Self {
        Self::that_checks(Checks::Nothing).await
    }

    /// Starts one on any free port.
    pub async fn that_checks(checks: Checks) -> Self {
        // One that nobody has after us: a handler that outlives its test would have its effect in another one.
        let server = MockServer::builder().start().await;
        let effects = Arc::new(AtomicUsize::new(0));
        let till = Till { checks, effects: Arc::clone(&effects), seen: Mutex::default() };
        let entered = ResponseTemplate::new(204);
        Mock::given(method("POST")).and(path("/entries")).respond_with(entered).mount(&server).await;
        Mock::given(method("POST")).and(path("/effects")).respond_with(till).mount(&server).await;
        Self { server: Arc::new(server), effects }
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// How often a handler was entered, as the handlers report it before they do anything else.
    pub async fn entries(&self) -> usize {
        self.received("/entries").await.len()
    }

    /// How many effects there were: executed, not merely asked for.
    pub fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    /// The derived keys that came with the effects, in their order.
    pub async fn keys(&self) -> Vec<String> {
        self.received("/effects").await.iter().map(|request| field(request, "idempotency-key")).collect()
    }

    async fn received(&self, at: &str) -> Vec<Request> {
        let all = self.server.received_requests().await.expect("the mock server records what it receives");
        all.into_iter().filter(|request| request.url.path() == at).collect()
    }
}
