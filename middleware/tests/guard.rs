//! The guard on the receiving side: what passes, what is refused, and what is left to the layer behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use common::{Answer, Entries, read, secret};
use futures_util::{FutureExt, stream};
use http::{Method, Request, Response, StatusCode};
use idempotency_store::{
    Admitted, Deadline, DeadlinePassed, Fence, FenceKey, FenceStore, Holder, MemoryFenceStore, MemoryStore, Owner,
    StoreError,
};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_idempotency::{
    FenceGuardLayer, FenceHeader, IdempotencyLayer, Recording, Rejection, RejectionKind, RequestBody, Scope, Secret,
};

/// Which attempt it is: fence and owner.
type Attempt = (u64, u8);

const FIRST: Attempt = (33, 1);
const SUCCESSOR: Attempt = (34, 2);

fn guard() -> FenceGuardLayer<MemoryFenceStore> {
    over(MemoryFenceStore::new())
}

fn over<F: FenceStore>(store: F) -> FenceGuardLayer<F> {
    FenceGuardLayer::new(store, Scope::shared(), secret())
}

fn fence((fence, owner): Attempt) -> FenceHeader {
    FenceHeader::new(Fence::new(fence), Owner::new([owner; 16]))
}

fn call(attempt: Attempt) -> Request<Body> {
    call_with(&fence(attempt).to_string())
}

fn call_with(fence: &str) -> Request<Body> {
    let request = Request::post("/charge").header("idempotency-key", "k").header("idempotency-fence", fence);
    request.body(Body::from("{}")).unwrap()
}

fn run(entries: &Entries) -> Response<Body> {
    Response::new(Body::from(format!("run {}", entries.enter())))
}

/// Sends a request through the guard to a handler that counts.
async fn send<F: FenceStore>(guard: &FenceGuardLayer<F>, entries: &Entries, request: Request<Body>) -> Answer {
    let entries = entries.clone();
    let handler = service_fn(move |_: Request<Body>| std::future::ready(Ok::<_, Infallible>(run(&entries))));
    read(guard.layer(handler).oneshot(request).await.unwrap()).await
}

async fn is_admitted<F: FenceStore>(guard: &FenceGuardLayer<F>, attempt: Attempt) -> bool {
    let (entries, request) = (Entries::default(), call(attempt));
    let answer = send(guard, &entries, request).await;
    assert_eq!(entries.count(), usize::from(answer.status == StatusCode::OK), "{answer:?}");
    if answer.status != StatusCode::OK {
        assert_eq!((answer.status, answer.problem()), (StatusCode::CONFLICT, "fenced".to_owned()));
        assert!(!answer.headers.contains_key("retry-after"), "a superseded caller must not ask again");
    }
    answer.status == StatusCode::OK
}

#[tokio::test]
async fn the_greatest_fence_of_a_key_is_admitted_and_lower_ones_are_not() {
    let guard = guard();
    for (attempt, admitted) in
        [(FIRST, true), (FIRST, true), (SUCCESSOR, true), (FIRST, false), (SUCCESSOR, true), ((1, 9), false)]
    {
        assert_eq!(is_admitted(&guard, attempt).await, admitted, "{attempt:?}");
    }
}

#[tokio::test]
async fn of_two_owners_with_one_fence_the_first_is_admitted() {
    let guard = guard();
    assert!(is_admitted(&guard, (33, 1)).await);
    assert!(!is_admitted(&guard, (33, 2)).await);
    assert!(is_admitted(&guard, (33, 1)).await);
}

