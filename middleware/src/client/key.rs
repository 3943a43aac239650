//! The key of one logical call: made once, outside every loop.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use uuid::Builder;

use crate::key::{IdempotencyKey, KeyError};
use crate::secret::Secret;

/// The key of one logical call: one payment, however often it has to be sent.
///
/// Make it **before** the first try and keep it with the order, in the same transaction, until the answer is there: then
/// a process that is killed in the middle asks again under the same key and gets the answer. Put it into the request's
/// extensions. `Debug` does not show it.
///
/// ```
/// use tower_idempotency::Secret;
/// use tower_idempotency::client::RequestKey;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_ne!(RequestKey::v4()?, RequestKey::v4()?);
/// assert_eq!(RequestKey::v7()?.as_str().len(), 36);
/// assert_eq!(RequestKey::new("order-42")?.as_str(), "order-42");
///
/// // From the business data: needs no storage, and two workers that pick up one order make the same key.
/// let secret = Secret::new("at least 16 bytes, from your configuration")?;
/// let key = RequestKey::derived(&secret, "pay invoice", ["invoice-7", "attempt-1"]);
/// assert_eq!(key, RequestKey::derived(&secret, "pay invoice", ["invoice-7", "attempt-1"]));
/// assert_ne!(key, RequestKey::derived(&secret, "pay invoice", ["invoice-7attempt", "-1"]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RequestKey(IdempotencyKey);

/// There is no key. Nothing was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestKeyError {
    /// It could not be sent in every form, or a server would refuse it.
    #[error("a key is 1 to 255 visible ASCII characters without commas, and does not begin with a quotation mark")]
    Malformed,
    /// The operating system gave no random bytes.
    #[error("the operating system's random source failed")]
    NoRandomness,
}

/// How a key is spelled in the header field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum KeyForm {
    /// `"..."`, a String of RFC 9651, as draft-ietf-httpapi-idempotency-key-header-07 asks.
    #[default]
    Quoted,
    /// As it is, for services that know no other form.
    Bare,
}

impl RequestKey {
    /// Your own key: 1 to 255 visible ASCII characters without commas, not beginning with a quotation mark.
    ///
    /// # Errors
    ///
    /// [`RequestKeyError::Malformed`].
    pub fn new(key: impl AsRef<str>) -> Result<Self, RequestKeyError> {
        let key = IdempotencyKey::from_bare(key.as_ref());
        key.map(Self).map_err(|_: KeyError| RequestKeyError::Malformed)
    }

    /// A random UUID (RFC 9562, section 5.4): the usual choice where the key is stored with the order.
    ///
    /// # Errors
    ///
    /// [`RequestKeyError::NoRandomness`].
    pub fn v4() -> Result<Self, RequestKeyError> {
        Self::new(Builder::from_random_bytes(random()?).into_uuid().to_string())
    }

    /// A random UUID that begins with this process's time in milliseconds (RFC 9562, section 5.7): keys in a database
    /// stay in the order in which they were made. Nothing else depends on that time.
    ///
    /// # Errors
    ///
    /// [`RequestKeyError::NoRandomness`].
    pub fn v7() -> Result<Self, RequestKeyError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Self::new(Builder::from_unix_timestamp_millis(millis, &random()?).into_uuid().to_string())
    }

    /// A key from business data: the same data is the same key, in every process and after every crash. 32 hexadecimal
    /// digits of a digest that is keyed by `secret`, over the namespace and each field preceded by its length.
    ///
    /// `fields` must name the *intention*, not the request: an invoice that may be paid twice on purpose needs the number
    /// of the payment among them. The namespace tells kinds of calls apart.
    ///
    /// Changing the secret makes every key new; a call that is repeated across the change runs again.
    pub fn derived<F>(secret: &Secret, namespace: &str, fields: F) -> Self
    where
        F: IntoIterator,
        F::Item: AsRef<[u8]>,
    {
        let key = secret.request_key(|framed| {
            framed.field(namespace.as_bytes());
            fields.into_iter().for_each(|field| framed.field(field.as_ref()));
        });
        Self(IdempotencyKey::from_hex(key))
    }

    /// The key, without quotes.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The field's value, marked as sensitive. A key that cannot be sent bare is quoted.
    #[expect(clippy::expect_used, reason = "a key is printable ASCII, in quotes or not")]
    pub(crate) fn to_value(&self, form: KeyForm) -> HeaderValue {
        let key = self.as_str();
        let text = match form {
            KeyForm::Bare if Self::new(key).is_ok() => key.to_owned(),
            _ => quoted(key),
        };
        let mut value = HeaderValue::try_from(text).expect("printable ASCII");
        value.set_sensitive(true);
        value
    }
}

