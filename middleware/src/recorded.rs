//! The recorded answer: what is kept of a response, and its bytes.
//!
//! Layout of version 1, all numbers little-endian: version (1 byte), status (2), number of header fields (2), number of
//! trailer fields plus one or zero if there are no trailers (2), then each field as name length (2), name, value length
//! (4), value; the rest is the body. The body comes last so that a replay slices it from the stored bytes without copying.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const VERSION: u8 = 1;

/// Answers seldom have more header fields.
const USUAL_FIELDS: usize = 64;

/// What a replay says of itself: that it is one, and when it was recorded. A map that grows for them costs more than all of its
/// fields.
const ADDED_FIELDS: usize = 2;

/// A response as it is recorded: status, ordered header fields with repetitions, body and trailers.
///
/// ```
/// use http::{HeaderMap, HeaderValue, StatusCode, header};
/// use tower_idempotency::RecordedAnswer;
///
/// let mut headers = HeaderMap::new();
/// headers.append(header::LINK, HeaderValue::from_static("</a>; rel=next"));
/// headers.append(header::LINK, HeaderValue::from_static("</b>; rel=last"));
/// let answer = RecordedAnswer { status: StatusCode::CREATED, headers, body: b"\xff\x00"[..].into(), trailers: None };
///
/// let bytes = answer.encode()?;
/// assert_eq!(RecordedAnswer::decode(bytes)?, answer);
/// # Ok::<(), tower_idempotency::AnswerError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The status.
    pub status: StatusCode,
    /// The header fields that are replayed.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The trailers, if the response had any.
    pub trailers: Option<HeaderMap>,
}

/// Bytes that are not a recorded answer, or an answer that has no bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The answer was written by a version that this one does not know. Deploy that version everywhere first.
    #[error("a recorded answer of the unknown version {0}")]
    UnknownVersion(u8),
    /// The bytes end too early or contradict themselves.
    #[error("a damaged recorded answer")]
    Damaged,
    /// More than 65,534 fields, or a field too long to be recorded.
    #[error("an answer with too many or too long header fields")]
    TooManyFields,
}

impl RecordedAnswer {
    /// The answer's bytes.
    ///
    /// # Errors
    ///
    /// [`AnswerError::TooManyFields`] for what no HTTP server sends.
    pub fn encode(&self) -> Result<Bytes, AnswerError> {
        encode(self.status, &self.headers, |_| true, &self.body, self.trailers.as_ref())
    }

    /// The answer of these bytes; its body and header values share them.
    ///
    /// # Errors
    ///
    /// [`AnswerError`] for bytes that [`RecordedAnswer::encode`] did not make.
    pub fn decode(mut bytes: Bytes) -> Result<Self, AnswerError> {
        version(&mut bytes)?;
        let status = status(&mut bytes)?;
        let headers = u16_le(&mut bytes)?;
        let trailers = u16_le(&mut bytes)?.checked_sub(1);
        let headers = take_fields(&mut bytes, headers)?;
        let trailers = trailers.map(|trailers| take_fields(&mut bytes, trailers)).transpose()?;
        Ok(Self { status, headers, body: bytes, trailers })
    }
}

/// The bytes of an answer, with those of its header fields that are recorded: in their order and with repetitions.
pub(crate) fn encode(
    status: StatusCode,
    headers: &HeaderMap,
    is_recorded: impl Fn(&HeaderName) -> bool,
    body: &[u8],
    trailers: Option<&HeaderMap>,
) -> Result<Bytes, AnswerError> {
    // Gone through twice, for their length and to write them down: gathering them in a map costs more.
    let recorded = || headers.iter().filter(|(name, _)| is_recorded(name));
    let (fields, len) = recorded().fold((0, 0), |(fields, len), field| (fields + 1, len + field_len(field)));
    let trailers_len = trailers.map_or(0, |trailers| trailers.iter().map(field_len).sum());
    let mut out = BytesMut::with_capacity(7 + len + trailers_len + body.len());
    out.put_u8(VERSION);
    out.put_u16_le(status.as_u16());
    out.put_u16_le(count(fields)?);
    out.put_u16_le(trailers.map_or(Ok(0), |trailers| count(trailers.len() + 1))?);
    put_fields(&mut out, recorded())?;
    trailers.map_or(Ok(()), |trailers| put_fields(&mut out, trailers.iter()))?;
    out.put_slice(body);
    Ok(out.freeze())
}