#[tokio::test]
async fn keys_scopes_and_secrets_do_not_fence_each_other() {
    let store = Arc::new(MemoryFenceStore::new());
    let by_merchant = |secret| {
        let scope = Scope::header(http::HeaderName::from_static("merchant"));
        FenceGuardLayer::new(Arc::clone(&store), scope, secret)
    };
    let guard = by_merchant(secret());
    let entries = Entries::default();
    let request = |merchant: &'static str, key: &'static str, attempt| {
        let mut request = call(attempt);
        request.headers_mut().insert("merchant", merchant.parse().unwrap());
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        request
    };
    assert_eq!(send(&guard, &entries, request("m1", "k1", SUCCESSOR)).await.status, 200);
    for (merchant, key, status) in [("m1", "k1", 409), ("m1", "\"k1\"", 409), ("m1", "k2", 200), ("m2", "k1", 200)] {
        assert_eq!(send(&guard, &entries, request(merchant, key, FIRST)).await.status, status, "{merchant} {key}");
    }
    let elsewhere = by_merchant(Secret::new([8; 32]).unwrap());
    assert_eq!(send(&elsewhere, &entries, request("m1", "k1", FIRST)).await.status, 200);
    let nobody = send(&guard, &entries, call(SUCCESSOR)).await;
    assert_eq!((nobody.status, nobody.problem()), (StatusCode::UNAUTHORIZED, "scope-missing".to_owned()));
}

#[tokio::test]
async fn what_carries_no_fence_passes_unless_one_is_required() {
    let (guard, entries) = (guard(), Entries::default());
    let without = || Request::post("/charge").header("idempotency-key", "k").body(Body::empty()).unwrap();
    assert!(is_admitted(&guard, SUCCESSOR).await);
    assert_eq!(send(&guard, &entries, without()).await.body, "run 1");
    let refused = send(&guard.clone().required(), &entries, without()).await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::BAD_REQUEST, "fence-missing".to_owned()));
    assert_eq!(entries.count(), 1);
}

#[tokio::test]
async fn safe_methods_are_never_asked_for_a_fence() {
    let guard = guard().required();
    assert!(is_admitted(&guard, SUCCESSOR).await);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        for fence in [fence(FIRST).to_string(), "nonsense".to_owned()] {
            let mut request = call_with(&fence);
            *request.method_mut() = method.clone();
            assert_eq!(send(&guard, &Entries::default(), request).await.status, 200, "{method}");
        }
    }
}

#[tokio::test]
async fn a_malformed_fence_is_refused_and_the_store_is_not_asked() {
    let store = Scripted::answering([]);
    let (guard, entries) = (over(Arc::clone(&store)), Entries::default());
    let owner = "6f1e0c5a9b3d47e28c1a5f0d2b7e4936";
    for odd in ["", "33", "\"33\"", "\"x\";owner=\"00\"", &format!("33;owner=\"{owner}\""), "\"33\";owner=\"short\""] {
        let refused = send(&guard, &entries, call_with(odd)).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (StatusCode::BAD_REQUEST, "fence-malformed".to_owned()),
            "{odd}"
        );
        assert!(!String::from_utf8_lossy(&refused.body).contains(owner), "what was sent is not repeated");
    }
    let mut twice = call(FIRST);
    twice.headers_mut().append("idempotency-fence", fence(SUCCESSOR).to_value());
    assert_eq!(send(&guard, &entries, twice).await.problem(), "fence-malformed");
    assert_eq!((entries.count(), store.asked()), (0, 0));
}

#[tokio::test]
async fn a_fence_needs_a_key() {
    let store = Scripted::answering([]);
    let (guard, entries) = (over(Arc::clone(&store)), Entries::default());
    let mut without = call(FIRST);
    without.headers_mut().remove("idempotency-key");
    let refused = send(&guard, &entries, without).await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::BAD_REQUEST, "key-missing".to_owned()));
    let mut twice = call(FIRST);
    twice.headers_mut().append("idempotency-key", "k".parse().unwrap());
    assert_eq!(send(&guard, &entries, twice).await.problem(), "key-malformed");
    assert_eq!((entries.count(), store.asked()), (0, 0));
}

/// What a [`Scripted`] store does when it is asked.
#[derive(Clone, Copy)]
enum Does {
    Admits,
    Refuses,
    LosesTheReply,
    IsDamaged,
    NeverAnswers,
}

