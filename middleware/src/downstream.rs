//! What a handler sends along when it calls another service: the derived key of one step, and the fence that it runs
//! under.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::context::Idempotency;
use crate::fence_header::{FenceHeader, IDEMPOTENCY_FENCE};
use crate::key::{IDEMPOTENCY_KEY, KeySyntax};

/// One step of a handler's work that another service does: the `Idempotency-Key` and the `Idempotency-Fence` to send with
/// the call. [`Idempotency::downstream`] makes one.
///
/// The key is derived from scope, key and step alone, so that every attempt of this key sends the same and the receiver
/// recognises a repetition. The fence is that of this attempt, so that the receiver can refuse an attempt that was
/// superseded. Neither replaces the other.
///
/// It reaches the call in one of these ways, and never by itself:
///
/// - [`apply`](Downstream::apply) puts both fields into a request's header;
/// - as an extension of the request, with `client::DownstreamLayer` around any client service (feature `client`);
/// - `.with_extension(downstream)`, with `client::reqwest::DownstreamMiddleware` (feature `reqwest`).
///
/// `Clone` is cheap; a clone is the same step. `Debug` shows the attempt, not the key.
#[derive(Clone)]
pub struct Downstream {
    idempotency: Idempotency,
    key: HeaderValue,
}

/// The call was not sent. Nothing has left this process.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownstreamError {
    /// The lease of this attempt can no longer be counted on, see [`Idempotency::lost`]: another attempt may be running.
    /// Start nothing more, and answer.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The request has another value in this field already, or several. Take out whatever put it there; often it is the
    /// incoming request's header that is passed on whole.
    #[error("the request already has another {0} field, which is not overwritten")]
    Conflict(HeaderName),
}

/// The lease of the calling attempt was lost, or could not be renewed in time, so that a call under its fence must not be
/// started. Nothing was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the lease was lost: nothing more may be started under this fence")]
pub struct LeaseLost;

impl Idempotency {
    /// The key and the fence for one step of this work that another service does.
    ///
    /// Steps are told apart by their name: two calls that are to have two effects need two names. Keep the names over
    /// releases; a renamed step is a new key, and a retry that spans the release repeats the effect.
    ///
    /// ```
    /// # use tower_idempotency::{DownstreamError, IDEMPOTENCY_KEY, Idempotency};
    /// fn charge(idempotency: &Idempotency) -> Result<http::Request<String>, DownstreamError> {
    ///     let mut request = http::Request::new(r#"{"amount":1000}"#.to_owned());
    ///     idempotency.downstream("charge").apply(request.headers_mut())?;
    ///     assert!(request.headers().contains_key(IDEMPOTENCY_KEY));
    ///     Ok(request)
    /// }
    /// ```
    pub fn downstream(&self, step: &str) -> Downstream {
        Downstream { idempotency: self.clone(), key: quoted(&self.downstream_key(step)) }
    }
}

impl Downstream {
    /// The derived key, without quotes: 32 hexadecimal digits, the same for every attempt of this key.
    pub fn key(&self) -> &str {
        self.key.to_str().unwrap_or_default().trim_matches('"')
    }

    /// The fence of this attempt, and whose it is.
    pub fn fence(&self) -> FenceHeader {
        let lease = self.idempotency.lease();
        FenceHeader::new(lease.fence, lease.owner)
    }

    /// Whether the lease can no longer be counted on; see [`Idempotency::lost`].
    pub fn is_lost(&self) -> bool {
        self.idempotency.is_lost()
    }

    /// Puts both fields into a request's header: the key as a String (RFC 9651, section 3.3.3), marked as sensitive, and
    /// the fence as [`FenceHeader`] writes it. Fields that say the same already are left as they are.
    ///
    /// The lease is looked at here, so call it just before the request is sent. A lease that is lost while the request is
    /// under way is the receiver's to notice, by the fence.
    ///
    /// # Errors
    ///
    /// [`DownstreamError::LeaseLost`] if the lease can no longer be counted on, [`DownstreamError::Conflict`] if one of
    /// the fields is there with another value. The header is unchanged then.
    pub fn apply(&self, headers: &mut HeaderMap) -> Result<(), DownstreamError> {
        if self.is_lost() {
            return Err(LeaseLost.into());
        }
        let has_key = match KeySyntax::Lenient.parse(headers) {
            Ok(present) if present.as_str() == self.key() => true,
            _ => vacant(headers, IDEMPOTENCY_KEY)?,
        };
        let has_fence = match FenceHeader::parse(headers) {
            Ok(Some(present)) if present == self.fence() => true,
            _ => vacant(headers, IDEMPOTENCY_FENCE)?,
        };
        if !has_key {
            headers.insert(IDEMPOTENCY_KEY, self.key.clone());
        }
        if !has_fence {
            headers.insert(IDEMPOTENCY_FENCE, self.fence().to_value());
        }
        Ok(())
    }
}

/// Nothing is there yet; whatever is, is something else.
fn vacant(headers: &HeaderMap, name: HeaderName) -> Result<bool, DownstreamError> {
    if headers.contains_key(&name) { Err(DownstreamError::Conflict(name)) } else { Ok(false) }
}

#[expect(clippy::expect_used, reason = "hexadecimal digits in quotes make a field value")]
fn quoted(hex: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("\"{hex}\"")).expect("visible ASCII");
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downstream").field("fence", &self.fence()).field("is_lost", &self.is_lost()).finish()
    }
}
