//! Who is calling. Stands outside the idempotency layer, whose scope is the merchant found here.

use std::fmt;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};

use super::arrival::Arrival;
use super::problem;

/// The longest name of a merchant.
const LONGEST: usize = 64;

/// The authenticated caller, in the request's extensions.
///
/// The demo believes whoever names himself; a real service looks the token up, and puts here what stays the same when
/// the token is renewed. Here it is the token, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Merchant(pub String);

impl fmt::Debug for Merchant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Merchant(..)")
    }
}

/// Lets a request in with its [`Merchant`], or answers 401.
pub(super) async fn authenticate(mut request: Request, next: Next) -> Response {
    let Some(merchant) = merchant(request.headers()) else {
        let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
        return (challenge, problem::unauthenticated()).into_response();
    };
    request.extensions_mut().insert(merchant);
    request.extensions_mut().insert(Arrival::now());
    next.run(request).await
}

fn merchant(headers: &HeaderMap) -> Option<Merchant> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let valid = (1..=LONGEST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    (valid && scheme.eq_ignore_ascii_case("bearer")).then(|| Merchant(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
        merchant(&headers).map(|merchant| merchant.0)
    }

    #[test]
    fn the_token_is_the_merchant() {
        for value in ["Bearer shop", "bearer shop", "Bearer  shop "] {
            assert_eq!(of(value).as_deref(), Some("shop"), "{value:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_token() {
        assert_eq!(format!("{:?}", Merchant("shop".into())), "Merchant(..)");
    }

    #[test]
    fn anything_else_is_nobody() {
        let long = format!("Bearer {}", "x".repeat(65));
        for value in ["", "Bearer", "Bearer ", "Bearershop", "Basic shop", "Bearer a b", &long] {
            assert_eq!(of(value), None, "{value:?}");
        }
        assert_eq!(merchant(&HeaderMap::new()), None);
    }
}
