//! One axum server of the comparison: `idempotency-peers bare|axum-idempotent|tower-idempotency`.
//!
//! `REDIS_URL` names the Redis server, `DELAY_MS` how long the handler takes.

mod handler;
mod layers;

use std::env::{args, var};
use std::error::Error;
use std::net::Ipv4Addr;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use handler::Handler;

/// Something that keeps the server from serving.
type Failure = Box<dyn Error + Send + Sync>;

// One thread, as the other servers have.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let kind = args().nth(1).unwrap_or_default();
    let redis = var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let handler = Handler::new(var("DELAY_MS").ok().map(|delay| delay.parse()).transpose()?);
    let router = router(&kind, &redis, &handler).await?.merge(handler.counter());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router).await?)
}

async fn router(kind: &str, redis: &str, handler: &Handler) -> Result<Router, Failure> {
    let bare = handler.router();
    match kind {
        "bare" => Ok(bare),
        "axum-idempotent" => layers::axum_idempotent(bare, redis).await,
        "tower-idempotency" => layers::tower_idempotency(bare, redis).await,
        _ => Err("name a server: bare, axum-idempotent or tower-idempotency".into()),
    }
}
