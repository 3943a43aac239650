//! How rejections look: `application/problem+json` (RFC 9457), or what a closure makes of them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::json;

use crate::config::ConfigError;
use crate::headers::http_date;
use crate::rejection::Rejection;

/// Turns a rejection into a response.
type Respond = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;

/// How rejections look.
#[derive(Clone)]
pub(crate) enum RejectionStyle {
    /// Problem details whose types begin with this.
    Problem(Arc<str>),
    /// Whatever the application wants.
    Custom(Arc<Respond>),
}

impl Default for RejectionStyle {
    fn default() -> Self {
        Self::Problem(Arc::from("https://docs.rs/tower-idempotency/latest/tower_idempotency/problems/"))
    }
}

impl RejectionStyle {
    pub(crate) fn problem(base: &str) -> Result<Self, ConfigError> {
        let ends = base.ends_with(['/', ':', '#']);
        if !ends || !base.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::ProblemBase);
        }
        Ok(Self::Problem(Arc::from(base)))
    }

    pub(crate) fn respond(&self, rejection: Rejection) -> Response<Bytes> {
        let mut response = match self {
            Self::Problem(base) => problem(base, &rejection),
            Self::Custom(respond) => respond(&rejection),
        };
        response.extensions_mut().insert(rejection);
        response
    }
}

impl fmt::Debug for RejectionStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(base) => f.debug_tuple("Problem").field(base).finish(),
            Self::Custom(_) => f.write_str("Custom(..)"),
        }
    }
}

fn problem(base: &str, rejection: &Rejection) -> Response<Bytes> {
    let mut problem = json!({
        "type": format!("{base}{}", rejection.kind().name()),
        "title": rejection.kind().title(),
        "status": rejection.status().as_u16(),
        "detail": rejection.detail(),
    });
    if let (Some(original), Some(members)) = (rejection.original_status(), problem.as_object_mut()) {
        members.insert("original_status".to_owned(), original.as_u16().into());
    }
    if let (Some(at), Some(members)) = (rejection.recorded_at(), problem.as_object_mut()) {
        members.insert("recorded_at".to_owned(), http_date(at).into());
    }
    let mut response = Response::new(Bytes::from(problem.to_string()));
    *response.status_mut() = rejection.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    if let Some(seconds) = rejection.retry_after() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_base_must_be_the_beginning_of_a_uri() {
        assert!(RejectionStyle::problem("https://example.com/problems/").is_ok());
        for odd in ["", "https://example.com/problems", "a b/", "\u{e9}/"] {
            assert_eq!(RejectionStyle::problem(odd).err(), Some(ConfigError::ProblemBase));
        }
    }
}