fn field_len((name, value): (&HeaderName, &HeaderValue)) -> usize {
    6 + name.as_str().len() + value.len()
}

impl std::fmt::Debug for RecordedAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordedAnswer({}, {} fields, {} bytes)", self.status, self.headers.len(), self.body.len())
    }
}

/// The note of a tombstone: the work is done, its answer was not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotKept {
    /// The status that the first client got.
    pub(crate) status: StatusCode,
}

impl NotKept {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(3);
        out.put_u8(VERSION);
        out.put_u16_le(self.status.as_u16());
        out.freeze()
    }

    pub(crate) fn decode(mut note: &[u8]) -> Result<Self, AnswerError> {
        version(&mut note)?;
        Ok(Self { status: status(&mut note)? })
    }
}

fn count(fields: usize) -> Result<u16, AnswerError> {
    u16::try_from(fields).map_err(|_| AnswerError::TooManyFields)
}

fn put_fields<'a>(
    out: &mut BytesMut,
    fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Result<(), AnswerError> {
    for (name, value) in fields {
        let name = name.as_str().as_bytes();
        out.put_u16_le(count(name.len())?);
        out.put_slice(name);
        out.put_u32_le(u32::try_from(value.len()).map_err(|_| AnswerError::TooManyFields)?);
        out.put_slice(value.as_bytes());
    }
    Ok(())
}

fn version(bytes: &mut impl Buf) -> Result<(), AnswerError> {
    match bytes.try_get_u8() {
        Ok(VERSION) => Ok(()),
        Ok(other) => Err(AnswerError::UnknownVersion(other)),
        Err(_) => Err(AnswerError::Damaged),
    }
}

fn status(bytes: &mut impl Buf) -> Result<StatusCode, AnswerError> {
    StatusCode::from_u16(u16_le(bytes)?).map_err(|_| AnswerError::Damaged)
}

fn u16_le(bytes: &mut impl Buf) -> Result<u16, AnswerError> {
    bytes.try_get_u16_le().map_err(|_| AnswerError::Damaged)
}

fn take_fields(bytes: &mut Bytes, number: u16) -> Result<HeaderMap, AnswerError> {
    // No room is made for fields that need not be there, but for those that a replay adds.
    let mut fields = HeaderMap::with_capacity(usize::from(number).min(USUAL_FIELDS) + ADDED_FIELDS);
    let mut last = None;
    for _ in 0..number {
        let name = usize::from(u16_le(bytes)?);
        let name = HeaderName::from_lowercase(&take(bytes, name)?).map_err(|_| AnswerError::Damaged)?;
        let value = bytes.try_get_u32_le().map_err(|_| AnswerError::Damaged)?;
        let value = take(bytes, usize::try_from(value).map_err(|_| AnswerError::Damaged)?)?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| AnswerError::Damaged)?;
        let is_repeated = fields.try_append(name.clone(), value).map_err(|_| AnswerError::TooManyFields)?;
        // Fields of one name stand together; apart they would be replayed in another order than they were recorded in.
        if is_repeated && last.as_ref() != Some(&name) {
            return Err(AnswerError::Damaged);
        }
        last = Some(name);
    }
    Ok(fields)
}