/// A store that does what it is told, one thing after another, and then refuses.
struct Scripted {
    script: Vec<Does>,
    asked: AtomicUsize,
}

impl Scripted {
    fn answering(script: impl Into<Vec<Does>>) -> Arc<Self> {
        Arc::new(Self { script: script.into(), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl FenceStore for Scripted {
    async fn admit(&self, _: &FenceKey, _: Holder, _: Duration, deadline: Deadline) -> Result<Admitted, StoreError> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst);
        match self.script.get(nth).copied().unwrap_or(Does::Refuses) {
            Does::Admits => Ok(Admitted::Admitted),
            Does::Refuses => Err(StoreError::not_applied("scripted", "down")),
            Does::LosesTheReply => Err(StoreError::unknown("scripted", "reset")),
            Does::IsDamaged => Err(StoreError::corrupt("scripted", "damaged")),
            Does::NeverAnswers => {
                tokio::time::sleep(deadline.remaining()).await;
                Err(StoreError::unknown("scripted", DeadlinePassed))
            }
        }
    }
}

#[tokio::test]
async fn without_a_store_nothing_passes() {
    for script in [Does::Refuses, Does::NeverAnswers] {
        let (guard, entries) = (over(Scripted::answering([script])), Entries::default());
        let refused = send(&guard.budget(Duration::from_millis(30)).unwrap(), &entries, call(FIRST)).await;
        assert_eq!((refused.status, refused.problem()), (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable".into()));
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(entries.count(), 0);
    }
}

#[tokio::test]
async fn a_fence_that_cannot_be_read_lets_nobody_pass() {
    let (guard, entries) = (over(Scripted::answering([Does::IsDamaged])), Entries::default());
    let refused = send(&guard, &entries, call(FIRST)).await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::SERVICE_UNAVAILABLE, "record-corrupt".into()));
    assert!(!refused.headers.contains_key("retry-after"));
    assert_eq!(entries.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_asked_for_again() {
    let store = Scripted::answering([Does::LosesTheReply, Does::LosesTheReply, Does::Admits]);
    let entries = Entries::default();
    assert_eq!(send(&over(Arc::clone(&store)), &entries, call(FIRST)).await.body, "run 1");
    assert_eq!(store.asked(), 3);
}

#[tokio::test]
async fn a_caller_that_leaves_while_the_store_is_asked_starts_nothing() {
    let (guard, entries) = (over(Scripted::answering([Does::NeverAnswers])), Entries::default());
    assert!(send(&guard, &entries, call(FIRST)).now_or_never().is_none(), "the store has not answered");
    assert_eq!(entries.count(), 0);
}

#[tokio::test]
async fn no_body_is_read_and_the_handler_learns_the_fence() {
    let guard = guard();
    let body = || {
        Body::from_stream(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, Infallible>>> {
            panic!("the guard has read the body")
        }))
    };
    let handler = service_fn(|request: Request<Body>| {
        let fence: Option<FenceHeader> = request.extensions().get().copied();
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::from(format!("{:?}", fence.map(|f| f.fence()))))))
    });
    let with = call(FIRST).map(|_| body());
    assert_eq!(read(guard.layer(handler).oneshot(with).await.unwrap()).await.body, "Some(Fence(33))");
    let refused = call((1, 1)).map(|_| body());
    assert_eq!(read(guard.layer(handler).oneshot(refused).await.unwrap()).await.problem(), "fenced");
    let without = Request::post("/").body(body()).unwrap();
    assert_eq!(read(guard.layer(handler).oneshot(without).await.unwrap()).await.body, "None");
}

