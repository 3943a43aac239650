//! The clock of a real Redis that is stepped while requests run: under a handler, past a retention, and by a fail-over to a
//! server that is behind (scenarios 57 to 59).
//!
//! What the doctor says of it is in `redis_doctor`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idempotency_tests::{
    App, Checks, Downstream, Fault, Gate, RedisCluster, RedisOptions, RedisServer, Reply, SentinelGroup, ServerClock,
    Verb, eventually,
};
use redis::cmd;
use reqwest::StatusCode;
use tower_idempotency::OnAbandoned;

use crate::redis_failover::{config, connect};
use crate::redis_own::{Over, Own};

const MINUTE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(60 * 60);

const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// A server that tells the time by a clock of its own, and a store on it.
struct Stepped {
    own: Own,
    clock: ServerClock,
}

impl Stepped {
    async fn start() -> Self {
        let clock = ServerClock::new();
        Self { own: Own::with(RedisOptions::default().clock(&clock)).await, clock }
    }

    async fn ahead(&self, by: Duration) {
        self.clock.ahead(by);
        expect_step(&self.own.server, i64::try_from(by.as_secs()).unwrap()).await;
    }

    async fn behind(&self, by: Duration) {
        self.clock.behind(by);
        expect_step(&self.own.server, -i64::try_from(by.as_secs()).unwrap()).await;
    }
}

/// Fails unless the server's clock is so many seconds ahead: nothing is to pass because no clock was stepped.
async fn expect_step(server: &RedisServer, seconds: i64) {
    let (says, _micros): (i64, u32) = server.ask(&cmd("TIME")).await;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let off = says - now - seconds;
    assert!(off.abs() <= 5, "the server does not tell the time by the library that it preloads: {off} s off");
}

fn reexecute() -> OnAbandoned {
    OnAbandoned::reexecute(OnAbandoned::ATTEMPTS).unwrap()
}

#[tokio::test]
async fn s57_a_handler_that_runs_while_the_clock_goes_ahead_looks_lapsed_and_is_recorded() {
    let store = Stepped::start().await;
    let app = App::start(&store.own).await;
    let other = App::on(&store.own).beside(&app).start().await;
    let renewals = Gate::default();
    app.faults.set(Verb::Renew, Fault::PauseBefore(renewals.clone()));
    let first = app.send_until_held("/held-before", "key-1").await;
    other.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");

    store.ahead(MINUTE).await;
    for server in [&app, &other] {
        server.send("/held-before", "key-1").await.expect_rejection(409, "indeterminate");
    }
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None), "recorded in time");
    for server in [&app, &other] {
        server.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    }
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
    renewals.open();
}

/// It looks lapsed until then only.
#[tokio::test]
async fn s57_a_renewal_after_the_step_makes_the_lease_last_again() {
    let store = Stepped::start().await;
    let app = App::start(&store.own).await;
    let renewal = Gate::default();
    app.faults.set(Verb::Renew, Fault::PauseBefore(renewal.clone()));
    let first = app.send_until_held("/held-before", "key-1").await;
    store.ahead(MINUTE).await;
    app.send("/held-before", "key-1").await.expect_rejection(409, "indeterminate");
    renewal.open();
    app.faults.until_applied(Verb::Renew, 1).await;
    app.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    app.gate.open();
    let first = first.await.unwrap();
    app.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
}

/// Where abandoned requests run again, one that only looks abandoned does, too: with one effect where the downstream knows the
/// marker, and with one answer everywhere.
#[tokio::test]
async fn s57_a_handler_that_looks_lapsed_is_taken_over_where_that_was_asked_for() {
    let store = Stepped::start().await;
    let downstream = Downstream::that_checks(Checks::Marker).await;
    let start = || App::on(&store.own).downstream(&downstream).layer(|layer| layer.on_abandoned(reexecute())).start();
    let (app, other) = (start().await, start().await);
    let renewals = Gate::default();
    app.faults.set(Verb::Renew, Fault::PauseBefore(renewals.clone()));
    let first = app.send_until_held("/held-before", "key-1").await;
    store.ahead(MINUTE).await;
    other.gate.open();
    let second = other.send("/held-before", "key-1").await;
    assert_eq!((second.status, second.is_replay()), (StatusCode::CREATED, false));
    assert!(other.fences()[0] > app.fences()[0]);
    app.gate.open();
    first.await.unwrap().expect_replay_of(&second, &[]);
    assert_eq!((downstream.entries().await, downstream.effects()), (2, 1));

    // The minute is taken back. What is left of the record is more than it was ever given, and it stands all the same.
    store.clock.right();
    for server in [&app, &other] {
        server.send("/held-before", "key-1").await.expect_replay_of(&second, &[]);
    }
    assert_eq!((downstream.entries().await, downstream.effects()), (2, 1));
    renewals.open();
}

