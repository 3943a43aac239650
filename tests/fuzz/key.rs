//! The `Idempotency-Key` field.

use http::{HeaderMap, HeaderValue};
use tower_idempotency::{IDEMPOTENCY_KEY, KeyError, KeySyntax, MAX_KEY_LEN};

pub(crate) fn target(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let lenient = parse(KeySyntax::Lenient, &value);
    let strict = parse(KeySyntax::Strict, &value);
    if let Ok(key) = &strict {
        assert_eq!(lenient.as_ref(), Ok(key), "what is strictly a key is one");
        assert!(input.trim_ascii().starts_with(b"\""));
    }
    let twice = HeaderMap::from_iter([(IDEMPOTENCY_KEY, value.clone()), (IDEMPOTENCY_KEY, value)]);
    assert_eq!(KeySyntax::Lenient.parse(&twice), Err(KeyError::Repeated));
    if let Ok(key) = lenient {
        is_one_key(&key, input);
    }
}

/// A key has one meaning, however it is spelled.
fn is_one_key(key: &str, input: &[u8]) {
    assert!((1..=MAX_KEY_LEN).contains(&key.len()));
    assert!(key.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
    for spelling in [quoted.clone(), format!(" {quoted}\t"), format!("{quoted};v=1")] {
        for syntax in [KeySyntax::Lenient, KeySyntax::Strict] {
            assert_eq!(parse(syntax, &HeaderValue::from_str(&spelling).unwrap()).as_deref(), Ok(key));
        }
    }
    let has_bare_form = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') && !key.starts_with('"');
    let bare = parse(KeySyntax::Lenient, &HeaderValue::from_str(key).unwrap());
    if has_bare_form {
        assert_eq!(bare.as_deref(), Ok(key), "the quoted and the bare form are one key");
    } else {
        assert_ne!(bare.as_deref(), Ok(key));
    }
    let sent = input.trim_ascii();
    if sent.starts_with(b"\"") {
        assert_eq!(key, unquoted(sent));
    } else {
        assert_eq!(key.as_bytes(), sent);
    }
}

fn parse(syntax: KeySyntax, value: &HeaderValue) -> Result<String, KeyError> {
    let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, value.clone())]);
    syntax.parse(&headers).map(|key| key.as_str().to_owned())
}

/// RFC 9651, section 4.2.5, of a string that is known to be one.
fn unquoted(field: &[u8]) -> String {
    let mut rest = field[1..].iter().copied();
    let next = || match rest.next()? {
        b'"' => None,
        b'\\' => rest.next().map(char::from),
        byte => Some(byte.into()),
    };
    std::iter::from_fn(next).collect()
}
