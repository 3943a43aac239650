//! The `Idempotency-Key` field: what a client may send, and the key that it means.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Item, Parser};

/// The request header field that carries the key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in bytes, without quotes and parameters.
pub const MAX_KEY_LEN: usize = 255;

/// Which spellings of a key are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum KeySyntax {
    /// A structured-field string, or the same characters bare: `"abc"` and `abc` are one key. The bare form is 1 to 255
    /// visible ASCII characters without commas, which is what most clients send today.
    #[default]
    Lenient,
    /// Only a structured-field string (RFC 9651, section 3.3.3), as draft-ietf-httpapi-idempotency-key-header-07
    /// asks in section 2.1.
    Strict,
}

/// The key that a client sent, without quotes, escapes and parameters. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// A key that can be sent in either form.
    #[cfg(feature = "client")]
    pub(crate) fn from_bare(key: &str) -> Result<Self, KeyError> {
        match key.len() {
            0 => Err(KeyError::Empty),
            1..=MAX_KEY_LEN if key.starts_with('"') => Err(KeyError::Charset),
            1..=MAX_KEY_LEN => bare(key.as_bytes()).map(Self),
            _ => Err(KeyError::TooLong),
        }
    }

    /// A key that is a digest in hexadecimal.
    #[cfg(feature = "client")]
    pub(crate) fn from_hex(digest: String) -> Self {
        Self(digest.into())
    }

    /// The key as the client means it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({} bytes)", self.0.len())
    }
}

/// Why the field is not a key. The text is fixed and never contains what the client sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no such field.
    #[error("The Idempotency-Key header field is missing.")]
    Missing,
    /// There are several fields.
    #[error("Send one Idempotency-Key header field, not several.")]
    Repeated,
    /// There is nothing in it.
    #[error("The Idempotency-Key is empty.")]
    Empty,
    /// It has more than [`MAX_KEY_LEN`] bytes.
    #[error("The Idempotency-Key is longer than 255 bytes.")]
    TooLong,
    /// It is neither of visible ASCII without commas nor a quoted string.
    #[error("The Idempotency-Key must be visible ASCII without commas, or a quoted string (RFC 9651, section 3.3.3).")]
    Charset,
    /// It is no quoted string, which [`KeySyntax::Strict`] asks for; or it begins like one and is none.
    #[error("The Idempotency-Key must be a quoted string (RFC 9651, section 3.3.3).")]
    NotAString,
}

impl KeySyntax {
    /// The key in a request's header, for those who read it without the layer.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; whether a [missing](KeyError::Missing) key is acceptable is the caller's business.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use tower_idempotency::{IDEMPOTENCY_KEY, KeyError, KeySyntax};
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(KeySyntax::Lenient.parse(&headers), Err(KeyError::Missing));
    /// headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("\"order-42\""));
    /// assert_eq!(KeySyntax::Lenient.parse(&headers)?.as_str(), "order-42");
    /// # Ok::<(), KeyError>(())
    /// ```
    pub fn parse(self, headers: &HeaderMap) -> Result<IdempotencyKey, KeyError> {
        let mut fields = headers.get_all(IDEMPOTENCY_KEY).iter();
        let field = fields.next().ok_or(KeyError::Missing)?;
        if fields.next().is_some() {
            return Err(KeyError::Repeated);
        }
        let value = trimmed(field);
        let quoted = value.first() == Some(&b'"');
        let key = match self {
            Self::Strict => structured(value)?,
            Self::Lenient if quoted => structured(value)?,
            Self::Lenient => bare(value)?,
        };
        match key.len() {
            0 => Err(KeyError::Empty),
            1..=MAX_KEY_LEN => Ok(IdempotencyKey(key)),
            _ => Err(KeyError::TooLong),
        }
    }
}

/// The field without optional white space around it (RFC 9110, section 5.5).
fn trimmed(field: &HeaderValue) -> &[u8] {
    field.as_bytes().trim_ascii()
}

fn structured(value: &[u8]) -> Result<Box<str>, KeyError> {
    match Parser::new(value).parse::<Item>() {
        Ok(Item { bare_item: BareItem::String(key), .. }) => Ok(key.as_str().into()),
        _ => Err(KeyError::NotAString),
    }
}

fn bare(value: &[u8]) -> Result<Box<str>, KeyError> {
    if !value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',') {
        return Err(KeyError::Charset);
    }
    std::str::from_utf8(value).map(Into::into).map_err(|_| KeyError::Charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(syntax: KeySyntax, fields: &[&[u8]]) -> Result<String, KeyError> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(field).expect("a legal field value"));
        }
        syntax.parse(&headers).map(|key| key.as_str().to_owned())
    }

    #[test]
    fn the_quoted_and_the_bare_form_are_one_key() {
        for key in ["abc", "8e03978e-40d5-43e8-bc93-6894a57f9324", "order-42", "42"] {
            assert_eq!(parse(KeySyntax::Lenient, &[key.as_bytes()]).as_deref(), Ok(key));
            assert_eq!(parse(KeySyntax::Lenient, &[format!("\"{key}\"").as_bytes()]).as_deref(), Ok(key));
        }
    }

    #[test]
    fn escapes_are_decoded_and_parameters_ignored() {
        for syntax in [KeySyntax::Lenient, KeySyntax::Strict] {
            assert_eq!(parse(syntax, &[br#""a\"b\\c";v=1"#]).as_deref(), Ok(r#"a"b\c"#));
        }
        assert_eq!(parse(KeySyntax::Lenient, &[br#""a\nb""#]), Err(KeyError::NotAString));
    }

    #[test]
    fn strict_takes_strings_only() {
        let others: [&[u8]; 7] = [b"abc", b"123", b":YWJj:", b"?1", b"(\"a\")", b"\"a\", \"b\"", b"\"abc"];
        for other in others {
            assert_eq!(parse(KeySyntax::Strict, &[other]), Err(KeyError::NotAString));
        }
    }

    #[test]
    fn lengths_are_bounded_on_both_sides() {
        let longest = "k".repeat(255);
        assert_eq!(parse(KeySyntax::Lenient, &[longest.as_bytes()]), Ok(longest.clone()));
        assert_eq!(parse(KeySyntax::Lenient, &[format!("\"{longest}\"").as_bytes()]), Ok(longest));
        assert_eq!(parse(KeySyntax::Lenient, &["k".repeat(256).as_bytes()]), Err(KeyError::TooLong));
        for empty in [&b""[..], b"  ", b"\"\""] {
            assert_eq!(parse(KeySyntax::Lenient, &[empty]), Err(KeyError::Empty));
        }
    }

    #[test]
    fn what_is_not_one_visible_word_is_refused() {
        assert_eq!(parse(KeySyntax::Lenient, &[b"a", b"b"]), Err(KeyError::Repeated));
        assert_eq!(parse(KeySyntax::Lenient, &[b"a", b"a"]), Err(KeyError::Repeated));
        for odd in [&b"a,b"[..], b"a b", b"a\tb", b"k\xc3\xa9y", b"k\xff"] {
            assert_eq!(parse(KeySyntax::Lenient, &[odd]), Err(KeyError::Charset));
        }
    }

    #[test]
    fn debug_hides_the_key() {
        let key = IdempotencyKey("top-secret".into());
        assert_eq!(format!("{key:?}"), "IdempotencyKey(10 bytes)");
    }
}
