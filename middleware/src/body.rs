//! Bodies: what the inner service reads, what the client gets, and gathering one up to a limit.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

pin_project_lite::pin_project! {
    /// The request body that the inner service gets: the client's own for a request that passes through, otherwise the
    /// bytes that were digested.
    pub struct RequestBody<B: Body> {
        #[pin]
        inner: Either<B>,
    }
}

pin_project_lite::pin_project! {
    /// The response body that the client gets: the inner service's own, a recorded one, or the beginning of one that was
    /// too large to be recorded with the rest of the stream behind it.
    pub struct ResponseBody<B: Body> {
        #[pin]
        inner: Either<B>,
    }
}

pin_project_lite::pin_project! {
    #[project = EitherProj]
    enum Either<B: Body> {
        Passed { #[pin] body: B },
        Gathered { data: Option<Bytes>, trailers: Trailers },
        // Pinned in the heap, because it was read from before it moved here.
        Resumed { data: Option<Bytes>, rest: Pin<Box<B>> },
        Failed { data: Option<Bytes>, error: Option<B::Error> },
    }
}

/// Trailers. Hardly a message has any, so they are kept elsewhere: a map takes a hundred bytes, which would be moved about with each.
pub(crate) type Trailers = Option<Box<HeaderMap>>;

/// What was read of a body, and how that ended.
pub(crate) struct Gathered<E> {
    /// The data so far.
    pub(crate) data: Bytes,
    /// How it ended.
    pub(crate) end: End<E>,
}

/// How reading a body ended.
pub(crate) enum End<E> {
    /// All of it was read.
    Complete(Trailers),
    /// It is over the limit, or took too long; the rest is still in the body.
    Unfinished,
    /// It failed.
    Failed(E),
}

/// Reads `body` up to `limit` bytes. Nothing is read of a body that says beforehand that it is larger.
///
/// Cancel safety: what was read is lost.
pub(crate) async fn gather<B: Body<Data = Bytes>>(body: Pin<&mut B>, limit: usize) -> Gathered<B::Error> {
    let mut data = Data::default();
    let end = data.fill(body, limit).await;
    Gathered { data: data.finish(), end }
}

/// As [`gather`], but leaves off at a time, with what was read until then.
pub(crate) async fn gather_until<B: Body<Data = Bytes>>(
    body: Pin<&mut B>,
    limit: usize,
    until: Instant,
) -> Gathered<B::Error> {
    let mut data = Data::default();
    let end = timeout_at(until, data.fill(body, limit)).await.unwrap_or(End::Unfinished);
    Gathered { data: data.finish(), end }
}

/// Frames in one buffer; a body of one frame, the usual case, is not copied.
#[derive(Default)]
struct Data {
    first: Bytes,
    more: BytesMut,
    /// How long the body says that it is, within the limit. The buffer is made for it once instead of growing with each frame.
    announced: usize,
}

impl Data {
    /// Cancel safe: what was read is in `self`.
    async fn fill<B: Body<Data = Bytes>>(&mut self, mut body: Pin<&mut B>, limit: usize) -> End<B::Error> {
        match usize::try_from(body.size_hint().lower()) {
            Ok(announced) if announced <= limit => self.announced = announced,
            _ => return End::Unfinished,
        }
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(bytes)) => self.push(bytes),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok().map(Box::new),
                Err(error) => return End::Failed(error),
            }
            if self.len() > limit {
                return End::Unfinished;
            }
        }
        End::Complete(trailers)
    }

    fn push(&mut self, bytes: Bytes) {
        if self.len() == 0 {
            self.first = bytes;
            return;
        }
        if self.more.is_empty() {
            self.more.reserve(self.announced.max(self.first.len() + bytes.len()));
            self.more.extend_from_slice(&self.first);
        }
        self.more.extend_from_slice(&bytes);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.more.len())
    }

    fn finish(self) -> Bytes {
        if self.more.is_empty() { self.first } else { self.more.freeze() }
    }
}

fn some_data(data: Bytes) -> Option<Bytes> {
    Some(data).filter(|data| !data.is_empty())
}

impl<B: Body> RequestBody<B> {
    pub(crate) const fn passed(body: B) -> Self {
        Self { inner: Either::Passed { body } }
    }

    pub(crate) fn gathered(data: Bytes, trailers: Trailers) -> Self {
        Self { inner: Either::Gathered { data: some_data(data), trailers } }
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) const fn passed(body: B) -> Self {
        Self { inner: Either::Passed { body } }
    }

    pub(crate) fn gathered(data: Bytes, trailers: Trailers) -> Self {
        Self { inner: Either::Gathered { data: some_data(data), trailers } }
    }

    /// What was gathered of `body`, and then as it ends.
    pub(crate) fn resumed(gathered: Gathered<B::Error>, body: Pin<Box<B>>) -> Self {
        let data = some_data(gathered.data);
        let inner = match gathered.end {
            End::Complete(trailers) => Either::Gathered { data, trailers },
            End::Unfinished => Either::Resumed { data, rest: body },
            End::Failed(error) => Either::Failed { data, error: Some(error) },
        };
        Self { inner }
    }
}

impl<B: Body<Data = Bytes>> Body for Either<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project() {
            EitherProj::Passed { body } => body.poll_frame(cx),
            EitherProj::Gathered { data, trailers } => {
                let data = data.take().map(Frame::data);
                Poll::Ready(data.or_else(|| trailers.take().map(|trailers| Frame::trailers(*trailers))).map(Ok))
            }
            EitherProj::Resumed { data, rest } => match data.take() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None => rest.as_mut().poll_frame(cx),
            },
            EitherProj::Failed { data, error } => {
                let data = data.take().map(|data| Ok(Frame::data(data)));
                Poll::Ready(data.or_else(|| error.take().map(Err)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed { body } => body.is_end_stream(),
            Self::Gathered { data, trailers } => data.is_none() && trailers.is_none(),
            Self::Resumed { data, rest } => data.is_none() && rest.is_end_stream(),
            Self::Failed { data, error } => data.is_none() && error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let len = |data: &Option<Bytes>| data.as_ref().map_or(0, |data| data.len() as u64);
        match self {
            Self::Passed { body } => body.size_hint(),
            // With an exact size hyper sends a content-length, after which HTTP/1.1 has no place for trailers.
            Self::Gathered { data, trailers: Some(_) } => shifted(&SizeHint::default(), len(data)),
            Self::Gathered { data, trailers: None } => SizeHint::with_exact(len(data)),
            Self::Resumed { data, rest } => shifted(&rest.size_hint(), len(data)),
            Self::Failed { .. } => SizeHint::default(),
        }
    }
}

fn shifted(hint: &SizeHint, by: u64) -> SizeHint {
    let mut shifted = SizeHint::new();
    shifted.set_lower(hint.lower().saturating_add(by));
    if let Some(upper) = hint.upper().and_then(|upper| upper.checked_add(by)) {
        shifted.set_upper(upper);
    }
    shifted
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An empty body, for layers outside that answer without asking: a timeout, CORS, a check of credentials.
impl<B: Body> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::gathered(Bytes::new(), None)
    }
}

impl<B: Body> std::fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestBody(..)")
    }
}

impl<B: Body> std::fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseBody(..)")
    }
}
