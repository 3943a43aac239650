//! A store on a Redis of one's own, which may be killed, paused and reconfigured.

use std::time::Duration;

use idempotency_store::{
    Attempt, BoxStore, Claim, Claimed, Deadline, Fingerprint, Grant, Key, OnAbandoned, Owner, RedisStore, Store, Terms,
};
use idempotency_tests::{App, Backend, RedisOptions, RedisProxy, RedisServer, patient};

/// Long enough for a server that is there, short enough for a test that wants none.
pub(crate) const BRIEFLY: Duration = Duration::from_millis(300);

/// A server and a store on it.
pub(crate) struct Own {
    pub(crate) server: RedisServer,
    pub(crate) store: RedisStore,
}

impl Own {
    pub(crate) async fn with(options: RedisOptions) -> Self {
        Self::at(RedisServer::start(options).await).await
    }

    /// On a server that was prepared.
    pub(crate) async fn at(server: RedisServer) -> Self {
        let store = RedisStore::connect(&server.url()).await.expect("a server that was just started");
        Self { server, store }
    }

    /// One whose commands and replies pass a line that a test can break.
    pub(crate) async fn behind_a_line() -> (Self, RedisProxy) {
        let server = RedisServer::start(RedisOptions::default()).await;
        let line = RedisProxy::to(server.address()).await;
        let store = RedisStore::connect(&line.url()).await.expect("a line that passes everything on");
        (Self { server, store }, line)
    }

    /// An application that does not wait long for its claims.
    pub(crate) async fn impatient(&self) -> App {
        App::on(self).timing(patient().claim_budget(BRIEFLY)).start().await
    }

    /// The name of the only record.
    pub(crate) async fn record(&self) -> String {
        let mut keys = self.records().await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.remove(0)
    }

    /// The names of all records.
    pub(crate) async fn records(&self) -> Vec<String> {
        self.server.keys("idem:{").await
    }
}

impl Backend for Own {
    async fn open() -> Self {
        Self::with(RedisOptions::default()).await
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.store.clone())
    }

    async fn advance(&self, _by: Duration) {
        panic!("these scenarios do not move the server's clock");
    }

    fn served(&self) -> String {
        self.server.url()
    }
}

/// Any store for an application.
pub(crate) struct Over(pub(crate) RedisStore);

impl Backend for Over {
    async fn open() -> Self {
        Self(Own::open().await.store)
    }

    fn store(&self) -> BoxStore {
        BoxStore::new(self.0.clone())
    }

    async fn advance(&self, _by: Duration) {
        panic!("these scenarios do not move the server's clock");
    }

    fn served(&self) -> String {
        panic!("these scenarios have no other process");
    }
}

/// A claim of the key by an owner whom nobody else is.
pub(crate) fn claim(key: u8) -> Claim {
    let owner = Owner::random().expect("random bytes");
    let attempt = Attempt { key: Key::new([key; 32]), owner, fingerprint: Fingerprint::new([7; 32]) };
    let terms = Terms::new(Duration::from_secs(30), Duration::from_secs(3600)).expect("sensible terms");
    Claim { attempt, terms, high_water: None, on_abandoned: OnAbandoned::Refuse }
}

pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

/// Claims a key that is free.
pub(crate) async fn acquire(store: &RedisStore, claim: &Claim) -> Grant {
    match store.claim(claim, soon()).await {
        Ok(Claimed::Acquired { grant, .. }) => grant,
        other => panic!("not acquired: {other:?}"),
    }
}
