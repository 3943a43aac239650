//! The middleware in front of the handler, as its documentation shows it, on each store.

use std::path::Path;

use axum::Router;
use axum::http::header;
use idempotency_store::{EmbeddedStore, MemoryStore, RedisConfig, RedisStore, Store};
use tower_idempotency::{IdempotencyLayer, Scope, Secret};

use crate::Outcome;

pub(super) fn memory(router: Router) -> Outcome<Router> {
    layered(router, MemoryStore::new())
}

pub(super) fn memory_fast(router: Router) -> Outcome<Router> {
    Ok(router.route_layer(layer(MemoryStore::new())?.fast_fingerprint()))
}

pub(super) async fn embedded(router: Router, file: &Path) -> Outcome<Router> {
    layered(router, EmbeddedStore::open(file).await?)
}

pub(super) async fn redis(router: Router, url: &str) -> Outcome<Router> {
    layered(router, RedisStore::connect_with(RedisConfig::new(url)?).await?)
}

fn layered<S: Store>(router: Router, store: S) -> Outcome<Router> {
    Ok(router.route_layer(layer(store)?))
}

fn layer<S: Store>(store: S) -> Outcome<IdempotencyLayer<S>> {
    Ok(IdempotencyLayer::new(store, Scope::header(header::AUTHORIZATION), Secret::new([7; 32])?))
}
