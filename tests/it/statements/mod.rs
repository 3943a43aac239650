//! What draft-ietf-httpapi-idempotency-key-header-07 and Stripe's documentation say, statement by statement. The numbers
//! are those of `docs/compliance.md`; `draft_i17_..` is its I-17, `stripe_s06_..` its S-6. What a key looks like (I-1 to I-8,
//! S-1, S-2) is tested at the service itself, in `middleware/tests/statements_syntax.rs`.

mod draft_outcomes;
mod draft_security;
mod stripe;
