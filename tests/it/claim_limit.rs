//! A caller that makes up keys: 429 before the store is asked, in bounded memory. At the layer itself, in paused time.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use idempotency_store::MemoryStore;
use idempotency_tests::{Count, Faulty, Verb};
use tokio::time::advance;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::{ClaimLimit, IdempotencyLayer, RequestBody, Scope, Secret};

use axum::http::{HeaderName, Request, Response, StatusCode};

const CALLER: HeaderName = HeaderName::from_static("x-caller");

/// A layer with this limit, over a store that counts what it is asked.
struct Shop {
    store: Arc<Faulty<MemoryStore>>,
    layer: IdempotencyLayer<Arc<Faulty<MemoryStore>>>,
    runs: Count,
}

impl Shop {
    fn with(limit: &ClaimLimit) -> Self {
        let store = Arc::new(Faulty::new(MemoryStore::new()));
        let layer = IdempotencyLayer::new(Arc::clone(&store), Scope::header(CALLER), Secret::new([7; 32]).unwrap());
        Self { store, layer: layer.limit_claims(limit.clone()), runs: Count::default() }
    }

    async fn send(&self, caller: usize, key: usize) -> StatusCode {
        let runs = self.runs.clone();
        let service = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
            runs.up();
            async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
        });
        let request = Request::post("/charge").header(CALLER, caller).header("idempotency-key", key);
        self.layer.layer(service).oneshot(request.body(Full::default()).unwrap()).await.unwrap().status()
    }

    /// How many times the store was asked for a key, and the handler entered.
    fn granted(&self) -> (usize, usize) {
        (self.store.faults().called(Verb::Claim), self.runs.get())
    }
}

#[tokio::test(start_paused = true)]
async fn s65_a_million_keys_of_one_scope_in_a_minute_are_refused_before_the_store() {
    const KEYS: usize = 1_000_000;
    const AT_ONCE: usize = 1000;
    let limit = ClaimLimit::per_second(50, 200).unwrap();
    let shop = Shop::with(&limit);
    let mut refused = 0;
    for first in (0..KEYS).step_by(AT_ONCE) {
        for key in first..first + AT_ONCE {
            match shop.send(0, key).await {
                StatusCode::OK => {}
                StatusCode::TOO_MANY_REQUESTS => refused += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!(limit.tracked_scopes(), 1);
        advance(Duration::from_millis(60)).await;
    }
    // What the bucket held, and what came into it before the last of them, 60 ms before the minute was over.
    let granted = 200 + 50 * 60 - 3;
    assert_eq!(shop.granted(), (granted, granted));
    assert_eq!(shop.store.faults().called_in_all(), 2 * granted, "and each was completed");
    assert_eq!((refused, shop.layer.counts().limited), (KEYS - granted, (KEYS - granted) as u64));
    assert_eq!(shop.send(1, 0).await, StatusCode::OK, "another scope is none the worse for it");
    advance(Duration::from_secs(4)).await;
    assert_eq!((limit.tracked_scopes(), shop.send(0, KEYS).await), (0, StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn s65_any_number_of_scopes_is_remembered_in_bounded_memory() {
    let limit = ClaimLimit::per_second(1, 5).unwrap().scopes(NonZeroUsize::new(1000).unwrap());
    let shop = Shop::with(&limit);
    // Two hundred scopes that work as ever: a key now and then.
    let mut refused = 0;
    for round in 0..20 {
        for caller in 0..200 {
            refused += usize::from(shop.send(caller, round).await != StatusCode::OK);
        }
        // And scopes that nobody has seen before, with a key each.
        for made_up in 0..2000 {
            shop.send(1000 + round * 2000 + made_up, 0).await;
            assert!(limit.tracked_scopes() <= 1000);
        }
        advance(Duration::from_secs(2)).await;
    }
    let (claims, runs) = shop.granted();
    assert_eq!(claims, runs);
    assert!(claims <= 1000 * (5 + 40), "all scopes together have no more than all buckets: {claims}");
    assert_eq!(refused, 0, "who keeps to the limit is not driven out");
    advance(Duration::from_secs(5)).await;
    assert_eq!(limit.tracked_scopes(), 0);
}
