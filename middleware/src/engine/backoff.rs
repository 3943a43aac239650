//! How long to wait before asking a store again.

use std::time::Duration;

/// Doubling delays, from 20 ms to 5 s unless said otherwise, each drawn evenly between half and the whole, so that many
/// askers spread out.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self::between(FIRST, LONGEST)
    }

    pub(super) const fn between(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// The next delay.
    pub(crate) fn delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        // Without random bytes the delay is merely not spread.
        let spread = getrandom::u32().unwrap_or(u32::MAX);
        let half = whole / 2;
        half + half.mul_f64(f64::from(spread) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound() {
        let mut backoff = Backoff::new();
        let mut whole = FIRST;
        for _ in 0..20 {
            let delay = backoff.delay();
            assert!(whole / 2 <= delay && delay <= whole, "{delay:?} is not between half and the whole of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
    }
}
