//! What makes two requests the same request.

use http::request::Parts;
use http::{HeaderName, Uri, header};
use idempotency_store::Fingerprint;

use crate::secret::{Framed, Secret};

/// How the body goes into a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum BodyDigest {
    /// As it is, into the keyed digest.
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
            framed.field(body);
        }),
        #[cfg(feature = "fast-fingerprint")]
        BodyDigest::Fast => secret.fast_fingerprint(|framed| {
            head(framed, parts, chosen);
            framed.count(body.len());
            framed.field(&secret.fast_digest(body));
        }),
    }
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

    /// Records outlive deployments: a fingerprint of one and the same request must not change.
    #[test]
    fn a_fingerprint_is_what_it_was() {
        let of = |how| format!("{:?}", of(Request::post("/pay?x=1").header("content-type", "text/plain"), "a", how));
        assert_eq!(of(BodyDigest::Keyed), "Fingerprint(b84f6fce..)");
        #[cfg(feature = "fast-fingerprint")]
        assert_eq!(of(BodyDigest::Fast), "Fingerprint(c323417e..)");
    }
}
