//! Whose key it is. A key means something only together with the principal that sent it.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;

/// Hands the principal's bytes to the digest; `Err` when the request has no principal.
type Principal = dyn Fn(&Parts, &mut dyn FnMut(&[u8])) -> Result<(), ScopeMissing> + Send + Sync;

/// Whose key it is. There is no default: two callers who send the same key must never see each other's answers, and only
/// the application knows who its callers are.
///
/// Name the authenticated principal by something that stays the same when its credentials change, so that a retry after
/// a token was renewed is still a retry.
///
/// Scopes of different kinds never share keys, nor do header scopes of different fields. If two layers share a store and
/// both take principals from extensions, of different types, give each a [`namespace`](Scope::namespace).
#[derive(Clone)]
pub struct Scope {
    kind: &'static str,
    detail: Arc<str>,
    namespace: Arc<str>,
    principal: Arc<Principal>,
}

/// The request names no principal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ScopeMissing {
    /// The client did not send what the scope is read from.
    Header,
    /// Nothing outside the layer put the principal into the request's extensions: a wiring fault.
    Extension,
}

impl Scope {
    /// The principal that an authentication layer, outside of this one, put into the request's extensions.
    ///
    /// A request without it, or with an empty one, is answered with 500 `scope-missing`: the layers are in the wrong
    /// order.
    ///
    /// ```
    /// use tower_idempotency::Scope;
    ///
    /// #[derive(Clone)]
    /// struct Merchant(String);
    ///
    /// let scope = Scope::extension(|merchant: &Merchant| merchant.0.as_bytes());
    /// # let _ = scope;
    /// ```
    pub fn extension<T: Send + Sync + 'static>(principal: impl Fn(&T) -> &[u8] + Send + Sync + 'static) -> Self {
        Self::of("extension", "", move |parts, digest| {
            let principal = parts.extensions.get().map(&principal).filter(|bytes| !bytes.is_empty());
            principal.map(digest).ok_or(ScopeMissing::Extension)
        })
    }

    /// The value of a request header field, such as an API key. Prefer [`Scope::extension`]: credentials are renewed,
    /// principals are not.
    ///
    /// A request without the field, with an empty one, or with several, is answered with 401 `scope-missing`.
    pub fn header(name: HeaderName) -> Self {
        Self::of("header", name.clone().as_str(), move |parts, digest| {
            let mut fields = parts.headers.get_all(&name).iter();
            let field = fields.next().filter(|field| !field.is_empty());
            match (field, fields.next()) {
                (Some(field), None) => {
                    digest(field.as_bytes());
                    Ok(())
                }
                _ => Err(ScopeMissing::Header),
            }
        })
    }

    /// One scope for all callers: whoever knows a key gets its answer. For services with a single caller.
    pub fn shared() -> Self {
        Self::of("shared", "", |_, digest| {
            digest(b"");
            Ok(())
        })
    }

    /// Sets this scope's keys apart from those of other layers on the same store. Changing it makes every key new.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    fn of(
        kind: &'static str,
        detail: &str,
        principal: impl Fn(&Parts, &mut dyn FnMut(&[u8])) -> Result<(), ScopeMissing> + Send + Sync + 'static,
    ) -> Self {
        Self { kind, detail: detail.into(), namespace: "".into(), principal: Arc::new(principal) }
    }

    /// Hands what tells this request's scope from all others to `digest`, field by field.
    pub(crate) fn digest(&self, parts: &Parts, digest: &mut dyn FnMut(&[u8])) -> Result<(), ScopeMissing> {
        for field in [self.kind, &self.detail, &self.namespace] {
            digest(field.as_bytes());
        }
        (self.principal)(parts, digest)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.kind)
    }
}