fn take(bytes: &mut Bytes, len: usize) -> Result<Bytes, AnswerError> {
    if len > bytes.len() {
        return Err(AnswerError::Damaged);
    }
    Ok(bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> RecordedAnswer {
        let mut headers = HeaderMap::new();
        for (name, value) in [("link", &b"1"[..]), ("x-raw", b"\xe9\xff"), ("link", b"2"), ("content-type", b"")] {
            let value = HeaderValue::from_bytes(value).expect("a legal value");
            headers.append(HeaderName::from_static(name), value);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let body = Bytes::from_static(b"\x00\xff{}");
        RecordedAnswer { status: StatusCode::CREATED, headers, body, trailers: Some(trailers) }
    }

    #[test]
    fn what_is_left_out_changes_neither_the_order_nor_the_repetitions_of_the_rest() {
        let RecordedAnswer { status, headers, body, trailers } = answer();
        let kept = |name: &HeaderName| name != "x-raw";
        let bytes = encode(status, &headers, kept, &body, trailers.as_ref()).expect("encodes");
        let back = RecordedAnswer::decode(bytes).expect("decodes");
        let fields: Vec<_> = back.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("link", &b"1"[..]), ("link", b"2"), ("content-type", b"")]);
        assert_eq!((back.status, back.body, back.trailers), (status, body, trailers));
    }

    #[test]
    fn what_is_recorded_comes_back_equal_and_in_order() {
        let bytes = answer().encode().expect("encodes");
        let back = RecordedAnswer::decode(bytes).expect("decodes");
        assert_eq!(back, answer());
        let fields: Vec<_> = back.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let expected: [(&str, &[u8]); 4] =
            [("link", b"1"), ("link", b"2"), ("x-raw", b"\xe9\xff"), ("content-type", b"")];
        assert_eq!(fields, expected);
        let empty_trailers = RecordedAnswer { trailers: Some(HeaderMap::new()), ..answer() };
        assert_eq!(RecordedAnswer::decode(empty_trailers.encode().expect("encodes")), Ok(empty_trailers));
        let none = RecordedAnswer { trailers: None, body: Bytes::new(), headers: HeaderMap::new(), ..answer() };
        assert_eq!(RecordedAnswer::decode(none.encode().expect("encodes")), Ok(none));
    }

    #[test]
    fn the_body_is_sliced_not_copied() {
        let bytes = answer().encode().expect("encodes");
        let end = bytes.as_ptr_range().end;
        let back = RecordedAnswer::decode(bytes).expect("decodes");
        assert_eq!(back.body.as_ptr_range().end, end);
    }

    #[test]
    fn damaged_bytes_are_refused_or_harmless() {
        let bytes = answer().encode().expect("encodes");
        let head = bytes.len() - answer().body.len();
        for end in 0..head {
            assert!(RecordedAnswer::decode(bytes.slice(..end)).is_err(), "{end} bytes of {head} were accepted");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                let _ = RecordedAnswer::decode(flipped.into());
            }
        }
        assert_eq!(RecordedAnswer::decode(Bytes::from_static(b"\x02")), Err(AnswerError::UnknownVersion(2)));
        assert_eq!(NotKept::decode(b"\x01\x01"), Err(AnswerError::Damaged));
    }

    #[test]
    fn what_is_written_otherwise_is_damage() {
        let field = |name: &[u8], value: &[u8]| {
            let value_len = u32::try_from(value.len()).expect("short");
            [&u16::try_from(name.len()).expect("short").to_le_bytes(), name, &value_len.to_le_bytes(), value].concat()
        };
        let with = |fields: &[Vec<u8>]| {
            let number = u8::try_from(fields.len()).expect("few");
            RecordedAnswer::decode([&[1, 200, 0, number, 0, 0, 0], fields.concat().as_slice()].concat().into())
        };
        assert!(with(&[field(b"link", b"1"), field(b"link", b"2"), field(b"vary", b"")]).is_ok());
        assert_eq!(with(&[field(b"Link", b"1")]), Err(AnswerError::Damaged), "names are in lower case");
        let apart = [field(b"link", b"1"), field(b"vary", b""), field(b"link", b"2")];
        assert_eq!(with(&apart), Err(AnswerError::Damaged), "fields of one name stand together");
    }

    #[test]
    fn as_many_values_of_a_field_as_are_recorded_come_back() {
        let mut headers = HeaderMap::new();
        for _ in 0..30_000 {
            headers.append("link", HeaderValue::from_static("1"));
        }
        let answer = RecordedAnswer { headers, ..answer() };
        assert_eq!(RecordedAnswer::decode(answer.encode().expect("encodes")), Ok(answer));
    }

    /// Version 1, byte by byte. Records outlive deployments: this must decode for ever.
    #[test]
    fn version_1_is_what_it_was() {
        let golden = b"\x01\xc9\x00\x01\x00\x00\x00\x08\x00location\x02\x00\x00\x00/x{}";
        let answer = RecordedAnswer::decode(Bytes::from_static(golden)).expect("version 1");
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"{}"[..]));
        assert_eq!(answer.headers["location"], "/x");
        assert_eq!(answer.encode().expect("encodes"), &golden[..]);
        assert_eq!(NotKept::decode(b"\x01\xc8\x00"), Ok(NotKept { status: StatusCode::OK }));
    }
}
