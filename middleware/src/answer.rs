//! The handler's answer: for the client as it is, for the store as much of it as is recorded.

use std::pin::Pin;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use idempotency_store::{Answer, Completion};
use tokio::time::Instant;

use crate::body::{End, Gathered, ResponseBody, gather_until};
use crate::headers::{AllowList, strip_own};
use crate::recorded::{self, NotKept};
use crate::recording::Recording;
use crate::settings::Settings;

/// How much of an answer is read before it is recorded, and until when.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// Bytes of the body.
    pub(crate) limit: usize,
    /// The end of the maximal execution: what is not complete by then is a stream.
    pub(crate) until: Instant,
}

/// A response whose body was read as far as it can be recorded.
pub(crate) struct HandlerAnswer<RB: Body> {
    pub(crate) parts: Parts,
    pub(crate) recording: Recording,
    gathered: Gathered<RB::Error>,
    body: Pin<Box<RB>>,
}

impl<RB: Body<Data = Bytes>> HandlerAnswer<RB> {
    /// Reads a body that is to be kept as long as there is patience; nothing of a stream, whose end may never come.
    pub(crate) async fn gather(mut parts: Parts, body: RB, recording: Recording, patience: Patience) -> Self {
        strip_own(&mut parts.headers);
        let mut body = Box::pin(body);
        let gathered = if recording.is_kept() && !is_stream(&parts) {
            gather_until(body.as_mut(), patience.limit, patience.until).await
        } else {
            Gathered { data: Bytes::new(), end: End::Unfinished }
        };
        Self { parts, recording, gathered, body }
    }

    /// What is recorded, and for how long if not for the retention that the key was claimed with.
    pub(crate) fn to_record(&self, settings: &Settings) -> Completion {
        let (answer, retention) = match self.recording {
            Recording::KeepFor(retention) => (self.kept(&settings.allow_list), Some(retention)),
            Recording::Keep => (self.kept(&settings.allow_list), settings.retention),
            _ => (self.tombstone(), settings.retention),
        };
        Completion { answer, retention }
    }

    /// All of it, or a tombstone if the body is too large, a stream, or failed midway.
    fn kept(&self, allow_list: &AllowList) -> Answer {
        let End::Complete(trailers) = &self.gathered.end else {
            return self.tombstone();
        };
        let trailers = trailers.as_deref().map(AllowList::filter_trailers);
        let allows = |name: &_| allow_list.allows(name, trailers.is_some());
        let Parts { status, headers, .. } = &self.parts;
        let encoded = recorded::encode(*status, headers, allows, &self.gathered.data, trailers.as_ref());
        encoded.map_or_else(|_| self.tombstone(), Answer::Kept)
    }

    /// That there was an answer, and its status.
    fn tombstone(&self) -> Answer {
        Answer::NotKept(NotKept { status: self.parts.status }.encode())
    }

    /// What the client of this attempt gets: everything, and a failure of the body where it happened.
    pub(crate) fn into_response(self) -> Response<ResponseBody<RB>> {
        Response::from_parts(self.parts, ResponseBody::resumed(self.gathered, self.body))
    }
}

/// Server-sent events and upgraded connections.
fn is_stream(parts: &Parts) -> bool {
    const STREAM: &[u8] = b"text/event-stream";
    let essence = |value: &HeaderValue| {
        value.as_bytes().get(..STREAM.len()).is_some_and(|essence| essence.eq_ignore_ascii_case(STREAM))
    };
    parts.status == StatusCode::SWITCHING_PROTOCOLS || parts.headers.get(header::CONTENT_TYPE).is_some_and(essence)
}
