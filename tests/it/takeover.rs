//! Runs that take over from an owner that is gone, or seems to be: what they repeat, and what they do not.

use std::time::Duration;

use idempotency_tests::alone::{Alone, Special};
use idempotency_tests::{
    App, Backend, Checks, Downstream, Fault, Gate, Reply, Verb, eventually, on_each_store, reply, try_reply,
};
use reqwest::StatusCode;
use tokio::task::JoinHandle;
use tower_idempotency::OnAbandoned;

use crate::APP;

on_each_store!(
    s24_a_takeover_repeats_nothing_where_the_downstream_knows_the_marker,
    s25_a_takeover_repeats_the_effect_where_the_downstream_checks_only_the_fence;
    durable: s31_a_poison_request_runs_as_often_as_it_may_and_no_more,
);

const LEASE: Duration = Duration::from_secs(30);

/// Two servers, of which the first has had its effect, and was then paused for longer than its lease.
struct Overtaken {
    first: App,
    second: App,
    unanswered: JoinHandle<Reply>,
    resumed: Gate,
}

async fn overtaken(backend: &impl Backend, checks: Checks) -> Overtaken {
    let downstream = Downstream::that_checks(checks).await;
    let start = || App::on(backend).downstream(&downstream).layer(|layer| layer.on_abandoned(reexecute())).start();
    let (first, second) = (start().await, start().await);
    let resumed = Gate::default();
    first.faults.set(Verb::Renew, Fault::PauseBefore(resumed.clone()));
    first.faults.set(Verb::Complete, Fault::PauseBefore(resumed.clone()));
    let unanswered = tokio::spawn(reply(first.post("/charge", "key-1")));
    resumed.arrived(1).await;
    backend.advance(LEASE * 3).await;
    Overtaken { first, second, unanswered, resumed }
}

fn reexecute() -> OnAbandoned {
    OnAbandoned::reexecute(OnAbandoned::ATTEMPTS).unwrap()
}

impl Overtaken {
    /// The second server takes over, then the first goes on; and all who ask get the answer of the second.
    async fn end(self) -> Downstream {
        let winner = self.second.send("/charge", "key-1").await;
        assert_eq!((winner.status, winner.is_replay()), (StatusCode::CREATED, false));
        assert!(self.second.fences()[0] > self.first.fences()[0]);
        self.resumed.open();
        self.unanswered.await.unwrap().expect_replay_of(&winner, &[]);
        for server in [&self.first, &self.second] {
            server.send("/charge", "key-1").await.expect_replay_of(&winner, &[]);
        }
        assert_eq!(self.first.downstream.entries().await, 2);
        let keys = self.first.downstream.keys().await;
        assert_eq!(keys[0], keys[1], "both attempts send the same derived key");
        self.first.downstream.clone()
    }
}

async fn s24_a_takeover_repeats_nothing_where_the_downstream_knows_the_marker(backend: impl Backend) {
    let downstream = overtaken(&backend, Checks::Marker).await.end().await;
    assert_eq!(downstream.effects(), 1);
}

/// The hazard that `OnAbandoned::reexecute` documents: a fence keeps an old owner from acting after a new one, and says
/// nothing of what it had done before.
async fn s25_a_takeover_repeats_the_effect_where_the_downstream_checks_only_the_fence(backend: impl Backend) {
    let downstream = overtaken(&backend, Checks::Fence).await.end().await;
    assert_eq!(downstream.effects(), 2);
}

async fn s31_a_poison_request_runs_as_often_as_it_may_and_no_more(backend: impl Backend) {
    const LEASE: Duration = Duration::from_millis(500);
    let downstream = Downstream::start().await;
    let (served, durations, special) = (backend.served(), [LEASE, Duration::from_secs(30)], [Special::Reexecute(5)]);
    let start = || Alone::start_with(APP, &served, &downstream, durations, &special);
    for run in 1..=5 {
        let app = start().await;
        eventually("the request runs and kills the process", || async {
            match try_reply(app.post("/poison", "key-1")).await {
                Ok(answer) => {
                    answer.expect_rejection(409, "in-flight");
                    None
                }
                Err(_) => Some(()),
            }
        })
        .await;
        assert_eq!(downstream.entries().await, run);
    }
    let app = start().await;
    crate::crash::until_indeterminate(|| app.send("/poison", "key-1")).await;
    let refused = app.send("/poison", "key-1").await;
    refused.expect_rejection(409, "indeterminate");
    assert_eq!(refused.header("retry-after"), None, "it does not make sense to go on");
    assert_eq!(downstream.entries().await, 5);
}
