//! One logical call: its key, and the loop around its tries. The tower layer and the reqwest middleware share both.

use std::future::Future;

use http::{Extensions, HeaderMap, Method};
use tokio::time::{Instant, sleep, timeout_at};

use super::BoxError;
use super::answer::Answer;
use super::failure::Failure;
use super::gave_up::{CallError, GaveUp};
use super::key::{KeyForm, RequestKey};
use super::policy::{Course, Step};
use crate::downstream::Downstream;
use crate::key::{IDEMPOTENCY_KEY, KeyError, KeySyntax};
use crate::service::is_safe;

/// One way to send a request, as often as it takes.
pub(super) trait Try: Send {
    /// What an answer is.
    type Response: Send;

    /// Sends the request once more.
    fn send(&mut self) -> impl Future<Output = Tried<Self::Response>> + Send;
}

/// What became of a try.
#[derive(Debug)]
pub(super) enum Tried<R> {
    Answered(Answer, R),
    Failed(Failure, BoxError),
}

/// A try that took too long. It may have been executed.
#[derive(Debug, thiserror::Error)]
#[error("no answer within the time of a try")]
struct TimedOut;

/// Sends until there is a final answer, or gives up.
///
/// Cancel safety: dropping the future drops the try that is under way; what it did is unknown.
pub(super) async fn drive<T: Try>(
    key: &RequestKey,
    mut course: Course,
    client: &mut T,
) -> Result<T::Response, CallError> {
    loop {
        let until = course.begin(Instant::now());
        let tried = timeout_at(until, client.send()).await;
        let (step, source) = match tried.unwrap_or_else(|_| Tried::Failed(Failure::Unknown, TimedOut.into())) {
            Tried::Answered(answer, response) => match course.answered(answer, Instant::now(), dice()) {
                None => return Ok(response),
                Some(step) => (step, None),
            },
            Tried::Failed(failure, error) => (course.failed(failure, Instant::now(), dice()), Some(error)),
        };
        match step {
            Step::Wait(pause) => {
                tracing::debug!(tries = course.tries, ?pause, last = ?course.last, "a call is tried again");
                sleep(pause).await;
            }
            Step::GiveUp(reason) => return Err(GaveUp::new(key.clone(), &course, reason, source).into()),
        }
    }
}

/// Evenly from 0 to 1. Without random bytes a pause is merely not spread.
fn dice() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

/// The key of a request, put into its header; `None` for a safe request that carries none.
///
/// The caller's own comes first - from the extensions, of a handler's step, from the header - and only then a new one.
pub(super) fn key_of(
    method: &Method,
    headers: &mut HeaderMap,
    extensions: &Extensions,
    form: KeyForm,
) -> Result<Option<RequestKey>, CallError> {
    let own = extensions.get::<RequestKey>().cloned();
    let own = match (own, extensions.get::<Downstream>()) {
        (None, Some(downstream)) => Some(RequestKey::new(downstream.key())?),
        (own, _) => own,
    };
    let present = match KeySyntax::Lenient.parse(headers) {
        Ok(present) => Some(RequestKey::from(present)),
        Err(KeyError::Missing) => None,
        Err(_) => return Err(CallError::KeyConflict),
    };
    match (own, present) {
        (Some(own), Some(present)) if own != present => Err(CallError::KeyConflict),
        // As the caller spelled it.
        (_, Some(present)) => Ok(Some(present)),
        (None, None) if is_safe(method) => Ok(None),
        (own, None) => {
            let key = own.map_or_else(RequestKey::v4, Ok)?;
            headers.insert(IDEMPOTENCY_KEY, key.to_value(form));
            Ok(Some(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a `POST` with these fields, and how it is spelled.
    fn keyed(fields: &[&'static str], extension: Option<&str>) -> Result<(String, String), CallError> {
        let (mut headers, mut extensions) = (HeaderMap::new(), Extensions::new());
        for field in fields {
            headers.append(IDEMPOTENCY_KEY, http::HeaderValue::from_static(field));
        }
        if let Some(key) = extension {
            extensions.insert(RequestKey::new(key).expect("a key"));
        }
        let key = key_of(&Method::POST, &mut headers, &extensions, KeyForm::Quoted)?.expect("an unsafe method");
        Ok((key.as_str().to_owned(), headers[IDEMPOTENCY_KEY].to_str().expect("text").to_owned()))
    }

    #[test]
    fn the_callers_key_is_kept_as_it_is_spelled() {
        let is = |key: &str, spelled: &str| Some((key.to_owned(), spelled.to_owned()));
        assert_eq!(keyed(&[], Some("a")).ok(), is("a", "\"a\""));
        assert_eq!(keyed(&["a"], None).ok(), is("a", "a"));
        assert_eq!(keyed(&["\"a b\""], None).ok(), is("a b", "\"a b\""));
        assert_eq!(keyed(&["a"], Some("a")).ok(), is("a", "a"));
    }

    #[test]
    fn two_keys_are_a_conflict_and_so_is_one_that_is_none() {
        for (fields, extension) in [(&["b"][..], Some("a")), (&["a", "a"], None), (&["a,b"], None), (&[""], Some("a"))]
        {
            assert!(matches!(keyed(fields, extension), Err(CallError::KeyConflict)), "{fields:?}");
        }
    }

    #[test]
    fn a_new_key_is_made_for_unsafe_methods_alone() {
        let (key, spelled) = keyed(&[], None).expect("random bytes");
        assert_eq!(spelled, format!("\"{key}\""));
        let mut headers = HeaderMap::new();
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            let key = key_of(&method, &mut headers, &Extensions::new(), KeyForm::Quoted);
            assert!(matches!(key, Ok(None)), "{method}");
        }
        assert!(headers.is_empty());
    }
}