/// The hazard that the README documents. Fences grow over it, the marker does its part, and the alarm is raised.
#[tokio::test]
async fn s58_a_clock_that_goes_ahead_by_a_retention_forgets_what_is_done_and_raises_an_alarm() {
    let store = Stepped::start().await;
    let app = App::start(&store.own).await;
    let knowing = Downstream::that_checks(Checks::Marker).await;
    let marked = App::on(&store.own).downstream(&knowing).start().await;
    let firsts = [(&app, app.send("/charge", "key-1").await), (&marked, marked.send("/charge", "key-2").await)];
    for ((server, first), key) in firsts.iter().zip(["key-1", "key-2"]) {
        server.send("/charge", key).await.expect_replay_of(first, &[]);
    }
    assert_eq!((app.downstream.effects(), knowing.effects()), (1, 1));

    store.ahead(RETENTION + MINUTE).await;
    assert_eq!(store.own.records().await, Vec::<String>::new());
    for ((server, first), key) in firsts.iter().zip(["key-1", "key-2"]) {
        let again = server.send("/charge", key).await;
        assert_eq!((again.status, again.is_replay()), (StatusCode::CREATED, false), "it runs again");
        assert_ne!(again.body, first.body);
        server.send("/charge", key).await.expect_replay_of(&again, &[]);
        assert!(server.fences()[1] > server.fences()[0], "{:?}", server.fences());
    }
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (2, 2), "twice, where nothing is checked");
    assert_eq!((knowing.entries().await, knowing.effects()), (2, 1), "once, where the marker is");
    // Nobody asks for it.
    eventually("the store notices that the clocks differ", || async {
        let ahead = store.own.store.health().clock_ahead?;
        (u128::try_from(ahead).ok()? > RETENTION.as_micros()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn s59_a_handler_that_runs_while_the_clock_goes_back_is_recorded() {
    let store = Stepped::start().await;
    let app = App::start(&store.own).await;
    let other = App::on(&store.own).beside(&app).start().await;
    let first = app.send_until_held("/held-before", "key-1").await;
    store.behind(HOUR).await;
    for server in [&app, &other] {
        server.send("/held-before", "key-1").await.expect_rejection(409, "in-flight");
    }
    assert!(store.own.store.counts().expiry_lost >= 1, "a lease that began in the future is told of");
    app.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("idempotency-status")), (StatusCode::CREATED, None));
    for server in [&app, &other] {
        server.send("/held-before", "key-1").await.expect_replay_of(&first, &[]);
    }
    assert_eq!((app.downstream.entries().await, app.downstream.effects()), (1, 1));
}

/// A process that has seen fences, on servers of which one is about to fail.
struct Process {
    url: String,
    app: App,
    done: Reply,
}

impl Process {
    async fn on(url: String) -> Self {
        let app = App::start(&Over(connect(config(&url)).await)).await;
        app.send("/busy", "released").await;
        let done = app.send("/charge", "done").await;
        assert_eq!(done.status, StatusCode::CREATED, "{done:?}");
        Self { url, app, done }
    }

    /// What it is answered once it has found the new master.
    async fn charge(&self, key: &str) -> Reply {
        let charged = eventually("the new master is found", || async {
            let reply = self.app.send("/charge", key).await;
            (reply.status != StatusCode::SERVICE_UNAVAILABLE).then_some(reply)
        });
        charged.await
    }

    /// The clock of the new master is an hour behind what the old one has shown.
    async fn expect_growing_fences(self, promoted: &RedisServer, clock: &ServerClock) {
        clock.behind(HOUR);
        expect_step(promoted, -3600).await;
        for key in ["fresh", "released", "another"] {
            let answer = self.charge(key).await;
            assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, false), "{key}");
            self.charge(key).await.expect_replay_of(&answer, &[]);
        }
        self.charge("done").await.expect_replay_of(&self.done, &[]);
        let fences = self.app.fences();
        assert_eq!((fences.len(), self.app.downstream.effects()), (5, 4));
        assert!(fences.is_sorted_by(|earlier, later| earlier < later), "{fences:?}");

        // One that saw none of them cannot know; per key, where fences are compared, its own are greater all the same.
        let other = App::on(&Over(connect(config(&self.url)).await)).beside(&self.app).start().await;
        self.app.send("/busy", "shared").await;
        other.send("/busy", "shared").await;
        assert!(other.fences()[0] > self.app.fences()[5], "{:?} after {:?}", other.fences(), self.app.fences());
    }
}

#[tokio::test]
async fn s59_fences_grow_over_a_fail_over_of_sentinels_to_a_clock_that_is_behind() {
    let clock = ServerClock::new();
    let group = SentinelGroup::start(RedisOptions::default().clock(&clock)).await;
    let process = Process::on(group.url()).await;
    let promoted = group.fail_over().await;
    process.expect_growing_fences(promoted, &clock).await;
}

/// There, the new master is a server that the process has not met before, and knows of no time but its own.
#[tokio::test]
async fn s59_fences_grow_over_a_fail_over_in_a_cluster_to_a_clock_that_is_behind() {
    let clock = ServerClock::new();
    let options = RedisOptions::default().clock(&clock);
    let cluster = RedisCluster::start_with(options, 1, true, Duration::from_secs(5)).await;
    let process = Process::on(cluster.url()).await;
    let promoted = cluster.fail_over(0, false).await;
    cluster.until_follows(0).await;
    process.expect_growing_fences(cluster.node(promoted), &clock).await;
}
