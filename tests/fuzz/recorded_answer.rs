//! The recorded answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower_idempotency::RecordedAnswer;

use crate::draw::Draw;

pub(crate) fn target(input: &[u8]) {
    arbitrary(input);
    written(Draw::from(input));
}

/// Bytes are refused, or are the ones that their answer is written as: two answers never have the same bytes, and no answer
/// comes back other than it was recorded.
fn arbitrary(input: &[u8]) {
    if let Ok(answer) = RecordedAnswer::decode(Bytes::copy_from_slice(input)) {
        let again = answer.encode().expect("it was written once");
        assert_eq!(again.escape_ascii().to_string(), input.escape_ascii().to_string());
    }
}

/// What is recorded comes back equal and in order.
fn written(mut draw: Draw<'_>) {
    let Ok(status) = StatusCode::from_u16(u16::from_be_bytes(draw.array())) else { return };
    let headers = fields(&mut draw);
    let trailers = (draw.byte() % 2 == 1).then(|| fields(&mut draw));
    let answer = RecordedAnswer { status, headers, body: Bytes::copy_from_slice(draw.rest()), trailers };
    let back = RecordedAnswer::decode(answer.encode().expect("few and short fields")).expect("decodes");
    assert_eq!(back, answer);
    assert!(back.headers.iter().eq(answer.headers.iter()), "the order of fields was lost");
}

fn fields(draw: &mut Draw<'_>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for _ in 0..draw.byte() % 8 {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(draw.bytes()), HeaderValue::from_bytes(draw.bytes())) {
            fields.append(name, value);
        }
    }
    fields
}
