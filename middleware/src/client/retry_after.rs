//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// How long the answer asks to wait, `None` if it does not say so legibly.
///
/// A date is measured from the answer's own `Date`, so that this machine's clock does not matter; from `now` where there
/// is none. A date that has passed is no wait.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let date = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Some(then.duration_since(date.unwrap_or(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a field value"));
        }
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 12:00:00 GMT").expect("a date");
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_understood_and_nothing_else() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases = [
            ("0", seconds(0)),
            ("7", seconds(7)),
            (" 120 ", seconds(120)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Tue, 24 Nov 2026 12:00:30 GMT", seconds(30)),
            ("Tuesday, 24-Nov-26 12:00:30 GMT", seconds(30)),
            ("Tue Nov 24 12:00:30 2026", seconds(30)),
            ("Tue, 24 Nov 2026 11:00:00 GMT", seconds(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (value, expected) in cases {
            assert_eq!(of(&[("retry-after", value)]), expected, "{value:?}");
        }
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_date_counts_from_the_servers_clock() {
        let fields = [("retry-after", "Tue, 24 Nov 2026 15:00:30 GMT"), ("date", "Tue, 24 Nov 2026 15:00:00 GMT")];
        assert_eq!(of(&fields), Some(Duration::from_secs(30)));
    }
}
