//! What the demo's servers do about a charge whose server was killed before it could record it: by policy, and by whether
//! the bank recognises a repetition. The bank's ledger is the judge.

use idempotency_tests::{
    Backend, Bank, Count, Gate, Redis, Relay, Reply, Server, eventually, on_each_store, reply, try_reply,
};
use reqwest::StatusCode;

use crate::DEMO;

on_each_store!(
    durable: s29_reexecuted_at_a_bank_that_recognises_nothing_it_is_charged_twice,
    s29_reexecuted_at_a_bank_that_recognises_the_key_it_is_charged_once,
    s29_resolved_it_is_charged_once_and_answered_as_it_would_have_been,
    s29_resolved_a_refund_is_found_too,
    s28_resolved_it_is_unknown_until_nothing_can_come_and_then_charged,
);

/// Short enough to be waited for, and renewed in time.
const LEASE: &str = "1s";

/// A server, and the bank that it charges at by a line that can hold its charges.
struct Ground {
    store: String,
    bank: Bank,
    relay: Relay,
}

impl Ground {
    async fn at(backend: &impl Backend, bank: &[&str]) -> Self {
        let bank = Bank::with(DEMO, bank).await;
        let relay = Relay::to(bank.url()).await;
        Self { store: backend.served(), bank, relay }
    }

    /// A server whose charges go by the line.
    async fn first(&self, policy: &str) -> Server {
        Server::on(DEMO, &self.store, self.relay.url()).lease(LEASE).on_abandoned(policy).start().await
    }

    /// A server that charges at the bank itself.
    async fn next(&self, policy: &str) -> Server {
        Server::on(DEMO, &self.store, self.bank.url()).lease(LEASE).on_abandoned(policy).start().await
    }

    /// A server that was killed while its `POST` to the bank was held at this gate, and the server after it.
    async fn killed_at(&self, policy: &str, gate: Gate, server: Server, post: reqwest::RequestBuilder) -> Server {
        let unanswered = tokio::spawn(try_reply(post));
        gate.arrived(1).await;
        server.process.kill().await;
        assert!(unanswered.await.unwrap().is_err(), "it was answered before the bank's reply was there");
        self.next(policy).await
    }

    /// The same for a payment, whose charge the bank has.
    async fn killed_after_the_charge(&self, policy: &str) -> Server {
        let server = self.first(policy).await;
        let payment = server.payment("order-1", 1000);
        let next = self.killed_at(policy, self.relay.hold_after(), server, payment).await;
        assert_eq!(self.charges().await, 1);
        next
    }

    async fn charges(&self) -> usize {
        self.bank.charges().await.len()
    }
}

/// What came of asking again until it was settled.
struct Settled {
    answer: Reply,
    /// How often nobody knew yet.
    unknown: usize,
}

/// Asks again until it is settled. Before, it is in flight, or nobody knows yet and it says when to ask again.
async fn until_settled<F: Future<Output = Reply> + Send>(mut send: impl FnMut() -> F + Send) -> Settled {
    let unknown = Count::default();
    let answer = eventually("it is settled", || {
        let (answer, unknown) = (send(), unknown.clone());
        async move {
            let answer = answer.await;
            if answer.status != StatusCode::CONFLICT {
                return Some(answer);
            }
            assert!(answer.header("retry-after").is_some(), "the client would stop: {answer:?}");
            match answer.problem().as_str() {
                "in-flight" => {}
                "indeterminate" => drop(unknown.up()),
                other => panic!("409 {other}"),
            }
            None
        }
    });
    Settled { answer: answer.await, unknown: unknown.get() }
}

/// Until the retry is paid; and the one after gets the same.
async fn until_paid(server: &Server) -> Settled {
    let settled = until_settled(|| server.pay("order-1")).await;
    let again = server.pay("order-1").await;
    assert_eq!(settled.answer.status, StatusCode::CREATED, "{:?}", settled.answer);
    assert!(again.is_replay());
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &settled.answer.body));
    settled
}

/// What two answers to two payments have in common.
fn shape(answer: &Reply) -> (StatusCode, bool, Vec<&str>, Option<&str>) {
    let fields = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    (answer.status, answer.is_replay(), fields, answer.header("content-type"))
}

