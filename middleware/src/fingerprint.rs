//! What makes two requests the same request.

use http::request::Parts;
use http::{HeaderName, Uri, header};
use idempotency_store::Fingerprint;

use crate::framed::Framed;
use crate::secret::Secret;

/// How the body goes into a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum BodyDigest {
    /// As it is, into the keyed digest, or if it is long as a keyed digest of its own.
    #[default]
    Keyed,
    /// As its XXH3, with its length.
    #[cfg(feature = "fast-fingerprint")]
    Fast,
}

/// The digest of method, original path, query, content type, body and the chosen header fields.
pub(crate) fn fingerprint(
    secret: &Secret,
    parts: &Parts,
    chosen: &[HeaderName],
    body: &[u8],
    how: BodyDigest,
) -> Fingerprint {
    match how {
        BodyDigest::Keyed => secret.fingerprint(|framed| {
            head(framed, parts, chosen);
            keyed(framed, secret, body);
        }),
        #[cfg(feature = "fast-fingerprint")]
        BodyDigest::Fast => secret.fast_fingerprint(|framed| {
            head(framed, parts, chosen);
            framed.count(body.len());
            framed.field(&secret.fast_digest(body));
        }),
    }
}

/// The body, or from a kilobyte on its length and its digest.
///
/// BLAKE3 is fast where it digests many whole kilobytes at once, and it can only do so from its beginning on: behind the other fields,
/// 4 KiB take 2.3 times as long and 64 KiB 1.4 times.
fn keyed(framed: &mut Framed, secret: &Secret, body: &[u8]) {
    const SHORT: usize = 1024;
    if body.len() <= SHORT {
        return framed.field(body);
    }
    framed.count(body.len());
    framed.bytes(&secret.body_digest(body));
}

/// Everything but the body.
fn head(framed: &mut Framed, parts: &Parts, chosen: &[HeaderName]) {
    let uri = original_uri(parts);
    framed.field(parts.method.as_str().as_bytes());
    framed.field(uri.path().as_bytes());
    framed.optional(uri.query().map(str::as_bytes));
    for name in std::iter::once(&header::CONTENT_TYPE).chain(chosen) {
        let values = parts.headers.get_all(name);
        framed.count(values.iter().count());
        values.iter().for_each(|value| framed.field(value.as_bytes()));
    }
}

/// The URI that the client asked for. axum's `nest` strips its prefix from the request's own, so that two endpoints
/// would look alike.
pub(crate) fn original_uri(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = parts.extensions.get() {
        return uri;
    }
    &parts.uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn of(request: http::request::Builder, body: &str, how: BodyDigest) -> Fingerprint {
        let secret = Secret::new([7; 32]).expect("long enough");
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        fingerprint(&secret, &parts, &[HeaderName::from_static("x-version")], body.as_bytes(), how)
    }

    fn assert_every_part_counts(how: BodyDigest) {
        let of = |request, body: &str| of(request, body, how);
        let base = || Request::post("/pay?x=1").header("content-type", "text/plain");
        let same = of(base(), "a");
        assert_eq!(of(base().header("x-trace", "1"), "a"), same, "a field that was not chosen does not count");
        let others = [
            of(base(), "b"),
            of(base().method("PUT"), "a"),
            of(base().uri("/pay"), "a"),
            of(base().uri("/pay?x=2"), "a"),
            of(base().uri("/pay2?x=1"), "a"),
            of(base().header("content-type", "text/html"), "a"),
            of(Request::post("/pay?x=1"), "a"),
            of(base().header("x-version", "2"), "a"),
            of(base().uri("/pa?y"), "?x=1a"),
        ];
        assert!(others.iter().all(|other| *other != same));
    }

    #[test]
    fn every_part_of_the_request_counts() {
        assert_every_part_counts(BodyDigest::Keyed);
        #[cfg(feature = "fast-fingerprint")]
        assert_every_part_counts(BodyDigest::Fast);
    }

    #[test]
    fn a_digest_of_a_body_is_not_taken_for_a_body() {
        let secret = Secret::new([7; 32]).expect("long enough");
        let body = vec![b'a'; 4096];
        let mut digest = secret.body_digest(&body).to_vec();
        let (parts, ()) = Request::post("/pay").body(()).expect("a request").into_parts();
        let of = |body: &[u8]| fingerprint(&secret, &parts, &[], body, BodyDigest::Keyed);
        assert_ne!(of(&body), of(&digest));
        digest.splice(..0, 4096_u64.to_le_bytes());
        assert_ne!(of(&body), of(&digest));
        let mut other = body.clone();
        other[4095] = b'b';
        assert_ne!(of(&body), of(&other), "every byte of a long body counts");
        assert_ne!(of(&body), of(&body[1..]));
    }

    /// Records outlive deployments: a fingerprint of one and the same request must not change.
    #[test]
    fn a_fingerprint_is_what_it_was() {
        let request = || Request::post("/pay?x=1").header("content-type", "text/plain");
        let long = |len| format!("{:?}", of(request(), &"a".repeat(len), BodyDigest::Keyed));
        let of = |how| format!("{:?}", of(request(), "a", how));
        assert_eq!(of(BodyDigest::Keyed), "Fingerprint(b84f6fce..)");
        assert_eq!(long(1024), "Fingerprint(3153f191..)");
        assert_eq!(long(1025), "Fingerprint(954f3373..)");
        #[cfg(feature = "fast-fingerprint")]
        assert_eq!(of(BodyDigest::Fast), "Fingerprint(c323417e..)");
    }
}
