//! What each rejection means, and what its client should do. The page that a problem's `type` names.
//!
//! Every rejection is `application/problem+json` (RFC 9457) with the members `type`, `title`, `status` and `detail`. The
//! last segment of `type` is the name below. None of them contains anything that the client sent.
//!
//! | name | status | was the handler entered by this request? | what the client does |
//! |---|---|---|---|
//! | `key-missing` | 400 | no | sends a key, the same with every retry |
//! | `key-malformed` | 400 | no | sends one key of 1 to 255 visible ASCII characters |
//! | `fence-missing` | 400 | no | sends the fence of its attempt ([`guard`](crate::guard)) |
//! | `fence-malformed` | 400 | no | sends one fence with its owner |
//! | `scope-missing` | 401 | no | authenticates (500 instead: the server's layers are in the wrong order) |
//! | `request-too-large` | 413 | no | sends less, or uses an operation without a key |
//! | `request-unreadable` | 400 | no | sends the whole body, with the same key |
//! | `key-reused` | 422 | no | uses a new key for a new request |
//! | `in-flight` | 409 | no | retries with the same key after `Retry-After` |
//! | `indeterminate` | 409 | no, but an earlier one may have been | with `Retry-After`, retries with the same key; without, looks at the outcome before it decides anything |
//! | `not-replayable` | 409 | no, but an earlier one was; `original_status` is its status, `recorded_at` the HTTP date of its end | looks at the outcome if it needs it |
//! | `too-many-claims` | 429 | no | retries with the same key after `Retry-After` ([`ClaimLimit`](crate::ClaimLimit)) |
//! | `fenced` | 409 | no, but another attempt may have been | stops: it was superseded |
//! | `store-unavailable` | 503 | no | retries with the same key after `Retry-After` |
//! | `shutting-down` | 503 | no | retries with the same key after `Retry-After` |
//! | `record-corrupt` | 503 | no, but an earlier one may have been | waits for an operator |
//! | `handler-panicked` | 500 | yes, half-way | as `indeterminate`, which is what its retries get |
//!
//! Only a rejection with `Retry-After` is worth retrying as it is. Base and look are the application's choice:
//! [`IdempotencyLayer::problem_base`](crate::IdempotencyLayer::problem_base) and
//! [`IdempotencyLayer::on_rejection`](crate::IdempotencyLayer::on_rejection).
