//! What requests are told apart by: the digests that the layer makes of one, as the store sees them.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{Empty, Full};
use idempotency_store::record::{Record, Transition};
use idempotency_store::{Deadline, Fingerprint, Key, Scanned, StoreError, StoreTime, Transact};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::{IDEMPOTENCY_KEY, IdempotencyLayer, Scope, Secret};

use crate::draw::Draw;

const CALLER: HeaderName = HeaderName::from_static("x-caller");
const VERSION: HeaderName = HeaderName::from_static("x-version");

/// Cuts the same text into two requests: they look alike wherever a boundary between two fields does not count.
pub(crate) fn target(input: &[u8]) {
    let mut draw = Draw::from(input);
    let cuts = [draw.array::<24>(), draw.array()];
    let text = draw.rest();
    let [one, other] = cuts.map(|cuts| Asked::cut(&cuts, text));
    let (Some(seen), Some(others), Some(again)) = (one.seen(), other.seen(), one.seen()) else { return };
    assert_eq!(seen, again, "one request has one digest");
    assert_eq!(seen.0 == others.0, one.whose() == other.whose(), "{one:?}\n{other:?}");
    assert_eq!(seen.1 == others.1, one.what() == other.what(), "{one:?}\n{other:?}");
    fence_keys(&cuts, text);
}

/// The key of a fence is made of two fields, which cannot be shifted into each other.
fn fence_keys(cuts: &[[u8; 24]; 2], text: &[u8]) {
    let secret = Secret::new([7; 32]).expect("long enough");
    let [one, other] = cuts.map(|cuts| text.split_at(usize::from(cuts[0]).min(text.len())));
    assert_eq!(secret.fence_key(one.0, one.1) == secret.fence_key(other.0, other.1), one == other);
}

/// A request, by its fields.
#[derive(Debug)]
struct Asked {
    scope: String,
    key: String,
    method: String,
    path: String,
    query: Option<String>,
    content_types: Vec<Vec<u8>>,
    versions: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Asked {
    fn cut(cuts: &[u8; 24], text: &[u8]) -> Self {
        let mut rest = text;
        let mut piece = |at: usize| {
            let (piece, after) = rest.split_at(usize::from(cuts[at]).min(rest.len()));
            rest = after;
            piece
        };
        let word = |piece: &[u8]| piece.iter().map(|byte| char::from(b'A' + byte % 26)).collect::<String>();
        let (scope, key, method, path) = (word(piece(0)), word(piece(1)), word(piece(2)), word(piece(3)));
        let query = (cuts[4] % 2 == 1).then(|| word(piece(5)));
        let content_types = (0..usize::from(cuts[6] % 4)).map(|field| piece(8 + field).to_vec()).collect();
        let versions = (0..usize::from(cuts[7] % 4)).map(|field| piece(12 + field).to_vec()).collect();
        Self { scope, key, method, path: format!("/{path}"), query, content_types, versions, body: rest.to_vec() }
    }

    fn whose(&self) -> (&str, &str) {
        (&self.scope, &self.key)
    }

    fn what(&self) -> impl PartialEq + use<'_> {
        (&self.method, &self.path, &self.query, &self.content_types, &self.versions, &self.body)
    }

    /// The digests of the request, unless it cannot be sent or is none with a key.
    fn seen(&self) -> Option<(Key, Fingerprint)> {
        let uri = format!("{}{}", self.path, self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default());
        let method = Method::from_bytes(self.method.as_bytes()).ok()?;
        let mut request = Request::builder().method(method).uri(uri).body(Full::from(self.body.clone())).ok()?;
        let fields = [(CALLER, self.scope.as_bytes()), (IDEMPOTENCY_KEY, self.key.as_bytes())].into_iter();
        let types = self.content_types.iter().map(|value| (header::CONTENT_TYPE, value.as_slice()));
        let versions = self.versions.iter().map(|value| (VERSION, value.as_slice()));
        for (name, value) in fields.chain(types).chain(versions) {
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
        witnessed(request)
    }
}

/// Sends a request through the layer, and brings what the store was asked for.
fn witnessed(request: Request<Full<Bytes>>) -> Option<(Key, Fingerprint)> {
    static LAYER: LazyLock<(Arc<Witness>, IdempotencyLayer<Arc<Witness>>)> = LazyLock::new(|| {
        let witness = Arc::new(Witness::default());
        let secret = Secret::new([7; 32]).expect("long enough");
        let layer = IdempotencyLayer::new(Arc::clone(&witness), Scope::header(CALLER), secret);
        (witness, layer.fingerprint_header(VERSION))
    });
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let (witness, layer) = &*LAYER;
    let inner = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) });
    RUNTIME.with(|runtime| runtime.block_on(layer.layer(inner).oneshot(request))).expect("infallible");
    witness.0.lock().unwrap().take()
}

/// A store that remembers what it was asked for last, and refuses it.
#[derive(Debug, Default)]
struct Witness(Mutex<Option<(Key, Fingerprint)>>);

impl Transact for Witness {
    async fn transact<R, F>(&self, key: Key, _: Deadline, transition: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
    {
        let asked = transition(None, self.now()).write.expect("a claim on an absent key");
        *self.0.lock().unwrap() = Some((key, asked.fingerprint));
        Err(StoreError::not_applied("witness", "it keeps nothing"))
    }

    async fn scan(&self, _: Option<Key>, _: NonZeroUsize, _: Deadline) -> Result<Vec<Scanned>, StoreError> {
        Ok(Vec::new())
    }

    fn now(&self) -> StoreTime {
        StoreTime::from_micros(1)
    }

    async fn ping(&self, _: Deadline) -> Result<(), StoreError> {
        Ok(())
    }
}