impl FromStr for RequestKey {
    type Err = RequestKeyError;

    fn from_str(key: &str) -> Result<Self, RequestKeyError> {
        Self::new(key)
    }
}

impl From<IdempotencyKey> for RequestKey {
    fn from(key: IdempotencyKey) -> Self {
        Self(key)
    }
}

/// RFC 9651, section 4.1.6.
fn quoted(key: &str) -> String {
    let mut text = String::with_capacity(key.len() + 2);
    text.push('"');
    for character in key.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text
}

fn random<const N: usize>() -> Result<[u8; N], RequestKeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| RequestKeyError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use uuid::Uuid;

    use super::*;
    use crate::key::{IDEMPOTENCY_KEY, KeySyntax};

    fn secret() -> Secret {
        Secret::new([7; 32]).expect("long enough")
    }

    #[test]
    fn a_key_arrives_as_it_was_meant_in_either_form() {
        let longest = "k".repeat(255);
        for key in ["order-42", "42", "a\"b\\c", longest.as_str()] {
            let key = RequestKey::new(key).expect("a key");
            for (form, syntax) in [(KeyForm::Quoted, KeySyntax::Strict), (KeyForm::Bare, KeySyntax::Lenient)] {
                let mut headers = HeaderMap::new();
                headers.insert(IDEMPOTENCY_KEY, key.to_value(form));
                let arrived = syntax.parse(&headers).expect("one key");
                assert_eq!(arrived.as_str(), key.as_str());
            }
        }
    }

    #[test]
    fn what_could_not_be_sent_is_refused() {
        for odd in ["", " ", "a b", "a,b", "k\u{e9}y", "\"quoted\"", "a\nb", &"k".repeat(256)] {
            assert_eq!(RequestKey::new(odd), Err(RequestKeyError::Malformed), "{odd:?}");
        }
    }

    #[test]
    fn random_keys_are_uuids_of_their_version() {
        let version = |key: RequestKey| Uuid::parse_str(key.as_str()).expect("a UUID").get_version_num();
        assert_eq!(version(RequestKey::v4().expect("random bytes")), 4);
        assert_eq!(version(RequestKey::v7().expect("random bytes")), 7);
    }

    #[test]
    fn a_derived_key_depends_on_secret_namespace_and_every_field() {
        let key = |namespace, fields: &[&str]| RequestKey::derived(&secret(), namespace, fields);
        let base = key("pay", &["a", "bc"]);
        assert_eq!(base, key("pay", &["a", "bc"]));
        assert_eq!(base.as_str().len(), 32);
        let others = [
            key("refund", &["a", "bc"]),
            key("pay", &["ab", "c"]),
            key("pay", &["a", "bc", ""]),
            key("pay", &["abc"]),
            key("paya", &["bc"]),
            RequestKey::derived(&Secret::new([8; 32]).expect("long enough"), "pay", ["a", "bc"]),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn the_derivation_stays_the_same_over_releases() {
        let key = RequestKey::derived(&secret(), "pay", ["invoice-7", "1"]);
        assert_eq!(key.as_str(), "be2c6fa3b9ba6cb399e89e57c7d87f78");
    }

    #[test]
    fn debug_and_the_field_hide_the_key() {
        let key = RequestKey::new("top-secret").expect("a key");
        assert_eq!(format!("{key:?}"), "RequestKey(IdempotencyKey(10 bytes))");
        assert_eq!(format!("{:?}", key.to_value(KeyForm::Quoted)), "Sensitive");
    }
}
