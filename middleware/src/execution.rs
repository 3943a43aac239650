//! One request that carries a key, from its body to its answer.
//!
//! The body is read in the future that the server polls: a client that leaves before the request is complete leaves no
//! trace. Everything after that runs in a task of its own, so that no cancellation reaches an await between the claim
//! and the record.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use idempotency_store::{Attempt, Key, Owner, Reason, Store};
use tokio::sync::oneshot;
use tower_service::Service;
use tracing::Instrument;

use crate::admission::{Admission, Admit, Admitted};
use crate::answer::{HandlerAnswer, Patience};
use crate::body::{End, RequestBody, ResponseBody, Trailers, gather};
use crate::checkpoint::Notes;
use crate::claim_limit::{ScopeLimit, refused};
use crate::config::OnDisconnect;
use crate::context::{Context, Idempotency};
use crate::engine::{Completion, Engine, Tenure};
use crate::fingerprint::fingerprint;
use crate::headers::{IDEMPOTENCY_STATUS, UNRECORDED};
use crate::in_heap::InHeap;
use crate::key::IdempotencyKey;
use crate::panic::{Panicked, caught};
use crate::recording::Recording;
use crate::rejection::Rejection;
use crate::reply::{rejected, spoken};
use crate::settings::Settings;
use crate::waiting::overtaken;

/// What the layer asks of the service that it wraps: that a task of its own can call it.
pub(crate) trait HttpService<B, RB>:
    Service<Request<B>, Response = Response<RB>, Future: Send, Error: Send> + Clone + Send + 'static
{
}

impl<T, B, RB> HttpService<B, RB> for T where
    T: Service<Request<B>, Response = Response<RB>, Future: Send, Error: Send> + Clone + Send + 'static
{
}

/// A body that can move to another task.
pub(crate) trait HttpBody: Body<Data = Bytes, Error: Send> + Send + 'static {}

impl<B> HttpBody for B where B: Body<Data = Bytes, Error: Send> + Send + 'static {}

pub(crate) type Answered<RB, E> = Result<Response<ResponseBody<RB>>, E>;

/// The inner service and what all requests share.
pub(crate) struct Execution<Inner, S> {
    pub(crate) inner: Inner,
    engine: Arc<Engine<S>>,
    pub(crate) settings: Arc<Settings>,
}

/// Says in a request's extensions that a layer already looks after it. An [`Idempotency`] there does not say so: handlers may put
/// one into requests of their own.
#[derive(Clone, Copy)]
pub(crate) struct LookedAfter;

/// A request with its body read.
pub(crate) struct Keyed {
    pub(crate) key: IdempotencyKey,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Trailers,
    /// What limits the claims of its caller.
    pub(crate) limit: Option<ScopeLimit>,
}

/// How the handler ended.
#[allow(clippy::large_enum_variant, reason = "made once per request and taken apart at once")]
pub(crate) enum Ended<RB: Body, E> {
    Answered(HandlerAnswer<RB>),
    Failed(E),
    Panicked,
    Cancelled,
}

impl<Inner, S: Store> Execution<Inner, S> {
    pub(crate) const fn new(inner: Inner, engine: Arc<Engine<S>>, settings: Arc<Settings>) -> Self {
        Self { inner, engine, settings }
    }

