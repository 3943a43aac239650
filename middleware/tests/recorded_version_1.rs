//! Recorded answers of version 1, byte by byte. Records outlive deployments: each of these must be read for ever (scenario 63).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower_idempotency::{AnswerError, RecordedAnswer};

fn fields(fields: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    map
}

/// Each kind of answer, with its bytes.
fn fixtures() -> Vec<(RecordedAnswer, &'static [u8])> {
    let answer = |status: u16, headers, body: &'static [u8], trailers| RecordedAnswer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::from_static(body),
        trailers,
    };
    vec![
        (answer(204, fields(&[]), b"", None), b"\x01\xcc\x00\x00\x00\x00\x00"),
        (
            answer(201, fields(&[("location", b"/x")]), b"{}", None),
            b"\x01\xc9\x00\x01\x00\x00\x00\x08\x00location\x02\x00\x00\x00/x{}",
        ),
        (
            answer(599, fields(&[("link", b"a"), ("link", b""), ("x-raw", b"\xe4\xff")]), b"\x00\xff", None),
            b"\x01\x57\x02\x03\x00\x00\x00\x04\x00link\x01\x00\x00\x00a\x04\x00link\x00\x00\x00\x00\
              \x05\x00x-raw\x02\x00\x00\x00\xe4\xff\x00\xff",
        ),
        (
            answer(200, fields(&[]), b"\0\0\0\0\x01m", Some(fields(&[("grpc-status", b"0")]))),
            b"\x01\xc8\x00\x00\x00\x02\x00\x0b\x00grpc-status\x01\x00\x00\x000\x00\x00\x00\x00\x01m",
        ),
        (answer(200, fields(&[]), b"m", Some(fields(&[]))), b"\x01\xc8\x00\x00\x00\x01\x00m"),
    ]
}

#[test]
fn version_1_is_these_bytes_for_ever() {
    for (answer, bytes) in fixtures() {
        assert_eq!(RecordedAnswer::decode(Bytes::from_static(bytes)).as_ref(), Ok(&answer));
        assert_eq!(answer.encode().unwrap(), bytes, "{answer:?}");
    }
}

#[test]
fn another_version_is_refused_whatever_follows() {
    for (_, bytes) in fixtures() {
        for version in (0..=u8::MAX).filter(|version| *version != 1) {
            let mut other = bytes.to_vec();
            other[0] = version;
            assert_eq!(RecordedAnswer::decode(other.into()), Err(AnswerError::UnknownVersion(version)));
        }
    }
}
