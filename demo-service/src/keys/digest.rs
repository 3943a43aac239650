//! A key as an operator writes it: the digest in hexadecimal.

use std::fmt;
use std::str::FromStr;

use idempotency_store::Key;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest(pub(super) Key);

/// The text is not that of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a key is 64 hexadecimal digits, as `demo-service keys list` prints it; it is not what the client has sent")]
pub(super) struct DigestError;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        // A number's parser would take a sign.
        let is_plain = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let (high, low) = text.split_at_checked(32).filter(|_| is_plain).ok_or(DigestError)?;
        let half = |text| u128::from_str_radix(text, 16).map(u128::to_be_bytes).map_err(|_| DigestError);
        let mut digest = [0; 32];
        digest.iter_mut().zip(half(high)?.into_iter().chain(half(low)?)).for_each(|(to, from)| *to = from);
        Ok(Self(Key::new(digest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let digest = Digest(Key::new(std::array::from_fn(|at| u8::try_from(at * 8).unwrap_or_default())));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().get(..8), Some("00081018"));
    }

    #[test]
    fn refuses_what_is_no_key() {
        for text in ["", "order-42", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &format!("+{}", "0".repeat(63))]
        {
            assert_eq!(text.parse::<Digest>(), Err(DigestError), "{text:?}");
        }
    }
}
