//! The `Idempotency-Fence` field.

use http::{HeaderMap, HeaderValue};
use idempotency_store::{Fence, Owner};
use tower_idempotency::{FenceHeader, IDEMPOTENCY_FENCE};

use crate::draw::Draw;

pub(crate) fn target(input: &[u8]) {
    arbitrary(input);
    written(&mut Draw::from(input));
}

/// A field is refused, or is one fence of one attempt, in the one spelling that it has.
fn arbitrary(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let Ok(parsed) = FenceHeader::parse(&of(&[&value])) else { return };
    let parsed = parsed.expect("there is a field");
    assert_ne!(parsed.owner(), Owner::NOBODY);
    assert!(input.trim_ascii_start().starts_with(format!("\"{}\"", parsed.fence()).as_bytes()));
    assert_eq!(FenceHeader::parse(&of(&[&parsed.to_value()])), Ok(Some(parsed)));
    assert!(FenceHeader::parse(&of(&[&value, &parsed.to_value()])).is_err(), "two fields are none");
}

/// What is written is read, whatever the fence and the owner are.
fn written(draw: &mut Draw<'_>) {
    let fence = FenceHeader::new(Fence::new(draw.number()), Owner::new(draw.array()));
    let parsed = FenceHeader::parse(&of(&[&fence.to_value()]));
    if fence.owner() == Owner::NOBODY {
        assert!(parsed.is_err());
    } else {
        assert_eq!(parsed, Ok(Some(fence)));
    }
}

fn of(values: &[&HeaderValue]) -> HeaderMap {
    values.iter().map(|value| (IDEMPOTENCY_FENCE, (*value).clone())).collect()
}
