//! What matters of an answer for those who consider to ask again. Of a 409 that is a part of its body.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use http_body::Body;
use serde_json::Value;

use super::retry_after::retry_after;
use crate::body::{End, ResponseBody, gather};
use crate::headers::{IDEMPOTENCY_STATUS, IDEMPOTENT_REPLAYED};

/// `Stripe-Should-Retry: true` or `false`: the server's own word on whether to ask again.
const STRIPE_SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");

/// Problem documents are short; a longer body is none.
const PROBLEM_LIMIT: usize = 64 * 1024;

/// An answer, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// It was recorded; asking again gives the same.
    pub(super) replayed: bool,
    /// It ran without a store; asking again would run it again.
    pub(super) unprotected: bool,
    /// What the server says itself about asking again.
    pub(super) advice: Option<bool>,
    pub(super) retry_after: Option<Duration>,
    /// What a 409 is about, as far as it was looked at.
    pub(super) problem: Option<Problem>,
}

/// What a 409 is about: the last segment of its problem's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    InFlight,
    Indeterminate,
}

impl Answer {
    /// What the header says.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        Self {
            status,
            replayed: is(headers, &IDEMPOTENT_REPLAYED, "true"),
            unprotected: is(headers, &IDEMPOTENCY_STATUS, "unprotected"),
            advice: match () {
                () if is(headers, &STRIPE_SHOULD_RETRY, "true") => Some(true),
                () if is(headers, &STRIPE_SHOULD_RETRY, "false") => Some(false),
                () => None,
            },
            retry_after: retry_after(headers, now),
            problem: None,
        }
    }
}

/// How much of the body is to be read before the answer is judged; `None` if nothing.
pub(super) fn to_be_read(status: StatusCode, headers: &HeaderMap, limit: usize) -> Option<usize> {
    let problem = status == StatusCode::CONFLICT && is_json(headers);
    [problem.then_some(PROBLEM_LIMIT), (limit > 0).then_some(limit)].into_iter().flatten().max()
}

/// Reads as much of an answer as it takes to judge it, and puts that back. `limit` is what the caller wants to be read
/// of every answer.
///
/// An error is a reply that was lost on its way. Cancel safety: the answer is lost.
pub(super) async fn read<B>(
    response: Response<B>,
    limit: usize,
) -> Result<(Answer, Response<ResponseBody<B>>), B::Error>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = response.into_parts();
    let mut answer = Answer::of(parts.status, &parts.headers, SystemTime::now());
    let Some(limit) = to_be_read(parts.status, &parts.headers, limit) else {
        return Ok((answer, Response::from_parts(parts, ResponseBody::passed(body))));
    };
    let mut body = Box::pin(body);
    let gathered = gather(body.as_mut(), limit).await;
    if let End::Failed(error) = gathered.end {
        return Err(error);
    }
    if parts.status == StatusCode::CONFLICT {
        answer.problem = problem(&gathered.data);
    }
    let body = ResponseBody::resumed(gathered, body);
    Ok((answer, Response::from_parts(parts, body)))
}

fn problem(body: &[u8]) -> Option<Problem> {
    let problem: Value = serde_json::from_slice(body).ok()?;
    match problem.get("type")?.as_str()?.rsplit(['/', ':', '#']).next()? {
        "in-flight" => Some(Problem::InFlight),
        "indeterminate" => Some(Problem::Indeterminate),
        _ => None,
    }
}

fn is(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|field| field.as_bytes().trim_ascii().eq_ignore_ascii_case(value.as_bytes()))
}

/// `application/json`, or something that is written in it, like `application/problem+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().ends_with("json")
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    async fn of(status: u16, kind: &str, body: &str) -> (Option<Problem>, Bytes) {
        let body = Full::new(Bytes::from(body.to_owned()));
        let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(body);
        let (answer, response) = read(response.expect("a response"), 0).await.expect("a body that does not fail");
        (answer.problem, response.into_body().collect().await.expect("the same").to_bytes())
    }

    #[tokio::test]
    async fn the_last_segment_of_a_409s_type_counts_and_the_body_stays_whole() {
        const JSON: &str = "application/problem+json; charset=utf-8";
        let long = format!(r#"{{"type":"in-flight","detail":"{}"}}"#, "x".repeat(PROBLEM_LIMIT));
        let cases = [
            (409, JSON, r#"{"type":"https://example.com/problems/in-flight"}"#, Some(Problem::InFlight)),
            (409, JSON, r#"{"type":"urn:problem:indeterminate"}"#, Some(Problem::Indeterminate)),
            (409, "application/json", r#"{"type":"in-flight"}"#, Some(Problem::InFlight)),
            (409, JSON, r#"{"type":"https://example.com/not-in-flight"}"#, None),
            (409, JSON, r#"{"type":"https://example.com/not-replayable"}"#, None),
            (409, JSON, r#"{"type":7}"#, None),
            (409, JSON, "in-flight", None),
            (409, "text/plain", r#"{"type":"in-flight"}"#, None),
            (503, JSON, r#"{"type":"in-flight"}"#, None),
            (409, JSON, &long, None),
        ];
        for (status, kind, body, problem) in cases {
            assert_eq!(of(status, kind, body).await, (problem, Bytes::from(body.to_owned())), "{status} {kind} {body}");
        }
    }
}
