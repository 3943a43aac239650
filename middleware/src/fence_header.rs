//! The `Idempotency-Fence` field: the fencing token of the attempt that makes a call, and whose it is.
//!
//! ```text
//! Idempotency-Fence: "1795521600000000";owner="6f1e0c5a9b3d47e28c1a5f0d2b7e4936"
//! ```
//!
//! It is an Item of a structured field (RFC 9651, section 3.3). The fence is a String in decimal, because a fence is a
//! time in microseconds, which has 16 digits, and an Integer has at most 15 (section 3.3.1). The parameter `owner` is a
//! String too: 32 lowercase hexadecimal digits. It decides between two attempts that were granted one fence by two
//! stores which did not know of each other. Other parameters are ignored.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use idempotency_store::{Fence, Owner};
use sfv::{BareItem, Item, Parser};

/// The request header field that carries the fence and the owner of the calling attempt; see [`FenceHeader`].
pub const IDEMPOTENCY_FENCE: HeaderName = HeaderName::from_static("idempotency-fence");

const OWNER: &str = "owner";

/// The content of an `Idempotency-Fence` field: under which fence a call is made, and by which attempt.
///
/// A receiver remembers the highest fence that it has seen **per key** and refuses calls that carry a lower one, or the
/// same fence of another owner.
///
/// ```
/// use http::HeaderMap;
/// use tower_idempotency::store::{Fence, Owner};
/// use tower_idempotency::{FenceHeader, IDEMPOTENCY_FENCE};
///
/// # fn main() -> Result<(), tower_idempotency::FenceHeaderError> {
/// let sent = FenceHeader::new(Fence::new(1_795_521_600_000_000), Owner::new([0x2a; 16]));
/// let mut headers = HeaderMap::new();
/// headers.insert(IDEMPOTENCY_FENCE, sent.to_value());
///
/// assert_eq!(headers[IDEMPOTENCY_FENCE], r#""1795521600000000";owner="2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a""#);
/// assert_eq!(FenceHeader::parse(&headers)?, Some(sent));
/// assert_eq!(FenceHeader::parse(&HeaderMap::new())?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FenceHeader {
    fence: Fence,
    owner: Owner,
}

/// Why an `Idempotency-Fence` field is not one. The request is to be refused: a call that means to be fenced must not run
/// unfenced. The text is fixed and never contains what the caller sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", self.detail())]
#[non_exhaustive]
pub enum FenceHeaderError {
    /// There are several fields.
    Repeated,
    /// It is not a structured-field String.
    NotAString,
    /// The String is not a number of 64 bits in decimal, without a sign and without leading zeros.
    NotANumber,
    /// There is no owner, or it is none that an attempt can have.
    Owner,
}

impl FenceHeaderError {
    /// What to do about it, for the caller.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Repeated => "Send one Idempotency-Fence header field, not several.",
            Self::NotAString => {
                "The Idempotency-Fence must be a quoted string with parameters (RFC 9651, section 3.3)."
            }
            Self::NotANumber => "The Idempotency-Fence must be a decimal number in quotes.",
            Self::Owner => {
                "The Idempotency-Fence needs an owner parameter of 32 lowercase hexadecimal digits in quotes, not all \
                 zero."
            }
        }
    }
}

impl FenceHeader {
    /// The field for calls under this fence by this owner.
    pub const fn new(fence: Fence, owner: Owner) -> Self {
        Self { fence, owner }
    }

    /// The fencing token. Compare it per key only.
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// The attempt that holds it.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// The field in a request's header, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`FenceHeaderError`] if there is one that is not a fence with its owner, or there are several.
    pub fn parse(headers: &HeaderMap) -> Result<Option<Self>, FenceHeaderError> {
        let mut fields = headers.get_all(IDEMPOTENCY_FENCE).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(FenceHeaderError::Repeated);
        }
        let item = Parser::new(field.as_bytes()).parse::<Item>().map_err(|_| FenceHeaderError::NotAString)?;
        let BareItem::String(fence) = &item.bare_item else { return Err(FenceHeaderError::NotAString) };
        let fence = number(fence.as_str()).ok_or(FenceHeaderError::NotANumber)?;
        let Some(BareItem::String(owner)) = item.params.get(OWNER) else { return Err(FenceHeaderError::Owner) };
        let owner = id(owner.as_str()).ok_or(FenceHeaderError::Owner)?;
        Ok(Some(Self { fence, owner }))
    }

    /// The field's value.
    #[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "quotes, digits and letters make a field value")]
    pub fn to_value(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("visible ASCII")
    }
}

