//! What operators see of a Redis: pages over the server's `SCAN`, and looks that write nothing.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use idempotency_store::{Answer, Erased, ErrorKind, Query, RedisConfig, RedisStore, Standing, Store};
use idempotency_tests::{RedisOptions, RedisServer};
use redis::cmd;

use crate::redis_own::{Own, acquire, claim, soon};
use idempotency_tests::Backend;

/// The keys of all pages, and how many records could not be read.
async fn list(store: &RedisStore, limit: usize) -> (Vec<[u8; 32]>, usize) {
    let (mut keys, mut unreadable) = (Vec::new(), 0);
    let mut query = Query { limit: NonZeroUsize::new(limit).unwrap(), ..Query::default() };
    loop {
        let page = store.list(&query, soon()).await.unwrap();
        assert!(page.entries.len() <= limit);
        keys.extend(page.entries.iter().map(|listed| *listed.key.as_bytes()));
        unreadable += page.unreadable;
        let Some(next) = page.next else { return (keys, unreadable) };
        query.after = Some(next);
    }
}

#[tokio::test]
async fn a_listing_passes_over_what_is_not_a_record() {
    let own = Own::open().await;
    for key in 1..=5 {
        acquire(&own.store, &claim(key)).await;
    }
    let name = |key: u8| own.store.name_of(&claim(key).attempt.key);
    own.server.overwrite(&name(1), b"garbage").await;
    own.server.overwrite(&name(2), b"").await;
    let _: () = own.server.ask(cmd("DEL").arg(name(3))).await;
    let _: () = own.server.ask(cmd("LPUSH").arg(name(3)).arg("no string")).await;
    // Names that a pattern may match and no record has; and another service's records.
    own.server.set("idem:{short}", "x").await;
    own.server.set(&format!("{}:stage", name(4)), "x").await;
    own.server.set(&format!("other:{}", name(4)), "x").await;
    for limit in [1, 100] {
        let (keys, unreadable) = list(&own.store, limit).await;
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([[4; 32], [5; 32]]), "pages of {limit}");
        assert_eq!(unreadable, 3, "pages of {limit}");
    }
    for key in [1, 2, 3] {
        let key = claim(key).attempt.key;
        assert_eq!(own.store.inspect(key, soon()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        let fence = idempotency_store::Fence::new(1);
        assert_eq!(own.store.erase(key, fence.into(), soon()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// Thousands of keys, so that the server's table grows and its buckets hold several.
#[tokio::test]
async fn small_pages_cover_a_large_store() {
    let own = Own::open().await;
    let claims: Vec<_> = (0..2000_u16)
        .map(|number| {
            let mut claim = claim(0);
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&number.to_be_bytes());
            claim.attempt.key = idempotency_store::Key::new(digest);
            claim
        })
        .collect();
    futures_util::future::join_all(claims.iter().map(|claim| acquire(&own.store, claim))).await;
    for limit in [7, 300, 1000] {
        let (keys, unreadable) = list(&own.store, limit).await;
        assert_eq!((keys.into_iter().collect::<BTreeSet<_>>().len(), unreadable), (2000, 0), "pages of {limit}");
    }
}

#[tokio::test]
async fn a_prefix_is_no_pattern() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let on = async |prefix: &str| {
        RedisStore::connect_with(RedisConfig::new(&server.url()).unwrap().prefix(prefix).unwrap()).await.unwrap()
    };
    for (key, prefix) in [(1, "a*"), (2, "ab"), (3, "[a]"), (4, "a"), (5, "a?"), (6, "a\\"), (7, "*")] {
        let store = on(prefix).await;
        acquire(&store, &claim(key)).await;
        assert_eq!(list(&store, 100).await, (vec![[key; 32]], 0), "{prefix}");
    }
}

#[tokio::test]
async fn a_look_is_one_command_and_writes_nothing() {
    let own = Own::open().await;
    let grant = acquire(&own.store, &claim(1)).await;
    own.store.complete(&grant, &Answer::Kept("answer".into()).into(), soon()).await.unwrap();
    let key = grant.attempt.key;
    // The server learns the script.
    own.store.inspect(key, soon()).await.unwrap();
    let name = own.record().await;
    own.server.persist(&name).await;
    let (before, verbs) = (own.server.get(&name).await, ["EVALSHA"]);
    let look = own.server.commands_during(own.store.inspect(key, soon())).await;
    assert_eq!(look.output.as_ref().unwrap().as_ref().unwrap().standing(), Standing::Completed);
    assert_eq!(look.names().into_iter().filter(|name| name != "TIME").collect::<Vec<_>>(), verbs);
    own.store.list(&Query::default(), soon()).await.unwrap();
    // Other verbs would set the expiry again on their way.
    assert_eq!((own.server.get(&name).await, own.server.pttl(&name).await), (before, -1));
    assert_eq!(own.store.erase(key, grant.fence.into(), soon()).await.unwrap(), Erased::Erased);
    let left = own.server.pttl(&name).await;
    assert!((1..=60_000).contains(&left), "a tombstone lasts a minute, not {left} ms");
}
