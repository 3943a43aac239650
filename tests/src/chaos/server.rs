//! A server of the harness: the layer over a store, on a runtime of its own, which can be killed as a whole.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode};
use idempotency_store::{BoxStore, RedisConfig, RedisStore};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::RwLock;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::{
    IDEMPOTENCY_KEY, IDEMPOTENCY_STATUS, IDEMPOTENT_REPLAYED, Idempotency, IdempotencyLayer, OnAbandoned, Recording,
    Rejection, RejectionKind, RequestBody, RouteSettings, Scope, Secret, Timing,
};

use super::death::{Deaths, Mortal};
use super::{Answer, CrashPoint, Fate, Lane, Ledger, NaiveStore, Order, Subject, Tally};
use crate::{Gate, let_pass};

/// How long a lease lasts; whoever stands still does so for up to three times as long.
const LEASE: Duration = Duration::from_millis(500);

/// Far longer than the life of a key here, and than clocks are stepped.
const RETENTION: Duration = Duration::from_secs(75);

/// Between two attempts to connect to a store that is not there.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);

type Serve = Arc<dyn Fn(Order) -> BoxFuture<'static, Answer> + Send + Sync>;

/// What a handler says when it did nothing, and what it says so with.
const DECLINED: StatusCode = StatusCode::IM_A_TEAPOT;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    url: String,
    subject: Subject,
    ledger: Arc<Ledger>,
    tally: Tally,
    /// Held while it looks for its Redis.
    whole: Arc<RwLock<()>>,
    life: Mutex<Option<Life>>,
}

struct Life {
    runtime: Process,
    serve: Serve,
}

/// A runtime that ends as a process that is killed does: at once, wherever it is.
struct Process(Option<Runtime>);

impl Process {
    fn start() -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        Self(Some(runtime.worker_threads(1).enable_all().build().expect("a runtime")))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken when it is dropped").handle()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Life(..)")
    }
}

impl Server {
    pub(super) const fn new(
        url: String,
        subject: Subject,
        ledger: Arc<Ledger>,
        tally: Tally,
        whole: Arc<RwLock<()>>,
    ) -> Self {
        Self { url, subject, ledger, tally, whole, life: Mutex::new(None) }
    }

    /// Starts it, and returns when it has its store.
    pub(super) async fn start(&self) {
        let runtime = Process::start();
        let (url, subject, whole) = (self.url.clone(), self.subject, Arc::clone(&self.whole));
        let connected = runtime.handle().spawn(async move { connect(&url, subject, &whole).await });
        let store = connected.await.expect("it connects");
        let serve = serve(store, &self.ledger, &self.tally);
        *self.life() = Some(Life { runtime, serve });
    }

    /// Ends it where it stands. Nothing of it is heard of again.
    pub(super) fn kill(&self) {
        drop(self.life().take());
    }

    /// Sends it a request, which is not answered if it dies or the client leaves.
    pub(super) async fn send(&self, order: Order) -> Answer {
        let mut running = {
            let life = self.life();
            let Some(life) = life.as_ref() else { return Answer::Nothing };
            life.runtime.handle().spawn((life.serve)(order))
        };
        if order.fate == Fate::Deserted {
            let_pass(Duration::from_millis(rand::random_range(0..10))).await;
            running.abort();
            return Answer::Nothing;
        }
        match tokio::time::timeout(TIMEOUT, &mut running).await {
            Ok(answer) => answer.unwrap_or(Answer::Nothing),
            Err(_elapsed) => {
                running.abort();
                Answer::Nothing
            }
        }
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn connect(url: &str, subject: Subject, whole: &RwLock<()>) -> BoxStore {
    let durability = match subject {
        Subject::Naive(mutation) => return BoxStore::new(NaiveStore::new(url, mutation)),
        Subject::Redis(durability) => durability,
    };
    loop {
        let whole = whole.read().await;
        let config = RedisConfig::new(url).expect("the harness's own URL").durability(durability);
        if let Ok(store) = RedisStore::connect_with(config).await {
            return BoxStore::new(store);
        }
        drop(whole);
        let_pass(PAUSE).await;
    }
}

/// What the handler is told beside the request.
#[derive(Clone)]
struct Told {
    order: Order,
    /// The handler was entered: this attempt is the owner.
    is_owner: Arc<AtomicBool>,
}

fn serve(store: BoxStore, ledger: &Arc<Ledger>, tally: &Tally) -> Serve {
    let deaths = Deaths::default();
    let store = Mortal::new(store, deaths.clone(), tally.clone());
    let secret = Secret::new("one secret for all servers of the chaos").expect("long enough");
    let timing = Timing::default().lease(LEASE).max_execution(LEASE * 10).retention(RETENTION);
    let timing = timing.claim_budget(Duration::from_secs(1)).completion_wait(Duration::from_secs(1));
    let layer = IdempotencyLayer::new(store, Scope::shared(), secret).timing(timing).expect("sensible durations");
    let ledger = Arc::clone(ledger);
    let handler = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let (ledger, deaths) = (Arc::clone(&ledger), deaths.clone());
        async move { Ok::<_, Infallible>(handle(&request, &ledger, &deaths).await) }
    });
    let service = layer.layer(handler);
    Arc::new(move |order| {
        let service = service.clone();
        Box::pin(async move {
            let told = Told { order, is_owner: Arc::default() };
            let response = service.oneshot(request(&told)).await.unwrap_or_else(|never| match never {});
            let answer = read(response).await;
            let owner_is_dead = matches!(order.fate, Fate::Dies(_)) && told.is_owner.load(Ordering::SeqCst);
            if owner_is_dead { Answer::Nothing } else { answer }
        })
    })
}