#[tokio::test]
async fn refusals_look_as_those_of_the_other_layer_do() {
    let (guard, entries) = (guard(), Entries::default());
    let based = guard.clone().problem_base("https://example.com/errors/").unwrap();
    assert!(is_admitted(&based, SUCCESSOR).await);
    let refused = send(&based, &entries, call(FIRST)).await;
    let problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(problem["type"], "https://example.com/errors/fenced");
    assert_eq!(refused.rejection.as_ref().map(Rejection::kind), Some(RejectionKind::Fenced));

    let custom = guard.on_rejection(|rejection| Response::new(Bytes::from(rejection.kind().name())));
    let refused = send(&custom, &entries, call(FIRST)).await;
    assert_eq!((refused.status, &refused.body[..]), (StatusCode::OK, &b"fenced"[..]));
    assert_eq!(refused.rejection.map(|rejection| rejection.kind()), Some(RejectionKind::Fenced));
}

/// A receiver in full: guard, a gate that holds attempts of one fence back, layer, handler.
#[derive(Clone)]
struct Receiver {
    guard: FenceGuardLayer<MemoryFenceStore>,
    layer: IdempotencyLayer<MemoryStore>,
    entries: Entries,
    /// Closed for the first attempt.
    gate: Arc<Semaphore>,
    /// How many wait at the gate.
    waiting: Arc<Semaphore>,
}

impl Receiver {
    fn new() -> Self {
        let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), secret()).required();
        let [gate, waiting] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
        Self { guard: guard(), layer, entries: Entries::default(), gate, waiting }
    }

    /// Waits for the gate if this is the first attempt.
    async fn pass_gate(&self, fence: Option<FenceHeader>) {
        if fence == Some(self::fence(FIRST)) {
            self.waiting.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
        }
    }

    fn handler<B: Send + 'static>(
        &self,
    ) -> impl Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
    {
        let entries = self.entries.clone();
        service_fn(move |_| std::future::ready(Ok(run(&entries))))
    }

    /// The guard in front of the handler, and nothing else.
    async fn guarded(self, attempt: Attempt) -> Answer {
        let (this, handler) = (self.clone(), self.handler());
        let gated = service_fn(move |request: Request<Body>| {
            let (this, handler, fence) = (this.clone(), handler.clone(), request.extensions().get().copied());
            async move {
                this.pass_gate(fence).await;
                handler.oneshot(request).await
            }
        });
        read(self.guard.layer(gated).oneshot(call(attempt)).await.unwrap()).await
    }

    /// The guard in front of the layer.
    async fn protected(self, attempt: Attempt) -> Answer {
        let (this, inner) = (self.clone(), self.layer.layer(self.handler::<RequestBody<Body>>()));
        let gated = service_fn(move |request: Request<Body>| {
            let (this, inner, fence) = (this.clone(), inner.clone(), request.extensions().get().copied());
            async move {
                this.pass_gate(fence).await;
                inner.oneshot(request).await
            }
        });
        read(self.guard.layer(gated).oneshot(call(attempt)).await.unwrap()).await
    }

    async fn until_waiting(&self) {
        self.waiting.acquire().await.unwrap().forget();
    }
}

/// The window, as documented: admitted first and late at the work.
#[tokio::test]
async fn the_guard_alone_does_not_stop_what_it_has_let_pass() {
    let receiver = Receiver::new();
    let first = tokio::spawn(receiver.clone().guarded(FIRST));
    receiver.until_waiting().await;
    assert_eq!(receiver.clone().guarded(SUCCESSOR).await.body, "run 1");
    receiver.gate.add_permits(1);
    assert_eq!(first.await.unwrap().body, "run 2", "the effect has happened twice");
}

#[tokio::test]
async fn the_layer_behind_the_guard_closes_the_window() {
    let receiver = Receiver::new();
    let first = tokio::spawn(receiver.clone().protected(FIRST));
    receiver.until_waiting().await;
    assert_eq!(receiver.clone().protected(SUCCESSOR).await.body, "run 1");
    receiver.gate.add_permits(1);
    let first = first.await.unwrap();
    assert_eq!((&first.body[..], first.is_replay()), (&b"run 1"[..], true));
    assert_eq!(receiver.entries.count(), 1);
}