    /// Reads the body, and leaves the rest to a task.
    pub(crate) async fn answer<B, RB>(self, key: IdempotencyKey, request: Request<B>) -> Answered<RB, Inner::Error>
    where
        Inner: HttpService<RequestBody<B>, RB>,
        B: HttpBody,
        RB: HttpBody,
    {
        let (parts, body) = request.into_parts();
        // Before the body: who has no principal, or may not claim now, has nothing to make us read.
        let (storage_key, limit) = match self.whose(&key, &parts) {
            Ok(whose) => whose,
            Err(rejection) => return Ok(self.reject(rejection)),
        };
        let gathered = gather(pin!(body), self.settings.max_request_body).await;
        let trailers = match gathered.end {
            End::Complete(trailers) => trailers,
            End::Unfinished => return Ok(self.reject(Rejection::request_too_large())),
            End::Failed(_) => return Ok(self.reject(Rejection::request_unreadable())),
        };
        let keyed = Keyed { key, parts, body: gathered.data, trailers, limit };
        let attempt = match self.attempt(storage_key, &keyed) {
            Ok(attempt) => attempt,
            Err(rejection) => return Ok(self.reject(rejection)),
        };
        let settings = Arc::clone(&self.settings);
        let (reply, answered) = oneshot::channel();
        // In the heap first, because whoever wraps or spawns a future moves it, and this one has some thousand bytes.
        let work = InHeap::new(|| self.run_to_end::<B, RB>(keyed, attempt, reply));
        tokio::spawn(work.in_current_span());
        // Without a reply the runtime is going down, or the handler's drop panicked: nobody knows what was executed.
        answered.await.unwrap_or_else(|_| Ok(rejected(&settings, Rejection::indeterminate())))
    }

    /// Whose key it is, and what limits its claims.
    fn whose(&self, key: &IdempotencyKey, parts: &Parts) -> Result<(Key, Option<ScopeLimit>), Rejection> {
        let (storage_key, limit) = self.settings.whose(key, parts).map_err(Rejection::scope_missing)?;
        limit.as_ref().map_or(Ok(()), ScopeLimit::look).map_err(|until| refused(&self.engine.counts, until))?;
        Ok((storage_key, limit))
    }

    /// Who asks for what.
    fn attempt(&self, key: Key, keyed: &Keyed) -> Result<Attempt, Rejection> {
        let Settings { secret, fingerprint_headers, body_digest, .. } = &*self.settings;
        let owner = Owner::random().map_err(|error| {
            tracing::error!(%error, "no owner for an attempt");
            Rejection::store_unavailable()
        })?;
        let fingerprint = fingerprint(secret, &keyed.parts, fingerprint_headers, &keyed.body, *body_digest);
        Ok(Attempt { key, owner, fingerprint })
    }

    /// Claims, runs, records and answers. Nothing cancels it but the end of the runtime.
    async fn run_to_end<B, RB>(
        self,
        keyed: Keyed,
        attempt: Attempt,
        mut reply: oneshot::Sender<Answered<RB, Inner::Error>>,
    ) where
        Inner: HttpService<RequestBody<B>, RB>,
        B: HttpBody,
        RB: HttpBody,
    {
        let Some(_busy) = self.engine.begin() else {
            let _ = reply.send(Ok(self.reject(Rejection::shutting_down())));
            return;
        };
        let admission = Admission { engine: &self.engine, settings: &self.settings, keyed: &keyed, attempt };
        let answered = match admission.admit(&mut reply).await {
            Admitted::Run(admit) => self.run(keyed, admit, &mut reply).await,
            Admitted::Unprotected => Box::pin(self.run_unprotected(keyed, &mut reply)).await,
            Admitted::Tell(told) => Ok(spoken(&self.settings, told)),
        };
        // The client may have left; the record is there for its retry.
        let _ = reply.send(answered);
    }

