//! Which answers are recorded, by their status or by whatever the application looks at.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use http::response::Parts;

use crate::recording::Recording;

/// Judges an answer by its head.
type Judge = dyn Fn(&Parts) -> Recording + Send + Sync;

/// Which answers are recorded; [`RecordingPolicy::everything`] by default. The [`Recording`] that a handler puts into its
/// response's extensions always counts more.
///
/// | status | [`everything`](Self::everything) | [`stripe`](Self::stripe) | [`success_only`](Self::success_only) | [`retry_server_errors`](Self::retry_server_errors) |
/// |---|---|---|---|---|
/// | 101, 2xx | kept | kept | kept | kept |
/// | 401 | kept | released | released | kept |
/// | 408 | kept | kept | unknown | kept |
/// | 425, 429 | released | released | released | released |
/// | other 3xx, 4xx | kept | kept | released | kept |
/// | 5xx | kept | kept | released | released |
///
/// *Released* means that the next request with the key runs. A policy that releases more than the default does so by the
/// status alone, and **a failed answer may have had effects**: a 500 after the charge is charged again by the retry. Choose
/// such a policy only for handlers whose failures leave nothing behind, such as those that roll a transaction back.
///
/// No preset releases 408 (Request Timeout): a timeout inside this layer has cancelled the handler half-way. One that
/// answers with another status, 503 or 504 for instance, looks like any failure; give it 408, or judge by a closure.
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_idempotency::{IdempotencyLayer, Recording, RecordingPolicy, Scope, Secret, store::MemoryStore};
///
/// # fn main() -> Result<(), tower_idempotency::ConfigError> {
/// // A timeout is looked into by the resolver instead of being replayed.
/// let policy = RecordingPolicy::from_fn(|answer| match answer.status {
///     StatusCode::REQUEST_TIMEOUT => Recording::Unknown,
///     _ => RecordingPolicy::everything().judge(answer),
/// });
/// let (timed_out, ()) = Response::builder().status(408).body(()).unwrap().into_parts();
/// assert_eq!(policy.judge(&timed_out), Recording::Unknown);
///
/// let layer = IdempotencyLayer::new(MemoryStore::new(), Scope::shared(), Secret::random()?).recording(policy);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RecordingPolicy(Rule);

#[derive(Clone)]
enum Rule {
    Preset(Preset),
    Custom(Arc<Judge>),
}

#[derive(Clone, Copy, Debug)]
enum Preset {
    Everything,
    Stripe,
    SuccessOnly,
    RetryServerErrors,
}

impl RecordingPolicy {
    /// Every answer is an outcome and is kept, failures too, except 425 (Too Early) and 429 (Too Many Requests), which say
    /// that nothing was executed. The default.
    pub const fn everything() -> Self {
        Self(Rule::Preset(Preset::Everything))
    }

    /// As Stripe documents it for its API: whatever a request came to is kept, "including `500` errors", once its execution
    /// has begun. 401 and 429 come before that and are released, and so is 425.
    ///
    /// A validation that fails before anything is executed is not kept there either, but its status is that of a failed
    /// payment: let the handler say [`Recording::NotExecuted`].
    pub const fn stripe() -> Self {
        Self(Rule::Preset(Preset::Stripe))
    }

    /// Only successes (2xx, and 101 as a tombstone) are kept; every other answer releases the key, and the retry **runs
    /// again**. Choose it only where a failed answer leaves no effects behind.
    ///
    /// 408 makes the key indeterminate: what was cancelled half-way is neither a success nor known to have done nothing.
    /// gRPC answers are 200 whatever their `grpc-status`, and so are kept.
    pub const fn success_only() -> Self {
        Self(Rule::Preset(Preset::SuccessOnly))
    }

    /// As [`everything`](Self::everything), but 5xx releases the key too, and the retry **runs again**. Choose it only where
    /// a server error leaves no effects behind; a 502 or 504 of a downstream says nothing of the kind.
    pub const fn retry_server_errors() -> Self {
        Self(Rule::Preset(Preset::RetryServerErrors))
    }

    /// Whatever the closure makes of status, header fields and extensions. The body has not been read yet.
    ///
    /// A panic in it is a panic of the handler.
    pub fn from_fn(judge: impl Fn(&Parts) -> Recording + Send + Sync + 'static) -> Self {
        Self(Rule::Custom(Arc::new(judge)))
    }

    /// What this policy does with an answer; the handler's word in the extensions is not asked.
    pub fn judge(&self, answer: &Parts) -> Recording {
        match &self.0 {
            Rule::Preset(preset) => preset.judge(answer.status),
            Rule::Custom(judge) => judge(answer),
        }
    }

    /// What is done with an answer: the handler's word, or else this policy's.
    pub(crate) fn verdict(&self, answer: &Parts) -> Recording {
        answer.extensions.get().copied().unwrap_or_else(|| self.judge(answer))
    }
}

impl Preset {
    fn judge(self, status: StatusCode) -> Recording {
        let kept = match self {
            Self::Everything => true,
            Self::Stripe => status != StatusCode::UNAUTHORIZED,
            Self::SuccessOnly => status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS,
            Self::RetryServerErrors => !status.is_server_error(),
        };
        match status {
            StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Recording::NotExecuted,
            _ if kept => Recording::Keep,
            StatusCode::REQUEST_TIMEOUT => Recording::Unknown,
            _ => Recording::NotExecuted,
        }
    }
}

impl Default for RecordingPolicy {
    fn default() -> Self {
        Self::everything()
    }
}

impl fmt::Debug for RecordingPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Preset(preset) => write!(f, "RecordingPolicy({preset:?})"),
            Rule::Custom(_) => f.write_str("RecordingPolicy(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Recording::{Keep, NotExecuted, Unknown};
    use http::Response;

    fn answer(status: u16) -> Parts {
        Response::builder().status(status).body(()).expect("a response").into_parts().0
    }

    #[test]
    fn the_presets_do_what_their_table_says() {
        let presets = [
            RecordingPolicy::everything(),
            RecordingPolicy::stripe(),
            RecordingPolicy::success_only(),
            RecordingPolicy::retry_server_errors(),
        ];
        let rows: [(&[u16], [Recording; 4]); 6] = [
            (&[101, 200, 201, 204], [Keep, Keep, Keep, Keep]),
            (&[401], [Keep, NotExecuted, NotExecuted, Keep]),
            (&[408], [Keep, Keep, Unknown, Keep]),
            (&[425, 429], [NotExecuted, NotExecuted, NotExecuted, NotExecuted]),
            (&[302, 400, 402, 403, 404, 409, 422], [Keep, Keep, NotExecuted, Keep]),
            (&[500, 502, 503, 504], [Keep, Keep, NotExecuted, NotExecuted]),
        ];
        for (statuses, expected) in rows {
            for status in statuses {
                let judged = presets.each_ref().map(|preset| preset.judge(&answer(*status)));
                assert_eq!(judged, expected, "{status}");
            }
        }
        assert_eq!(RecordingPolicy::default().judge(&answer(500)), Keep);
    }

    #[test]
    fn the_word_of_the_handler_counts_more_than_any_policy() {
        let mut said = answer(500);
        said.extensions.insert(Unknown);
        for policy in [RecordingPolicy::success_only(), RecordingPolicy::from_fn(|_| Recording::DoNotKeep)] {
            assert_eq!(policy.verdict(&said), Unknown);
        }
        said.extensions.insert(Keep);
        assert_eq!(RecordingPolicy::success_only().verdict(&said), Keep);
    }
}