#[tokio::test]
async fn a_successor_gets_the_stored_answer_and_the_first_attempt_gets_none() {
    let receiver = Receiver::new();
    receiver.gate.add_permits(1);
    assert_eq!(receiver.clone().protected(FIRST).await.body, "run 1");
    let successor = receiver.clone().protected(SUCCESSOR).await;
    assert_eq!((&successor.body[..], successor.is_replay()), (&b"run 1"[..], true));
    assert_eq!(receiver.clone().protected(FIRST).await.problem(), "fenced");
    assert_eq!(receiver.entries.count(), 1);
}

/// The successor did not run, and has superseded the first attempt all the same.
#[tokio::test]
async fn a_successor_that_is_told_to_wait_has_put_its_fence_on_record() {
    let (guard, layer) = (guard(), IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), secret()));
    let [entered, finish] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    let handler = {
        let (entered, finish) = (Arc::clone(&entered), Arc::clone(&finish));
        service_fn(move |_: Request<RequestBody<Body>>| {
            let (entered, finish) = (Arc::clone(&entered), Arc::clone(&finish));
            async move {
                entered.add_permits(1);
                finish.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::new(Body::from("done")))
            }
        })
    };
    let service = ServiceBuilder::new().layer(guard).layer(layer).service(handler);
    let ask = |attempt| {
        let answer = service.clone().oneshot(call(attempt));
        async move { read(answer.await.unwrap()).await }
    };
    let first = tokio::spawn(ask(FIRST));
    entered.acquire().await.unwrap().forget();
    assert_eq!(ask(SUCCESSOR).await.problem(), "in-flight");
    assert_eq!(ask(FIRST).await.problem(), "fenced");
    finish.add_permits(1);
    assert_eq!(first.await.unwrap().body, "done", "what runs is not interrupted");
    assert_eq!(ask(SUCCESSOR).await.body, "done");
}

/// What the guard adds to a dedup: a key that was given back is free, but not for those who were superseded.
#[tokio::test]
async fn a_released_key_is_not_free_for_a_superseded_attempt() {
    let entries = Entries::default();
    let handler = {
        let entries = entries.clone();
        service_fn(move |_: Request<RequestBody<Body>>| {
            let mut response = run(&entries);
            response.extensions_mut().insert(Recording::NotExecuted);
            std::future::ready(Ok::<_, Infallible>(response))
        })
    };
    let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), secret());
    let alone = layer.layer(handler.clone());
    assert_eq!(read(alone.clone().oneshot(call(SUCCESSOR)).await.unwrap()).await.body, "run 1");
    assert_eq!(read(alone.oneshot(call(FIRST)).await.unwrap()).await.body, "run 2", "a dedup alone lets it run");

    let guarded = ServiceBuilder::new().layer(guard()).layer(layer).service(handler);
    assert_eq!(read(guarded.clone().oneshot(call(SUCCESSOR)).await.unwrap()).await.body, "run 3");
    assert_eq!(read(guarded.oneshot(call(FIRST)).await.unwrap()).await.problem(), "fenced");
}

/// The wrong order: a superseded attempt is given the answer. At least its refusal is not recorded as one.
#[tokio::test]
async fn in_the_wrong_order_a_refusal_is_not_recorded_and_a_superseded_attempt_gets_an_answer() {
    let (guard, entries) = (guard(), Entries::default());
    assert!(is_admitted(&guard, (34, 2)).await);
    let handler = {
        let entries = entries.clone();
        service_fn(move |_: Request<RequestBody<Body>>| std::future::ready(Ok::<_, Infallible>(run(&entries))))
    };
    let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), secret());
    let wrong = ServiceBuilder::new().layer(layer).layer(guard).service(handler);
    let ask = |attempt| {
        let answer = wrong.clone().oneshot(call(attempt));
        async move { read(answer.await.unwrap()).await }
    };
    assert_eq!(ask(FIRST).await.problem(), "fenced");
    assert_eq!(ask(SUCCESSOR).await.body, "run 1", "the refusal was not recorded");
    let superseded = ask(FIRST).await;
    assert_eq!((&superseded.body[..], superseded.is_replay()), (&b"run 1"[..], true));
}
