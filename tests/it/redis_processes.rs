//! Several real payment services on one Redis.

use idempotency_tests::{Backend, Bank, Redis, Relay, Server, reply};
use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::DEMO;

#[tokio::test]
async fn s03_of_100_concurrent_payments_at_4_processes_one_is_charged() {
    let backend = <Redis as Backend>::open().await;
    let bank = Bank::start(DEMO).await;
    let relay = Relay::to(bank.url()).await;
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(Server::on(DEMO, &backend.served(), relay.url()).lease("30s").start().await);
    }
    let held = relay.hold_before();
    let mut answers = JoinSet::new();
    for nth in 0..100 {
        answers.spawn(reply(servers[nth % 4].payment("order-1", 1000)));
    }
    for _ in 0..99 {
        let answer = answers.join_next().await.unwrap().unwrap();
        answer.expect_rejection(409, "in-flight");
    }
    held.open();
    let first = answers.join_next().await.unwrap().unwrap();
    assert_eq!((first.status, first.is_replay()), (StatusCode::CREATED, false));
    for server in &servers {
        server.pay("order-1").await.expect_replay_of(&first, &[]);
    }
    assert_eq!(bank.charges().await.len(), 1);
}