    /// The handler under its lease.
    async fn run<B, RB>(
        self,
        keyed: Keyed,
        admit: Admit<S>,
        reply: &mut oneshot::Sender<Answered<RB, Inner::Error>>,
    ) -> Answered<RB, Inner::Error>
    where
        Inner: HttpService<RequestBody<B>, RB>,
        B: HttpBody,
        RB: HttpBody,
    {
        let Self { inner, engine, settings } = self;
        let Keyed { key, mut parts, body, trailers, .. } = keyed;
        let Admit { tenure, claimed_at, checkpoint } = admit;
        parts.extensions.insert(LookedAfter);
        parts.extensions.insert(Idempotency::new(Context {
            key,
            grant: *tenure.grant(),
            claimed_at,
            hold: tenure.hold(),
            secret: settings.secret.clone(),
            checkpoint: Mutex::new(checkpoint),
            notes: Arc::<Engine<S>>::clone(&engine) as Arc<dyn Notes>,
        }));
        let request = Request::from_parts(parts, RequestBody::gathered(body, trailers));
        let patience = Patience { until: claimed_at + engine.max_execution(), limit: settings.max_recorded_answer };
        let verdict = |parts: &_| settings.recording.verdict(parts);
        match handle(inner, request, verdict, patience, settings.on_disconnect, reply).await {
            Ended::Answered(answer) => Ok(settle(&engine, &settings, tenure, answer, reply).await),
            Ended::Failed(error) => {
                Box::pin(engine.abandon(tenure, Reason::Failure)).await;
                Err(error)
            }
            Ended::Panicked => {
                Box::pin(engine.abandon(tenure, Reason::Panic)).await;
                Ok(rejected(&settings, Rejection::handler_panicked()))
            }
            Ended::Cancelled => {
                Box::pin(engine.abandon(tenure, Reason::Cancelled)).await;
                Ok(rejected(&settings, Rejection::indeterminate()))
            }
        }
    }

    fn reject<RB: Body>(&self, rejection: Rejection) -> Response<ResponseBody<RB>> {
        rejected(&self.settings, rejection)
    }
}

/// Calls the inner service and gathers what it answers, unless it panics or is cancelled first.
pub(crate) async fn handle<Inner, B, RB>(
    mut inner: Inner,
    request: Request<RequestBody<B>>,
    verdict: impl Fn(&http::response::Parts) -> Recording + Send,
    patience: Patience,
    on_disconnect: OnDisconnect,
    reply: &mut oneshot::Sender<Answered<RB, Inner::Error>>,
) -> Ended<RB, Inner::Error>
where
    Inner: HttpService<RequestBody<B>, RB>,
    B: HttpBody,
    RB: HttpBody,
{
    let handler = caught(async move {
        let (parts, body) = inner.call(request).await?.into_parts();
        let recording = verdict(&parts);
        Ok(HandlerAnswer::gather(parts, body, recording, patience).await)
    });
    let cancelled = async {
        match on_disconnect {
            OnDisconnect::Finish => std::future::pending().await,
            OnDisconnect::Cancel => reply.closed().await,
        }
    };
    tokio::select! {
        biased;
        ended = handler => match ended {
            Ok(Ok(answer)) => Ended::Answered(answer),
            Ok(Err(error)) => Ended::Failed(error),
            Err(Panicked) => Ended::Panicked,
        },
        () = cancelled => Ended::Cancelled,
    }
}

/// Tells the store what became of the attempt, and answers the client accordingly.
async fn settle<S: Store, RB: HttpBody, T>(
    engine: &Arc<Engine<S>>,
    settings: &Settings,
    tenure: Tenure<S>,
    answer: HandlerAnswer<RB>,
    client: &mut oneshot::Sender<T>,
) -> Response<ResponseBody<RB>> {
    let attempt = tenure.grant().attempt;
    let completion = match answer.recording {
        Recording::Keep | Recording::KeepFor(_) | Recording::DoNotKeep => {
            engine.complete(tenure, answer.to_record(settings)).await
        }
        Recording::NotExecuted => engine.release(tenure).await,
        Recording::Unknown => engine.abandon(tenure, Reason::Failure).await,
        Recording::AlreadyRecorded => engine.leave(tenure),
    };
    match completion {
        Completion::Settled => answer.into_response(),
        Completion::Unrecorded => {
            let mut response = answer.into_response();
            response.headers_mut().insert(IDEMPOTENCY_STATUS, UNRECORDED);
            response
        }
        Completion::Superseded(loss) => {
            spoken(settings, Box::pin(overtaken(engine, settings, &attempt, loss, client)).await)
        }
    }
}