/// The field's value as text.
impl fmt::Display for FenceHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = u128::from_be_bytes(*self.owner.as_bytes());
        write!(f, "\"{}\";{OWNER}=\"{owner:032x}\"", self.fence)
    }
}

/// Each fence has one spelling, so that nobody who compares fields as text is misled.
fn number(text: &str) -> Option<Fence> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(Fence::new(number))
}

fn id(text: &str) -> Option<Owner> {
    let number = u128::from_str_radix(text, 16).ok()?;
    let owner = Owner::new(number.to_be_bytes());
    (format!("{number:032x}") == text && owner != Owner::NOBODY).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNED: &str = "6f1e0c5a9b3d47e28c1a5f0d2b7e4936";

    fn parse(fields: &[&str]) -> Result<Option<FenceHeader>, FenceHeaderError> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IDEMPOTENCY_FENCE, HeaderValue::from_str(field).expect("a legal field value"));
        }
        FenceHeader::parse(&headers)
    }

    #[test]
    fn what_is_written_is_read_for_every_fence_and_owner() {
        for fence in [0, 1, 999_999_999_999_999, 1_795_521_600_000_000, u64::MAX] {
            for owner in [Owner::new([0xff; 16]), Owner::new([1; 16]), Owner::new(1_u128.to_be_bytes())] {
                let sent = FenceHeader::new(Fence::new(fence), owner);
                assert_eq!(parse(&[&sent.to_string()]), Ok(Some(sent)));
                assert_eq!(sent.to_value(), sent.to_string());
            }
        }
    }

    #[test]
    fn spaces_around_it_and_other_parameters_are_ignored() {
        let fence = parse(&[&format!(" \"7\";a=1; owner=\"{OWNED}\";z ")]).expect("legal").expect("present");
        assert_eq!(fence.to_string(), format!("\"7\";owner=\"{OWNED}\""));
    }

    #[test]
    fn there_is_one_field_or_none() {
        let field = format!("\"7\";owner=\"{OWNED}\"");
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[&field, &field]), Err(FenceHeaderError::Repeated));
        assert_eq!(parse(&[&format!("{field}, {field}")]), Err(FenceHeaderError::NotAString));
    }

    #[test]
    fn what_is_not_a_string_is_refused() {
        for odd in ["", "7", "1795521600000000", "7.5", "abc", ":AA==:", "?1", "(\"7\")", "\"7", "\"7\" x"] {
            assert_eq!(parse(&[&format!("{odd};owner=\"{OWNED}\"")]), Err(FenceHeaderError::NotAString), "{odd}");
        }
    }

    #[test]
    fn what_is_not_the_one_spelling_of_a_number_is_refused() {
        for odd in ["", "-7", "+7", "07", " 7", "7 ", "7.0", "0x7", "18446744073709551616", "seven"] {
            assert_eq!(parse(&[&format!("\"{odd}\";owner=\"{OWNED}\"")]), Err(FenceHeaderError::NotANumber), "{odd}");
        }
    }

    #[test]
    fn what_is_not_the_one_spelling_of_an_owner_is_refused() {
        let zeros = "0".repeat(32);
        let upper = OWNED.to_uppercase();
        let signed = format!("+{}", OWNED.get(1..).expect("hexadecimal"));
        for odd in ["", "7", "7a", &zeros, &upper, &signed, &format!("{OWNED}00"), &format!("0{OWNED}")] {
            assert_eq!(parse(&[&format!("\"7\";owner=\"{odd}\"")]), Err(FenceHeaderError::Owner), "{odd}");
        }
        for none in ["\"7\"", "\"7\";owner", "\"7\";owner=7", "\"7\";owner=a", "\"7\";holder=\"a\""] {
            assert_eq!(parse(&[none]), Err(FenceHeaderError::Owner), "{none}");
        }
    }
}