/// The hazard that the documentation names: the handler runs again, and the bank executes what it is sent.
async fn s29_reexecuted_at_a_bank_that_recognises_nothing_it_is_charged_twice(backend: impl Backend) {
    let ground = Ground::at(&backend, &[]).await;
    let server = ground.killed_after_the_charge("reexecute:5").await;
    let paid = until_paid(&server).await.answer;
    let charges = ground.bank.charges().await;
    assert_eq!(charges.len(), 2);
    assert_eq!(charges[0].key, charges[1].key, "a bank that looked at the key could have told");
    assert_eq!(paid.json()["charge"], charges[0].id.as_str());
}

async fn s29_reexecuted_at_a_bank_that_recognises_the_key_it_is_charged_once(backend: impl Backend) {
    let ground = Ground::at(&backend, &["--dedup"]).await;
    let server = ground.killed_after_the_charge("reexecute:5").await;
    let paid = until_paid(&server).await.answer;
    let charges = ground.bank.charges().await;
    assert_eq!(charges.len(), 1);
    assert_eq!(paid.json()["charge"], charges[0].id.as_str());
}

async fn s29_resolved_it_is_charged_once_and_answered_as_it_would_have_been(backend: impl Backend) {
    let ground = Ground::at(&backend, &[]).await;
    let server = ground.killed_after_the_charge("resolve").await;
    let resolved = until_paid(&server).await.answer;
    let charges = ground.bank.charges().await;
    assert_eq!(charges.len(), 1);
    assert_eq!(resolved.json()["charge"], charges[0].id.as_str());
    // Beside a payment that nothing happened to: its replay differs in what is its own, and in nothing else.
    server.pay("order-2").await;
    let ordinary = server.pay("order-2").await;
    assert_eq!(shape(&resolved), shape(&ordinary));
}

async fn s29_resolved_a_refund_is_found_too(backend: impl Backend) {
    let ground = Ground::at(&backend, &[]).await;
    let server = ground.first("resolve").await;
    let payment = server.pay("order-1").await;
    let location = payment.header("location").unwrap().to_owned();
    let refund = server.refund("back-1", &location, 400);
    let server = ground.killed_at("resolve", ground.relay.hold_after(), server, refund).await;
    let again = || reply(server.refund("back-1", &location, 400));
    let refunded = until_settled(again).await.answer;
    assert_eq!(refunded.status, StatusCode::CREATED, "{refunded:?}");
    assert_eq!(refunded.json()["payment"], payment.json()["id"]);
    assert_eq!(ground.bank.charges().await[0].refunded, 400);
    // What was given back since is no part of the answer to the payment.
    server.pay("order-1").await.expect_replay_of(&payment, &[]);
}

async fn s28_resolved_it_is_unknown_until_nothing_can_come_and_then_charged(backend: impl Backend) {
    let ground = Ground::at(&backend, &[]).await;
    let server = ground.first("resolve").await;
    let payment = server.payment("order-1", 1000);
    let server = ground.killed_at("resolve", ground.relay.hold_before(), server, payment).await;
    let settled = until_paid(&server).await;
    assert!(settled.unknown > 0, "it was charged before it was certain that the first charge can no longer come");
    assert_eq!(ground.charges().await, 1);
}

/// Two servers, so a store that they share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s28_a_charge_of_a_stopped_server_that_comes_after_another_ran_is_refused() {
    let backend = Redis::open().await;
    let ground = Ground::at(&backend, &[]).await;
    let stopped = ground.first("resolve").await;
    let charge = ground.relay.hold_before();
    let unanswered = tokio::spawn(try_reply(stopped.payment("order-1", 1000)));
    charge.arrived(1).await;
    stopped.process.pause().await;
    let server = ground.next("resolve").await;
    let paid = until_paid(&server).await.answer;

    charge.open();
    stopped.process.resume();
    let late = unanswered.await.unwrap().expect("an answer of the stopped server");
    assert_eq!(ground.charges().await, 1);
    assert_eq!((late.status, late.body), (paid.status, paid.body), "its client gets the winner's answer");
}
