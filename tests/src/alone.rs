//! The application in a process of its own, on a store that outlives it, told from outside how its store fails: for what only a
//! process that dies at a chosen point can show.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use idempotency_store::{BoxStore, EmbeddedStore, RedisStore};
use reqwest::RequestBuilder;
use tokio::net::TcpListener;
use tokio::process::Command;
use tower_idempotency::{IdempotencyLayer, OnAbandoned, Scope, Secret};

use crate::app::{MERCHANT, SECRET, patient};
use crate::handlers::Handlers;
use crate::process::{self, Process};
use crate::{Downstream, Fault, Faults, Faulty, Gate, Reply, Verb, reply, within};

/// An application in a process of its own, with the routes of [`App`](crate::App). It is killed when this is dropped.
#[derive(Debug)]
pub struct Alone {
    process: Process,
    http: reqwest::Client,
}

impl Alone {
    /// Starts the program at `program`, which is nothing but [`main`], with its keys where `served` says
    /// ([`Backend::served`](crate::Backend::served)). A client waits at most `completion_wait` for its answer's record.
    pub async fn start(
        program: &str,
        served: &str,
        downstream: &Downstream,
        lease: Duration,
        completion_wait: Duration,
    ) -> Self {
        Self::start_with(program, served, downstream, [lease, completion_wait], &[]).await
    }

    /// As [`Alone::start`], with the two durations in that order, and with what is special about it.
    pub async fn start_with(
        program: &str,
        served: &str,
        downstream: &Downstream,
        durations: [Duration; 2],
        special: &[Special],
    ) -> Self {
        let [lease, wait] = durations.map(|duration| duration.as_millis().to_string());
        let special: Vec<String> = special.iter().map(ToString::to_string).collect();
        let downstream = downstream.url();
        let arguments = [served, &downstream, &lease, &wait].into_iter().chain(special.iter().map(String::as_str));
        let command: Command = process::command(program, arguments);
        let http = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().expect("a client");
        Self { process: Process::start(command).await, http }
    }

    /// As [`App::post`](crate::App::post).
    pub fn post(&self, path: &str, key: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.process.url()));
        request.header(MERCHANT, "acme").header("idempotency-key", key).body("{}")
    }

    /// As [`App::send`](crate::App::send).
    pub async fn send(&self, path: &str, key: &str) -> Reply {
        reply(self.post(path, key)).await
    }

    /// From now on completions are refused.
    pub async fn refuse_completions(&self) {
        self.control("refuse").await;
    }

    /// From now on whoever completes is paused after the store has recorded it, and never resumed.
    pub async fn pause_after_completions(&self) {
        self.control("pause-after").await;
    }

    /// Waits until the store has recorded `times`.
    pub async fn until_completed(&self, times: usize) {
        let asked = self.http.get(format!("{}/completed/{times}", self.process.url())).send();
        let answer = within("the store has recorded", asked).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// Kills it with SIGKILL.
    pub async fn kill(self) {
        self.process.kill().await;
    }

    async fn control(&self, fault: &str) {
        let answer = self.http.post(format!("{}/completions/{fault}", self.process.url())).send().await;
        assert_eq!(answer.expect("an answer").status(), StatusCode::NO_CONTENT);
    }
}

/// What may be special about an application in a process of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// A panic ends the process, as in a build with `panic = "abort"`: nothing is unwound and no destructor runs.
    AbortOnPanic,
    /// Abandoned keys are run again, so many times in all.
    Reexecute(u32),
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AbortOnPanic => f.write_str("abort-on-panic"),
            Self::Reexecute(attempts) => write!(f, "reexecute:{attempts}"),
        }
    }
}

/// The policy that the arguments name; and a panic ends the process from now on if they say so.
fn specialised(arguments: &[String]) -> OnAbandoned {
    let mut policy = OnAbandoned::refuse();
    for argument in arguments {
        if argument == "abort-on-panic" {
            std::panic::set_hook(Box::new(|_| std::process::abort()));
        } else if let Some(attempts) = argument.strip_prefix("reexecute:") {
            policy = OnAbandoned::reexecute(attempts.parse().expect("a number")).expect("a sensible number");
        } else {
            panic!("{argument} is nothing special");
        }
    }
    policy
}

/// The program of [`Alone`]: serves until it is killed.
pub async fn main() {
    process::die_with_parent();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [served, downstream, lease, wait, special @ ..] = arguments.as_slice() else {
        panic!("STORE DOWNSTREAM LEASE COMPLETION_WAIT [SPECIAL].., not {arguments:?}")
    };
    let on_abandoned = specialised(special);
    let [lease, wait] = [lease, wait].map(|millis| Duration::from_millis(millis.parse().expect("milliseconds")));

    let store = Faulty::new(open(served).await);
    let faults = Arc::new(store.faults());
    let scope = Scope::header(MERCHANT.parse().expect("a name"));
    let layer = IdempotencyLayer::new(store, scope, Secret::new(SECRET).expect("long enough")).required();
    let timing = patient().lease(lease).completion_wait(wait);
    let layer = layer.timing(timing).expect("sensible durations").on_abandoned(on_abandoned);
    let control = Router::new()
        .route("/completions/{fault}", post(fail))
        .route("/completed/{times}", get(completed))
        .with_state(faults);
    let app = Handlers::new(downstream.clone(), Gate::default()).router(layer).merge(control);

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    #[allow(clippy::print_stdout, reason = "it is how its parent learns where it listens")]
    {
        println!("listening on http://{}", listener.local_addr().expect("an address"));
    }
    axum::serve(listener, app).await.expect("it serves");
}

async fn open(served: &str) -> BoxStore {
    match served.strip_prefix("embedded:") {
        Some(path) => BoxStore::new(EmbeddedStore::open(path).await.expect("the store opens")),
        None => BoxStore::new(RedisStore::connect(served).await.expect("the store connects")),
    }
}

async fn fail(State(faults): State<Arc<Faults>>, Path(fault): Path<String>) -> StatusCode {
    let fault = match fault.as_str() {
        "refuse" => Fault::Refuse,
        "pause-after" => Fault::PauseAfter(Gate::default()),
        _ => return StatusCode::NOT_FOUND,
    };
    faults.set(Verb::Complete, fault);
    StatusCode::NO_CONTENT
}

async fn completed(State(faults): State<Arc<Faults>>, Path(times): Path<usize>) -> StatusCode {
    faults.until_applied(Verb::Complete, times).await;
    StatusCode::NO_CONTENT
}
