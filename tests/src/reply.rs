//! An answer with every byte that a test may compare.

use bytes::Bytes;
use reqwest::{RequestBuilder, StatusCode, Version};
use serde_json::Value;

use crate::within;

/// A whole answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The header fields in their order, repeated ones included, without `date`, which is each answer's own.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// The version of HTTP that it came by.
    pub version: Version,
}

/// Sends a request and reads the whole answer.
pub async fn reply(request: RequestBuilder) -> Reply {
    try_reply(request).await.expect("an answer")
}

/// Sends a request and reads the whole answer, if one comes.
pub async fn try_reply(request: RequestBuilder) -> reqwest::Result<Reply> {
    within("an answer", async {
        let response = request.send().await?;
        let (status, version) = (response.status(), response.version());
        let field = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_owned())
        };
        let headers = response.headers().iter().map(field).filter(|(name, _)| name != "date").collect();
        Ok(Reply { status, headers, body: response.bytes().await?, version })
    })
    .await
}

impl Reply {
    /// The values of a header field, in their order.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of a header field that occurs at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} occurs {} times", values.len());
        values.first().map(|value| std::str::from_utf8(value).expect("text"))
    }

    /// Whether it says that it is a recorded answer.
    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last segment of the problem's type: the rejection's name.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        let name = problem["type"].as_str().expect("a type").rsplit('/').next();
        name.expect("a name").to_owned()
    }

    /// Fails unless it is this rejection.
    #[track_caller]
    pub fn expect_rejection(&self, status: u16, name: &str) {
        assert_eq!(self.status.as_u16(), status, "not {status} {name}: {self:?}");
        assert_eq!(self.problem(), name);
        assert!(!self.is_replay(), "a rejection is no replay: {self:?}");
    }

    /// Fails unless it is `first` again: same status and body, same fields but for `lost` ones, the mark, and the time.
    #[track_caller]
    pub fn expect_replay_of(&self, first: &Self, lost: &[&str]) {
        assert!(self.is_replay(), "not marked as a replay: {self:?}");
        assert!(!first.is_replay(), "the first answer is marked as a replay: {first:?}");
        assert_eq!((self.status, &self.body), (first.status, &first.body));
        assert!(self.header("idempotency-recorded-at").is_some(), "does not tell when it was recorded: {self:?}");
        assert_eq!(first.header("idempotency-recorded-at"), None, "a first answer was not recorded before");
        let kept = |reply: &Self, dropped: &[&str]| {
            let mut fields = reply.headers.clone();
            fields.retain(|(name, _)| !dropped.contains(&name.as_str()));
            fields
        };
        assert_eq!(kept(self, &["idempotent-replayed", "idempotency-recorded-at"]), kept(first, lost));
    }
}
