//! The address of a service: `http://host:port/prefix`.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Where a service answers, taken apart once so that a connection can be made and a request written without asking again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    authority: String,
    address: String,
    prefix: String,
}

/// Why a text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected http://HOST[:PORT][/PREFIX]; {0}")]
pub(crate) struct BaseError(String);

impl Base {
    /// A service on this machine.
    pub(crate) fn loopback(port: u16) -> Self {
        let authority = format!("127.0.0.1:{port}");
        Self { address: authority.clone(), authority, prefix: String::new() }
    }

    /// What the `Host` header says.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Where to connect.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The path of one of the service's resources.
    pub(crate) fn path(&self, resource: &str) -> String {
        format!("{}{resource}", self.prefix)
    }
}

impl FromStr for Base {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        let uri: Uri = text.parse().map_err(|error| BaseError(format!("{error}")))?;
        if uri.scheme_str() != Some("http") {
            return Err(BaseError("the storm speaks plain HTTP/1.1, to see each connection die".to_owned()));
        }
        if uri.query().is_some() {
            return Err(BaseError("a query has no place in it".to_owned()));
        }
        let authority = uri.authority().ok_or_else(|| BaseError("the host is missing".to_owned()))?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            address: format!("{}:{port}", authority.host()),
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_address_apart() {
        let base: Base = "http://pay.example:3000/v1/".parse().unwrap();
        assert_eq!((base.authority(), base.address()), ("pay.example:3000", "pay.example:3000"));
        assert_eq!(base.path("/payments"), "/v1/payments");
        assert_eq!(base.to_string(), "http://pay.example:3000/v1");
    }

    #[test]
    fn the_port_may_be_left_out() {
        let base: Base = "http://pay.example".parse().unwrap();
        assert_eq!(base.address(), "pay.example:80");
        assert_eq!(base.path("/payments"), "/payments");
    }

    #[test]
    fn refuses_what_it_cannot_attack() {
        for text in ["https://pay.example", "pay.example:3000", "http://pay.example/?a=b", "", "http://"] {
            assert!(text.parse::<Base>().is_err(), "{text}");
        }
    }
}
