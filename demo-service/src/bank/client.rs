//! How others talk to the bank: one method per route, and errors that say what may be concluded.

use std::time::Duration;

use http::StatusCode;
use reqwest::{RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tower_idempotency::{IDEMPOTENCY_FENCE, IDEMPOTENCY_KEY};

use super::card::SLOWEST;
use super::charge::{
    BANK_TIME, Charge, ChargeQuery, ChargeRequest, NOT_AFTER, Refund, RefundQuery, RefundRequest, Summary, Terms,
};
use crate::problem::Problem;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long to wait for an answer: the slowest card and its write, with room to spare.
const ANSWER: Duration = SLOWEST.saturating_add(Duration::from_secs(5));
/// Connections are given up before a bank that is started anew can have closed many of them.
const IDLE: Duration = Duration::from_secs(15);

/// The address of the bank cannot be used.
#[derive(Debug, Error)]
#[error("{url:?} is not a bank's address: {reason}; write it as http://127.0.0.1:3001")]
pub struct AddressError {
    url: String,
    reason: String,
}

/// A call that did not succeed, by what the caller may conclude from it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// There was no connection, so nothing was sent and nothing executed.
    #[error("the bank cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The bank says that it executed nothing, and why.
    #[error("the bank refused: {}", .0.message())]
    Refused(Problem),
    /// Sent, and no answer: it may have been executed, be executed now, or be executed yet. Ask by the key.
    #[error("the bank's reply was lost")]
    Lost(#[source] reqwest::Error),
    /// Answered with something that does not say whether it was executed. Ask by the key.
    #[error("the bank's answer with status {0} leaves open whether it executed")]
    Unclear(StatusCode),
}

impl CallError {
    /// Whether it is certain that nothing was executed.
    pub fn is_not_executed(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused(_))
    }
}

/// What the ledger shows, and the bank's clock from just before it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// What was found, newest first.
    pub records: Vec<T>,
    /// Milliseconds since the Unix epoch, by the clock that judges [`NOT_AFTER`]. What is not among the records and has
    /// its `not_after` more than [`VOID_AFTER`](super::charge::VOID_AFTER) before this instant was not executed and
    /// never will be.
    pub as_of: u64,
}

/// A bank at an address. A clone shares its connections.
#[derive(Clone, Debug)]
pub struct BankClient {
    http: reqwest::Client,
    base: Url,
}

impl BankClient {
    /// A client of the bank at `http://host:port`. Nothing is sent yet.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        let refused = |reason: String| AddressError { url: url.to_owned(), reason };
        let base = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if base.scheme() != "http" || base.cannot_be_a_base() {
            return Err(refused("its scheme is not http".to_owned()));
        }
        // A repeated request is a repeated charge, so nothing below this line may repeat one.
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .pool_idle_timeout(IDLE)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self { http, base })
    }

    /// Where the bank is.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// `POST /charges`.
    pub async fn charge(&self, request: &ChargeRequest, terms: &Terms) -> Result<Charge, CallError> {
        read(send(with_terms(self.http.post(self.at(&["charges"])).json(request), terms)).await?).await
    }

    /// `POST /charges/{id}/refunds`.
    pub async fn refund(&self, charge: &str, request: &RefundRequest, terms: &Terms) -> Result<Refund, CallError> {
        let url = self.at(&["charges", charge, "refunds"]);
        read(send(with_terms(self.http.post(url).json(request), terms)).await?).await
    }

    /// `GET /charges`.
    pub async fn charges(&self, query: &ChargeQuery) -> Result<Found<Charge>, CallError> {
        self.find(&["charges"], query).await
    }

    /// `GET /refunds`.
    pub async fn refunds(&self, query: &RefundQuery) -> Result<Found<Refund>, CallError> {
        self.find(&["refunds"], query).await
    }

    /// `GET /charges/summary`.
    pub async fn summary(&self) -> Result<Summary, CallError> {
        read(send(self.http.get(self.at(&["charges", "summary"]))).await?).await
    }

    /// `GET /healthz`: whether the bank answers.
    pub async fn healthz(&self) -> Result<(), CallError> {
        send(self.http.get(self.at(&["healthz"]))).await.map(drop)
    }

    async fn find<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &(impl Serialize + Sync),
    ) -> Result<Found<T>, CallError> {
        let response = send(self.http.get(self.at(path)).query(query)).await?;
        let time = response.headers().get(BANK_TIME);
        let time = time.and_then(|time| time.to_str().ok()?.parse().ok());
        let as_of = time.ok_or(CallError::Unclear(response.status()))?;
        Ok(Found { records: read(response).await?, as_of })
    }

    /// Segment by segment, so that an id with a slash in it stays one segment.
    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

fn with_terms(request: RequestBuilder, terms: &Terms) -> RequestBuilder {
    let headers = [
        (IDEMPOTENCY_KEY, terms.key.as_deref().map(quoted)),
        (IDEMPOTENCY_FENCE, terms.fence.map(|fence| fence.to_string())),
        (NOT_AFTER, terms.not_after.map(|millis| millis.to_string())),
    ];
    let present = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    present.fold(request, |request, (name, value)| request.header(name, value))
}

/// A string of a structured field (RFC 9651, section 3.3.3).
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', r"\\").replace('"', "\\\""))
}

async fn send(request: RequestBuilder) -> Result<Response, CallError> {
    let response = request.send().await.map_err(unanswered)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let problem = response.json::<Problem>().await.ok();
    let problem = problem.filter(Problem::says_not_executed);
    Err(problem.map_or(CallError::Unclear(status), CallError::Refused))
}

fn unanswered(error: reqwest::Error) -> CallError {
    // A request that cannot even be built (a header value with a line break) was not sent either.
    if error.is_connect() || error.is_builder() {
        return CallError::Unreachable(error);
    }
    CallError::Lost(error)
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, CallError> {
    response.json().await.map_err(CallError::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_with_an_example() {
        for url in ["", "bank", "127.0.0.1:3001", "https://127.0.0.1:3001", "mailto:bank"] {
            let error = BankClient::new(url).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:3001"), "{error}");
        }
    }

    #[test]
    fn an_id_stays_one_segment_under_any_base() {
        let client = BankClient::new("http://bank/base/").unwrap();
        let url = client.at(&["charges", "a/../b?c", "refunds"]);
        assert_eq!(url.as_str(), "http://bank/base/charges/a%2F..%2Fb%3Fc/refunds");
    }

    #[tokio::test]
    async fn nobody_listening_means_not_executed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = BankClient::new(&format!("http://{address}")).unwrap();
        let error = client.summary().await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
        assert!(error.is_not_executed());
    }
}
