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
    /// The application's closure found nobody in the request.
    Caller,
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

    /// As [`Scope::extension`], for principals that are not bytes: the closure returns anything that is a row of bytes, such as
    /// a `String`, a `Vec<u8>`, a `Uuid`, or a number's `to_be_bytes()`. The same bytes are the same principal in both.
    ///
    /// A request without the extension, or with no bytes at all, is answered with 500 `scope-missing`.
    ///
    /// ```
    /// use tower_idempotency::Scope;
    ///
    /// #[derive(Clone)]
    /// struct User {
    ///     tenant: u32,
    ///     id: u64,
    /// }
    ///
    /// let by_number = Scope::extension_with(|user: &User| user.id.to_be_bytes());
    /// // Of several parts: with a separator that none of them contains, or with a fixed width.
    /// let by_both = Scope::extension_with(|user: &User| format!("{}/{}", user.tenant, user.id));
    /// # let _ = (by_number, by_both);
    /// ```
    pub fn extension_with<T, P>(principal: impl Fn(&T) -> P + Send + Sync + 'static) -> Self
    where
        T: Send + Sync + 'static,
        P: AsRef<[u8]>,
    {
        Self::of("extension", "", move |parts, digest| {
            let principal = parts.extensions.get().map(&principal);
            let principal = principal.as_ref().map(AsRef::as_ref).filter(|bytes| !bytes.is_empty());
            principal.map(digest).ok_or(ScopeMissing::Extension)
        })
    }

    /// Whatever a closure finds in the request's head: a part of the path or the host name, several header fields, an extension
    /// whose absence is the client's fault. It returns anything that is a row of bytes, as for [`Scope::extension_with`].
    ///
    /// `None`, or no bytes at all, is answered with 401 `scope-missing`: the caller is unknown. The closure must not name a
    /// stand-in such as "anonymous", or all unknown callers share their keys.
    ///
    /// Scopes of different closures do share keys where they return the same bytes; set them apart by
    /// [`namespace`](Scope::namespace) if they share a store.
    ///
    /// ```
    /// use http::header::HOST;
    /// use tower_idempotency::Scope;
    ///
    /// // One tenant per host name.
    /// let scope = Scope::from_fn(|request| {
    ///     let host = request.headers.get(HOST)?.to_str().ok()?;
    ///     host.strip_suffix(".example.com").map(str::to_ascii_lowercase)
    /// });
    /// # let _ = scope;
    /// ```
    pub fn from_fn<P: AsRef<[u8]>>(principal: impl Fn(&Parts) -> Option<P> + Send + Sync + 'static) -> Self {
        Self::of("function", "", move |parts, digest| {
            let principal = principal(parts);
            let principal = principal.as_ref().map(AsRef::as_ref).filter(|bytes| !bytes.is_empty());
            principal.map(digest).ok_or(ScopeMissing::Caller)
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
