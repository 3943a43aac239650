//! What a server answered, as the judge and the report see it. What a client does about it is the client's to know.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};

/// One complete answer, reduced to what the judge compares and the report counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status code.
    pub(crate) status: u16,
    /// What it means for the payment.
    pub(crate) meaning: Meaning,
    /// It carried `Idempotent-Replayed: true`.
    pub(crate) replayed: bool,
    /// It carried `Idempotency-Status: unrecorded`: the server warns that it may not be able to say this again.
    pub(crate) unrecorded: bool,
    /// The body, to the byte.
    pub(crate) body: Bytes,
}

/// What an answer means for the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// 201: paid.
    Paid,
    /// 402: the bank said no.
    Declined,
    /// 409 `in-flight`: somebody is at it.
    InFlight,
    /// 409 `indeterminate`: nobody knows.
    Indeterminate,
    /// 422 `key-reused`: another payment has this key.
    Mismatch,
    /// A status that says "later".
    Unavailable,
    /// Any other: another attempt would get the same.
    Refused,
}

/// How a payment ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client holds a 201.
    Paid,
    /// The client holds a 402.
    Declined,
    /// The client was told that nobody knows.
    Indeterminate,
    /// The client was told something that no retry can change.
    Refused,
    /// The client had no answer when its patience ended.
    GaveUp,
}

impl Answer {
    /// Reads an answer.
    pub(crate) fn read(response: &Response<Bytes>) -> Self {
        let (headers, body) = (response.headers(), response.body().clone());
        let replayed = is(headers, "idempotent-replayed", "true");
        Self {
            status: response.status().as_u16(),
            meaning: meaning(response.status(), headers, replayed, &body),
            replayed,
            unrecorded: is(headers, "idempotency-status", "unrecorded"),
            body,
        }
    }

    /// Whether it says what became of the payment, if only that nobody knows; not that it is still to come.
    pub(crate) fn settles(&self) -> bool {
        !matches!(self.meaning, Meaning::InFlight | Meaning::Unavailable)
    }

    /// How the payment ended for a client that asks no more after this answer.
    pub(crate) fn end(&self) -> End {
        match self.meaning {
            Meaning::Paid => End::Paid,
            Meaning::Declined => End::Declined,
            Meaning::Indeterminate => End::Indeterminate,
            Meaning::Mismatch | Meaning::Refused | Meaning::InFlight | Meaning::Unavailable => End::Refused,
        }
    }

    /// The last segment of the problem's `type`, or an excerpt of a body that is no problem.
    pub(crate) fn excerpt(&self) -> String {
        problem(&self.body).unwrap_or_else(|| String::from_utf8_lossy(&self.body).chars().take(80).collect())
    }
}

fn meaning(status: StatusCode, headers: &HeaderMap, replayed: bool, body: &[u8]) -> Meaning {
    let problem = || is_problem(headers).then(|| problem(body)).flatten();
    match status.as_u16() {
        201 => Meaning::Paid,
        402 => Meaning::Declined,
        409 => match problem().as_deref() {
            Some("in-flight") => Meaning::InFlight,
            Some("indeterminate") => Meaning::Indeterminate,
            _ => Meaning::Refused,
        },
        422 if problem().as_deref() == Some("key-reused") => Meaning::Mismatch,
        // A replayed failure is the recorded answer: it will be the answer for as long as the key is kept.
        408 | 425 | 429 | 500..=504 if !replayed => Meaning::Unavailable,
        _ => Meaning::Refused,
    }
}

fn is(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"))
}

fn problem(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    let name = problem.get("type")?.as_str()?.rsplit(['/', '#', ':']).next()?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Answer {
        let response = Response::builder().status(status);
        let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        Answer::read(&response.body(Bytes::from_static(body.as_bytes())).unwrap())
    }

    fn problem(status: u16, name: &str) -> Answer {
        let body = format!(r#"{{"type":"https://example.org/problems/{name}","status":{status}}}"#);
        answer(status, &[("content-type", "application/problem+json")], body.leak())
    }

    #[test]
    fn knows_what_settles_a_payment_and_how_it_ends() {
        for (answer, end) in [
            (answer(201, &[], "{}"), End::Paid),
            (answer(402, &[], "{}"), End::Declined),
            (problem(409, "indeterminate"), End::Indeterminate),
            (problem(409, "not-replayable"), End::Refused),
            (problem(422, "key-reused"), End::Refused),
            (answer(400, &[], ""), End::Refused),
            (answer(401, &[], ""), End::Refused),
            (answer(404, &[], ""), End::Refused),
        ] {
            assert_eq!((answer.settles(), answer.end()), (true, end), "{answer:?}");
        }
    }

    #[test]
    fn what_says_later_settles_nothing() {
        for status in [408, 425, 429, 500, 501, 502, 503, 504] {
            assert!(!answer(status, &[], "").settles(), "{status}");
        }
        assert!(!problem(409, "in-flight").settles());
    }

    #[test]
    fn a_recorded_failure_is_an_outcome() {
        assert!(answer(500, &[("idempotent-replayed", "true")], "").settles());
    }

    #[test]
    fn a_409_that_is_no_problem_document_is_nobodys_in_flight() {
        let body = r#"{"type":"https://example.org/in-flight"}"#;
        let plain = answer(409, &[("content-type", "application/json")], body);
        assert_eq!(plain.meaning, Meaning::Refused);
    }

    #[test]
    fn reads_the_headers_of_the_contract() {
        let answer = answer(503, &[("idempotency-status", "unrecorded")], "");
        assert!(answer.unrecorded);
        assert!(!answer.replayed);
    }
}
