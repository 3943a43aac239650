//! The one shape of every error answer of this crate: `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tower_idempotency::Recording;

/// The media type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error answer that a program can act on: which problem ([`name`](Self::name)), which field, and whether anything
/// was executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<Cow<'static, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    executed: Option<bool>,
}

impl Problem {
    /// A problem of this name; `title` says in a few words what every problem of the name has in common.
    ///
    /// The name becomes the last segment of the `type` URI, which is relative: it identifies, it is not to be opened.
    pub fn new(status: StatusCode, name: &'static str, title: &'static str) -> Self {
        Self {
            kind: Cow::Owned(format!("/problems/{name}")),
            title: Cow::Borrowed(title),
            status: status.as_u16(),
            detail: None,
            field: None,
            executed: None,
        }
    }

    /// What is wrong with this very request, and what to do about it.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The member of the request that is to blame.
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// States that the request certainly executed nothing, so that it may be sent again.
    pub fn not_executed(mut self) -> Self {
        self.executed = Some(false);
        self
    }

    /// The problem's name: the last segment of its `type`.
    pub fn name(&self) -> &str {
        self.kind.rsplit_once('/').map_or(&*self.kind, |(_, name)| name)
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The sentence for a human, if there is one.
    pub fn message(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.title)
    }

    /// The member of the request that is to blame, if it is one member.
    pub fn blamed_field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Whether the answer says that nothing was executed.
    ///
    /// `false` means that it does not say so: an answer without the member promises nothing.
    pub fn says_not_executed(&self) -> bool {
        self.executed == Some(false)
    }
}

impl IntoResponse for Problem {
    /// What says that nothing was executed also tells the idempotency layer so, and the key is free again. That is
    /// decided here alone, so the body and the mark can never contradict each other.
    fn into_response(self) -> Response {
        let not_executed = self.says_not_executed();
        let mut response = (self.status(), axum::Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if not_executed {
            response.extensions_mut().insert(Recording::NotExecuted);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_wire() {
        let problem = Problem::new(StatusCode::CONFLICT, "expired", "Too late").detail("it is over").not_executed();
        let json = serde_json::to_string(&problem).unwrap();
        assert_eq!(
            json,
            r#"{"type":"/problems/expired","title":"Too late","status":409,"detail":"it is over","executed":false}"#
        );
        let back: Problem = serde_json::from_str(&json).unwrap();
        assert_eq!(back, problem);
        assert_eq!(back.name(), "expired");
    }

    #[test]
    fn an_answer_without_the_member_promises_nothing() {
        let problem: Problem = serde_json::from_str(r#"{"type":"about:blank","title":"x","status":502}"#).unwrap();
        assert!(!problem.says_not_executed());
        assert_eq!(problem.name(), "about:blank");
    }

    #[test]
    fn the_mark_for_the_layer_agrees_with_the_body() {
        let problem = Problem::new(StatusCode::CONFLICT, "x", "X");
        let mark = |problem: Problem| problem.into_response().extensions().get().copied();
        assert_eq!(mark(problem.clone()), None);
        assert_eq!(mark(problem.not_executed()), Some(Recording::NotExecuted));
    }

    #[test]
    fn carries_status_and_media_type() {
        let response = Problem::new(StatusCode::NOT_FOUND, "unknown", "Unknown").into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    }
}
