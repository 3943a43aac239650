//! axum's extractors with this crate's error answer: what cannot be read is a [`Problem`], and executed nothing.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// [`axum::Json`], refusing with a [`Problem`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(unreadable_body(&rejection)),
        }
    }
}

/// [`axum::extract::Query`], refusing with a [`Problem`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(unreadable_query(&rejection)),
        }
    }
}

fn unreadable_body(rejection: &JsonRejection) -> Problem {
    Problem::new(rejection.status(), "body-unreadable", "The body is not the JSON that is expected here")
        .detail(rejection.body_text())
        .not_executed()
}

fn unreadable_query(rejection: &QueryRejection) -> Problem {
    Problem::new(rejection.status(), "query-unreadable", "The query cannot be read")
        .detail(rejection.body_text())
        .not_executed()
}
