//! What stands in front of the handler: each library as its documentation shows it.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use fred::clients::Client;
use fred::interfaces::ClientLike as _;
use fred::types::config::Config;
use ruts::store::redis::RedisStore as SessionStore;
use ruts::{CookieOptions, SessionLayer};
use tower_cookies::CookieManagerLayer;
use tower_http::set_header::SetRequestHeaderLayer;
use tower_idempotency::{IdempotencyLayer, Scope, Secret};

use crate::Failure;

/// `axum-idempotent` with the client's key, on the Redis store of its session library.
///
/// It keeps answers only of requests that have a session, and the load has no cookies: each request is given the same session
/// here, as it would have with a client that had logged in.
pub(crate) async fn axum_idempotent(router: Router, redis: &str) -> Result<Router, Failure> {
    let client = Client::new(Config::from_url(redis)?, None, None, None);
    client.init().await?;
    let store = Arc::new(SessionStore::new(Arc::new(client)).await?);
    let options = IdempotentOptions::default()
        .use_idempotency_key_header(Some("Idempotency-Key"), true)
        .replay_header_name("idempotent-replayed")
        .expire_after(24 * 60 * 60);
    let session = HeaderValue::from_static("session=AAAAAAAAAAAAAAAAAAAAAA");
    Ok(router
        .layer(IdempotentLayer::<SessionStore<Client>>::new(options))
        .layer(SessionLayer::new(store).with_cookie_options(CookieOptions::build().name("session")))
        .layer(CookieManagerLayer::new())
        .layer(SetRequestHeaderLayer::if_not_present(header::COOKIE, session)))
}

/// Ours, on its Redis store.
pub(crate) async fn tower_idempotency(router: Router, redis: &str) -> Result<Router, Failure> {
    let store = idempotency_store::RedisStore::connect(redis).await?;
    let layer = IdempotencyLayer::new(store, Scope::header(header::AUTHORIZATION), Secret::new([7; 32])?);
    Ok(router.route_layer(layer))
}
