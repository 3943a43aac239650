//! Header fields: which of them are recorded, and the ones that this layer adds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::ConfigError;

/// `Idempotent-Replayed: true` marks an answer that was recorded by an earlier request.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// `Idempotency-Recorded-At` tells in a replay when the first run's answer was recorded, on the store's clock: an HTTP date (RFC
/// 9110, section 5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`. First answers do not carry it.
pub const IDEMPOTENCY_RECORDED_AT: HeaderName = HeaderName::from_static("idempotency-recorded-at");

/// `Idempotency-Status: unrecorded` marks an answer that could not be recorded in time: a retry may find it, or may be
/// told that the outcome is unknown. `Idempotency-Status: unprotected` marks one whose request ran without a store, on a
/// route that [fails open](crate::OnUnavailable::FailOpen): a retry may run again.
pub const IDEMPOTENCY_STATUS: HeaderName = HeaderName::from_static("idempotency-status");

pub(crate) const REPLAYED: HeaderValue = HeaderValue::from_static("true");
pub(crate) const UNRECORDED: HeaderValue = HeaderValue::from_static("unrecorded");
pub(crate) const UNPROTECTED: HeaderValue = HeaderValue::from_static("unprotected");

/// Recorded besides everything that begins with `content-`. A gRPC answer without a body carries its status in the header.
const RECORDED: [HeaderName; 10] = [
    header::LOCATION,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LINK,
    header::RETRY_AFTER,
    header::CACHE_CONTROL,
    header::VARY,
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// Fields of one connection (RFC 9110, section 7.6.1), one moment, one server or one trace, credentials and challenges, and
/// those that this layer sets by itself.
const NEVER: [&str; 25] = [
    "age",
    "authentication-info",
    "authorization",
    "connection",
    "cookie",
    "date",
    "idempotency-recorded-at",
    "idempotency-status",
    "idempotent-replayed",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "set-cookie2",
    "te",
    "traceparent",
    "traceresponse",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
];

/// The header fields that are part of a recorded answer: an allow-list, so that cookies, credentials and trace ids of the
/// first client never reach another.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowList {
    own: Vec<HeaderName>,
    cookies: bool,
}

impl AllowList {
    /// Adds one of the application's own fields.
    pub(crate) fn add(&mut self, name: HeaderName) -> Result<(), ConfigError> {
        if name == header::SET_COOKIE {
            return Err(ConfigError::SetCookie);
        }
        if NEVER.contains(&name.as_str()) {
            return Err(ConfigError::HeaderNotReplayable);
        }
        self.own.push(name);
        Ok(())
    }

    /// Adds `set-cookie`.
    pub(crate) fn add_cookies(&mut self) {
        self.cookies = true;
    }

    /// Whether a field is recorded. With trailers, the field that announces them belongs to the answer.
    pub(crate) fn allows(&self, name: &HeaderName, with_trailers: bool) -> bool {
        let usual = name.as_str().starts_with("content-") || RECORDED.contains(name);
        let chosen = self.own.contains(name) || (self.cookies && name == header::SET_COOKIE);
        usual || chosen || (with_trailers && name == header::TRAILER)
    }

    /// The trailers that are recorded: all that a trailer may be (RFC 9110, section 6.5.1), and no way around the list.
    pub(crate) fn filter_trailers(trailers: &HeaderMap) -> HeaderMap {
        select(trailers, |name| name != header::SET_COOKIE && !NEVER.contains(&name.as_str()))
    }
}

/// Takes out the fields that are this layer's to say; a proxied answer may bring them from elsewhere.
pub(crate) fn strip_own(headers: &mut HeaderMap) {
    let own = [IDEMPOTENT_REPLAYED, IDEMPOTENCY_RECORDED_AT, IDEMPOTENCY_STATUS];
    // Most answers have a few fields, so looking at each is less work than hashing three names.
    if headers.keys().any(|name| own.contains(name)) {
        *headers = select(headers, |name| !own.contains(name));
    }
}

/// A time as HTTP writes it, in whole seconds.
pub(crate) fn http_date(time: SystemTime) -> String {
    // The last second of the year 9999, which the format cannot go beyond; only a broken record says more.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST))
}

/// The fields of some names, in their order, which removing the others one by one would not keep.
fn select(headers: &HeaderMap, selects: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let selected = headers.iter().filter(|(name, _)| selects(name));
    selected.map(|(name, value)| (name.clone(), value.clone())).fold(HeaderMap::new(), |mut kept, (name, value)| {
        kept.append(name, value);
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allowed_fields_are_recorded() {
        let mut list = AllowList::default();
        list.add(HeaderName::from_static("x-own")).expect("allowed");
        for name in ["link", "content-type", "x-own"] {
            assert!(list.allows(&HeaderName::from_static(name), false), "{name}");
        }
        for name in ["set-cookie", "x-trace", "authorization", "trailer"] {
            assert!(!list.allows(&HeaderName::from_static(name), false), "{name}");
        }
        assert!(list.allows(&header::TRAILER, true));
    }

    #[test]
    fn a_date_is_an_http_date_whatever_the_time() {
        assert_eq!(http_date(UNIX_EPOCH + Duration::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        let absurd = [Duration::from_micros(u64::MAX), Duration::from_secs(253_402_300_800)];
        for absurd in absurd.map(|absurd| UNIX_EPOCH + absurd) {
            assert_eq!(http_date(absurd), "Fri, 31 Dec 9999 23:59:59 GMT");
        }
        assert_eq!(http_date(UNIX_EPOCH - Duration::from_secs(1)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn fields_of_a_connection_and_credentials_cannot_be_added() {
        for never in NEVER {
            let added = AllowList::default().add(HeaderName::from_static(never));
            assert_eq!(added, Err(ConfigError::HeaderNotReplayable), "{never}");
        }
    }

    #[test]
    fn cookies_are_added_by_their_own_name_only() {
        let cookies = HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static("a=b"))]);
        let mut list = AllowList::default();
        assert_eq!(list.add(header::SET_COOKIE), Err(ConfigError::SetCookie));
        assert!(!list.allows(&header::SET_COOKIE, false));
        list.add_cookies();
        assert!(list.allows(&header::SET_COOKIE, false));
        assert!(AllowList::filter_trailers(&cookies).is_empty(), "trailers carry no cookies");
    }
}