fn request(told: &Told) -> Request<Full<Bytes>> {
    let Order { key, lane, .. } = told.order;
    let policy = match lane {
        Lane::Refuse => OnAbandoned::refuse(),
        Lane::Reexecute | Lane::Own => OnAbandoned::reexecute(OnAbandoned::ATTEMPTS).expect("more than one"),
    };
    let request = Request::post("/chaos").header(IDEMPOTENCY_KEY, format!("key-{key}"));
    let request = request.extension(told.clone()).extension(RouteSettings::new().on_abandoned(policy));
    request.body(Full::from("once")).expect("a request")
}

/// Has the effect, unless something befalls it.
async fn handle(
    request: &Request<RequestBody<Full<Bytes>>>,
    ledger: &Ledger,
    deaths: &Deaths,
) -> Response<Full<Bytes>> {
    let told = request.extensions().get::<Told>().expect("the harness's own request");
    let idempotency = request.extensions().get::<Idempotency>().expect("a protected request");
    let (owner, Order { key, lane, fate, size }) = (idempotency.lease().owner, told.order);
    told.is_owner.store(true, Ordering::SeqCst);
    match fate {
        Fate::Dies(CrashPoint::AfterClaim | CrashPoint::BeforeEffect) => deaths.now(owner).await,
        Fate::Dies(point @ (CrashPoint::InRenew | CrashPoint::AfterRenew)) => {
            deaths.at(owner, point);
            std::future::pending::<()>().await;
        }
        Fate::Dies(point @ (CrashPoint::BeforeComplete | CrashPoint::AfterComplete)) => deaths.at(owner, point),
        Fate::PausesBefore => stand_still(deaths, owner).await,
        Fate::Declines => return declined(),
        _ => {}
    }
    let mine = rand::random();
    let first = ledger.apply(key, mine, lane != Lane::Refuse);
    match fate {
        Fate::Dies(CrashPoint::AfterEffect) => deaths.now(owner).await,
        Fate::PausesAfter => stand_still(deaths, owner).await,
        // As a panic, but without the message that each of thousands would print.
        Fate::Panics => std::panic::resume_unwind(Box::new("its fate")),
        _ => {}
    }
    let answers = if lane == Lane::Own { mine } else { first };
    let word = format!("{key}:{answers:016x}");
    // Repeated, so that an answer that is put together from two differs from both.
    Response::new(Full::from(word.repeat(1 + size / word.len())))
}

fn declined() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("nothing was executed"));
    *response.status_mut() = DECLINED;
    response.extensions_mut().insert(Recording::NotExecuted);
    response
}

/// Neither renews nor acts for longer than the lease.
async fn stand_still(deaths: &Deaths, owner: idempotency_store::Owner) {
    let gate = Gate::default();
    deaths.pause(owner, &gate);
    let_pass(LEASE.mul_f64(rand::random_range(1.2..3.0))).await;
    gate.open();
}

async fn read<B>(response: Response<B>) -> Answer
where
    B: hyper::body::Body,
{
    if let Some(rejection) = response.extensions().get::<Rejection>() {
        return match rejection.kind() {
            RejectionKind::InFlight => Answer::InFlight,
            RejectionKind::Indeterminate => Answer::Indeterminate,
            RejectionKind::StoreUnavailable | RejectionKind::ShuttingDown => Answer::NotRun,
            RejectionKind::HandlerPanicked => Answer::Panicked,
            wrong => Answer::Wrong(wrong.name().to_owned()),
        };
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { return Answer::Nothing };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    match parts.status {
        StatusCode::OK => Answer::Done {
            body,
            replayed: parts.headers.contains_key(IDEMPOTENT_REPLAYED),
            unrecorded: parts.headers.contains_key(IDEMPOTENCY_STATUS),
        },
        DECLINED => Answer::NotRun,
        status => Answer::Wrong(status.to_string()),
    }
}
