//! The floor: a handler that sends the commands of the Redis store by hand, with the client that it uses, and no middleware.
//!
//! The commands have the bytes that the store's have - the record's header, the script, the answer - but nothing is computed
//! for them: the key's name is the client's, owner, fence and fingerprint are always the same.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult};

use super::PATH;
use crate::Outcome;
use crate::commands::Commands;
use crate::handler::{Answers, Payment, STATUS};

const JSON: &str = "application/json";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

#[derive(Clone)]
struct Floor {
    redis: MultiplexedConnection,
    commands: &'static Commands,
    answers: Answers,
}

pub(super) async fn router(url: &str, answers: Answers) -> Outcome<Router> {
    let client = redis::Client::open(url)?;
    // As the store has it.
    let settings = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(4096);
    let redis = client.get_multiplexed_async_connection_with_config(&settings).await?;
    let commands: &'static Commands = Box::leak(Box::new(Commands::load(&redis).await?));
    Ok(Router::new().route(PATH, post(charge)).with_state(Floor { redis, commands, answers }))
}

async fn charge(State(floor): State<Floor>, headers: HeaderMap, Json(payment): Json<Payment>) -> Response {
    let Some(key) = headers.get("idempotency-key") else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    floor.run(key, payment).await.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

impl Floor {
    async fn run(mut self, key: &HeaderValue, payment: Payment) -> RedisResult<Response> {
        let claim = self.commands.claim(key.as_bytes());
        let stood: Option<Vec<u8>> = claim.query_async(&mut self.redis).await?;
        if let Some(stood) = stood {
            let body = Bytes::from(stood).slice(Commands::HEAD_LEN..);
            return Ok((STATUS, [(header::CONTENT_TYPE, JSON), (REPLAYED, "true")], body).into_response());
        }
        let Ok(body) = serde_json::to_vec(&self.answers.receipt(payment)) else {
            return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        let _: i64 = self.commands.complete(key.as_bytes(), &body).query_async(&mut self.redis).await?;
        Ok((STATUS, [(header::CONTENT_TYPE, JSON)], body).into_response())
    }
}
