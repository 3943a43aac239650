//! What is done with the handler's answer.

use http::StatusCode;
use http::response::Parts;

/// What a handler says about its own answer, by putting this into the response's extensions.
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_idempotency::Recording;
///
/// // The amount was wrong; nothing was charged. The same key may be sent again with the same request.
/// let response = Response::builder()
///     .status(StatusCode::UNPROCESSABLE_ENTITY)
///     .extension(Recording::NotExecuted)
///     .body(())?;
/// assert_eq!(response.extensions().get(), Some(&Recording::NotExecuted));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Recording {
    /// Nothing was executed: the key is released, and the next request with it runs. Say this only if it is certain;
    /// it is the only way to a second run.
    NotExecuted,
}

/// What is told to the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Keep,
    Release,
}

/// Everything that a handler answered is kept, failures too: they are outcomes. Only what says that nothing was executed
/// is released: the handler's word, 425 (Too Early) and 429 (Too Many Requests).
///
/// Never 408: a timeout inside this layer has cancelled the handler half-way.
pub(crate) fn verdict(parts: &Parts) -> Verdict {
    let said = parts.extensions.get() == Some(&Recording::NotExecuted);
    match parts.status {
        _ if said => Verdict::Release,
        StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Verdict::Release,
        _ => Verdict::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    #[test]
    fn only_what_was_not_executed_is_released() {
        let of = |status: u16| {
            let (parts, ()) = Response::builder().status(status).body(()).expect("a response").into_parts();
            verdict(&parts)
        };
        for kept in [200, 201, 204, 302, 400, 402, 408, 409, 422, 500, 502, 503, 504] {
            assert_eq!(of(kept), Verdict::Keep, "{kept}");
        }
        for released in [425, 429] {
            assert_eq!(of(released), Verdict::Release, "{released}");
        }
    }

    #[test]
    fn the_word_of_the_handler_counts_more_than_the_status() {
        let mut response = Response::new(());
        response.extensions_mut().insert(Recording::NotExecuted);
        assert_eq!(verdict(&response.into_parts().0), Verdict::Release);
    }
}
