//! Which node of a Cluster a store goes to where nodes do not agree: the newest map counts, and redirections are followed for as
//! long as a topology may take to settle.
//!
//! Two clusters of one node each stand for two nodes of one, which contradict each other as no real ones do for long.

use std::time::Duration;

use idempotency_store::{Deadline, ErrorKind, RedisStore, Renewed, Store};
use idempotency_tests::redis_proxy::named;
use idempotency_tests::resp::Command;
use idempotency_tests::{LineFault, LoneNode, eventually, free_port, let_pass};
use redis::cmd;

use crate::redis_failover::{config, connect};
use crate::redis_own::{acquire, claim, soon};

/// Claims, and not the trials with which a store greets a server.
fn claims(command: &Command) -> bool {
    command.name() == "SET" && command.arguments().first().is_some_and(|key| key.starts_with(b"idem:{"))
}

/// A node that says that it serves everything since this epoch.
async fn node(epoch: u64) -> LoneNode {
    let node = LoneNode::start().await;
    node.server.ask::<()>(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(epoch)).await;
    node
}

/// A store that has its map from the first of two nodes.
async fn store(first: &LoneNode, second: &LoneNode) -> RedisStore {
    let url = format!("redis+cluster://{},{}", first.line.address(), second.line.address());
    connect(config(&url)).await
}

/// How many keys were claimed at each.
async fn claimed(nodes: [&LoneNode; 2]) -> [usize; 2] {
    [nodes[0].server.keys("idem:{").await.len(), nodes[1].server.keys("idem:{").await.len()]
}

/// A node that was cut off from the others goes on telling an old map.
#[tokio::test]
async fn an_old_map_does_not_replace_a_newer_one() {
    let (newer, older) = (node(2).await, node(1).await);
    let store = store(&newer, &older).await;
    // Each refusal has the map asked for, of somebody else each time.
    for number in 1..=4 {
        let down = "-CLUSTERDOWN Hash slot not served\r\n".into();
        newer.line.next(1, claims, LineFault::Answer(down));
        acquire(&store, &claim(number)).await;
    }
    assert!(older.line.seen("CLUSTER") > 0, "the older one was never asked");
    assert_eq!(claimed([&newer, &older]).await, [4, 0]);
}

/// What is only renewed and completed meets no refusal at a node that was left behind, which serves it for ever.
#[tokio::test]
async fn a_newer_map_is_found_though_nobody_is_refused() {
    let (older, newer) = (node(1).await, node(2).await);
    let store = store(&older, &newer).await;
    let grant = acquire(&store, &claim(1)).await;
    older.line.set(named("CLUSTER"), LineFault::Answer("-ERR not now\r\n".into()));
    let renewed = eventually("the other node is found", || async {
        let renewed = store.renew(&grant, soon()).await.expect("either answers");
        (renewed != Renewed::Held).then_some(renewed)
    });
    assert_eq!(renewed.await, Renewed::Recreated, "the other node does not have it yet");
    assert_eq!(claimed([&older, &newer]).await, [1, 1]);
}

/// Where a slot that `name` is in has gone.
async fn moved(name: &str, to: &LoneNode) -> LineFault {
    let slot: u16 = to.server.ask(cmd("CLUSTER").arg("KEYSLOT").arg(name)).await;
    LineFault::Answer(format!("-MOVED {slot} {}\r\n", to.line.address()).into())
}

/// Two nodes send a claim back and forth until they agree, which takes longer than to ask them.
#[tokio::test]
async fn nodes_that_redirect_to_each_other_are_given_time_to_agree() {
    let (one, other) = (node(1).await, node(1).await);
    let store = store(&one, &other).await;
    let name = store.name_of(&claim(1).attempt.key);
    one.line.set(claims, moved(&name, &other).await);
    other.line.set(claims, moved(&name, &one).await);
    let agreed = async {
        let_pass(Duration::from_secs(2)).await;
        other.line.heal();
    };
    tokio::join!(async { acquire(&store, &claim(1)).await }, agreed);
    assert_eq!(claimed([&one, &other]).await, [0, 1]);
}

/// If they never do, the deadline ends it, and nothing has been carried out.
#[tokio::test]
async fn nodes_that_redirect_to_each_other_for_ever_are_followed_until_the_deadline() {
    let (one, other) = (node(1).await, node(1).await);
    let store = store(&one, &other).await;
    let name = store.name_of(&claim(1).attempt.key);
    one.line.set(claims, moved(&name, &other).await);
    other.line.set(claims, moved(&name, &one).await);
    let refused = store.claim(&claim(1), Deadline::after(Duration::from_millis(500))).await;
    assert_eq!(refused.expect_err("nobody serves it").kind(), ErrorKind::NotApplied);
    assert!(one.line.struck.get() > 0 && other.line.struck.get() > 0, "both were asked");
    assert_eq!(claimed([&one, &other]).await, [0, 0]);
}

/// A slot that moves to a node which cannot be reached: the call goes back to where it came from.
#[tokio::test]
async fn a_redirection_to_nobody_is_asked_for_again() {
    let one = node(1).await;
    let store = connect(config(&one.url())).await;
    let slot: u16 = one.server.ask(cmd("CLUSTER").arg("KEYSLOT").arg(store.name_of(&claim(1).attempt.key))).await;
    let nobody = format!("-ASK {slot} 127.0.0.1:{}\r\n", free_port().await);
    one.line.next(2, claims, LineFault::Answer(nobody.into()));
    acquire(&store, &claim(1)).await;
    assert_eq!(one.line.struck.get(), 2);
    assert_eq!(one.server.keys("idem:{").await.len(), 1);
}
