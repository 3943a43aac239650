//! Token buckets per scope, as a decision without I/O: time is an input.
//!
//! A bucket is the time at which it will be full again. To take a token moves that time on by one interval, and is refused
//! where it would be further away than a whole bucket takes to fill; to give one back moves it back. A bucket that is full
//! is not remembered: it is what a scope has that never came.
//!
//! When as many scopes are remembered as may be, one more takes over the bucket that is next to full, with what is missing
//! from it. So no scope ever gets more than its limit, however many come to drive it out; all of them together get no more
//! than all buckets hold; and a scope that is not remembered is refused only while every single bucket is empty.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::secret::ScopeDigest;

/// The buckets of all scopes that have one which is not full.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// In which a token comes back.
    interval: Duration,
    /// In which an empty bucket fills.
    whole: Duration,
    /// How many are remembered.
    most: usize,
    full_at: HashMap<ScopeDigest, Instant>,
    /// When the buckets are full again that were taken over: that of a scope which is not remembered is, by then.
    taken_over: Option<Instant>,
    /// As `full_at`, the next to full first.
    order: BTreeSet<(Instant, ScopeDigest)>,
}

impl Buckets {
    /// Buckets of `burst` tokens, for at most `most` scopes, of which there must be one.
    pub(crate) fn new(interval: Duration, burst: u32, most: usize) -> Self {
        let whole = interval.saturating_mul(burst);
        Self { interval, whole, most, full_at: HashMap::new(), taken_over: None, order: BTreeSet::new() }
    }

    /// Takes a token, or says how long it is until there is one.
    pub(crate) fn take(&mut self, scope: ScopeDigest, now: Instant) -> Result<(), Duration> {
        self.forget_full(now);
        let full_at = self.after_taking(scope, now)?;
        if !self.full_at.contains_key(&scope) && self.full_at.len() >= self.most {
            if let Some((full_at, next_to_full)) = self.order.pop_first() {
                self.full_at.remove(&next_to_full);
                self.taken_over = self.taken_over.max(Some(full_at));
            }
        }
        self.put(scope, full_at);
        Ok(())
    }

    /// Whether there is a token, and how long it is until there is one. Nothing is taken.
    pub(crate) fn look(&self, scope: ScopeDigest, now: Instant) -> Result<(), Duration> {
        self.after_taking(scope, now).map(drop)
    }

    /// Gives back a token that was taken. If another scope has taken the bucket over meanwhile, it fills by itself.
    pub(crate) fn give_back(&mut self, scope: ScopeDigest) {
        if let Some(full_at) = self.full_at.get(&scope).and_then(|full_at| full_at.checked_sub(self.interval)) {
            self.put(scope, full_at);
        }
    }

    /// How many scopes have a bucket that is not full.
    pub(crate) fn len(&mut self, now: Instant) -> usize {
        self.forget_full(now);
        self.full_at.len()
    }

    /// When the bucket that this scope draws from would be full again, had a token been taken from it.
    fn after_taking(&self, scope: ScopeDigest, now: Instant) -> Result<Instant, Duration> {
        let full_at = self.full_at.get(&scope).copied().or_else(|| self.of_a_new_one());
        let missing = full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now)) + self.interval;
        match missing.saturating_sub(self.whole) {
            Duration::ZERO => Ok(now + missing),
            until => Err(until),
        }
    }

    /// When the bucket is full that a scope gets which is not remembered; `None` if it is.
    ///
    /// The next to full is not always the fullest that was taken over: tokens are given back meanwhile.
    fn of_a_new_one(&self) -> Option<Instant> {
        let is_crowded = self.full_at.len() >= self.most;
        let next_to_full = self.order.first().filter(|_| is_crowded).map(|(full_at, _)| *full_at);
        next_to_full.max(self.taken_over)
    }

    fn put(&mut self, scope: ScopeDigest, full_at: Instant) {
        if let Some(before) = self.full_at.insert(scope, full_at) {
            self.order.remove(&(before, scope));
        }
        self.order.insert((full_at, scope));
    }

    fn forget_full(&mut self, now: Instant) {
        while let Some((full_at, scope)) = self.order.first().copied().filter(|(full_at, _)| *full_at <= now) {
            self.order.remove(&(full_at, scope));
            self.full_at.remove(&scope);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn scope(number: u16) -> ScopeDigest {
        let mut digest = [0; 16];
        digest[..2].copy_from_slice(&number.to_be_bytes());
        ScopeDigest::new(digest)
    }

    /// Takes as many as there are.
    fn drain(buckets: &mut Buckets, number: u16, now: Instant) -> usize {
        std::iter::repeat_with(|| buckets.take(scope(number), now)).take_while(Result::is_ok).take(1000).count()
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
        let (mut buckets, start) = (Buckets::new(SECOND / 2, 3, 10), Instant::now());
        assert_eq!(drain(&mut buckets, 1, start), 3);
        assert_eq!(buckets.take(scope(1), start), Err(SECOND / 2));
        assert_eq!(buckets.look(scope(1), start + SECOND / 4), Err(SECOND / 4));
        assert_eq!(buckets.look(scope(1), start + SECOND / 2), Ok(()));
        assert_eq!(drain(&mut buckets, 1, start + SECOND), 2);
        assert_eq!(drain(&mut buckets, 1, start + 60 * SECOND), 3, "it never holds more than its burst");
        assert_eq!(drain(&mut buckets, 2, start), 3, "another scope has its own");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (mut buckets, now) = (Buckets::new(SECOND, 2, 10), Instant::now());
        assert_eq!(drain(&mut buckets, 1, now), 2);
        buckets.give_back(scope(1));
        assert_eq!(drain(&mut buckets, 1, now), 1);
        buckets.give_back(scope(1));
        buckets.give_back(scope(1));
        assert_eq!(buckets.len(now), 0, "a full bucket is forgotten");
        buckets.give_back(scope(1));
        assert_eq!(drain(&mut buckets, 1, now), 2, "nothing is given back to a full bucket");
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (mut buckets, now) = (Buckets::new(SECOND, 5, 1000), Instant::now());
        for number in 0..1000 {
            buckets.take(scope(number), now).unwrap();
        }
        buckets.take(scope(7), now).unwrap();
        assert_eq!(buckets.len(now), 1000);
        assert_eq!(buckets.len(now + SECOND), 1);
        assert_eq!(buckets.len(now + 2 * SECOND), 0);
        assert_eq!((buckets.full_at.len(), buckets.order.len()), (0, 0));
    }

    #[test]
    fn one_more_than_are_remembered_takes_over_the_bucket_next_to_full() {
        let (mut buckets, now) = (Buckets::new(SECOND, 10, 2), Instant::now());
        assert_eq!(drain(&mut buckets, 1, now), 10);
        for _ in 0..4 {
            buckets.take(scope(2), now).unwrap();
        }
        assert_eq!(drain(&mut buckets, 3, now), 6, "with what was missing from it");
        assert_eq!(buckets.len(now), 2);
        // Whoever emptied its own bucket does not get a new one by driving it out: all are empty.
        assert_eq!(buckets.take(scope(1), now), Err(SECOND));
        assert_eq!(buckets.take(scope(4), now), Err(SECOND));
        assert_eq!(drain(&mut buckets, 4, now + SECOND), 1);
        assert_eq!(buckets.len(now + SECOND), 2);
    }

    #[test]
    fn whose_bucket_was_taken_over_does_not_come_back_to_a_full_one() {
        let (mut buckets, now) = (Buckets::new(SECOND, 10, 2), Instant::now());
        for (number, tokens) in [(1, 4), (2, 6), (3, 1)] {
            for _ in 0..tokens {
                buckets.take(scope(number), now).unwrap();
            }
        }
        // There is room again.
        for _ in 0..6 {
            buckets.give_back(scope(2));
        }
        assert_eq!((buckets.len(now), drain(&mut buckets, 1, now)), (1, 6));
    }

    /// A scope that takes turns with so many others that it is always forgotten.
    #[test]
    fn taking_turns_does_not_get_round_the_limit() {
        let (mut buckets, start) = (Buckets::new(SECOND, 5, 100), Instant::now());
        let (mut granted, mut now) = ([0_u32; 101], start);
        for _ in 0..600 {
            for number in 0..101 {
                granted[usize::from(number)] += u32::from(buckets.take(scope(number), now).is_ok());
            }
            now += SECOND / 10;
            assert!(buckets.len(now) <= 100);
        }
        assert!(granted.iter().all(|granted| *granted <= 5 + 60), "{granted:?}");
        assert!(granted.iter().sum::<u32>() <= 100 * (5 + 60), "{granted:?}");
    }

    /// Against buckets that are counted one by one, in tenths of a token.
    #[test]
    fn nobody_gets_more_than_a_bucket_of_its_own_would_give() {
        let (mut random, now) = (1_u64, Instant::now());
        let mut draw = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for most in [3, 8] {
            let mut buckets = Buckets::new(SECOND, 4, most);
            let (mut tenths, mut at, mut refused, mut outstanding) = ([40_u64; 8], now, 0, Vec::new());
            for _ in 0..20_000 {
                let passed = draw(3);
                at += SECOND / 10 * u32::try_from(passed).unwrap();
                tenths = tenths.map(|tenths| (tenths + passed).min(40));
                let number = draw(8);
                let own = &mut tenths[usize::try_from(number).unwrap()];
                match buckets.take(scope(number.try_into().unwrap()), at) {
                    Ok(()) => {
                        *own = own.checked_sub(10).expect("more than its own bucket holds");
                        outstanding.push(number);
                    }
                    Err(_) if *own >= 10 => refused += 1,
                    Err(_) => {}
                }
                if draw(3) == 0 && !outstanding.is_empty() {
                    let number = outstanding.swap_remove(usize::try_from(draw(outstanding.len() as u64)).unwrap());
                    let own = &mut tenths[usize::try_from(number).unwrap()];
                    *own = (*own + 10).min(40);
                    buckets.give_back(scope(number.try_into().unwrap()));
                }
                outstanding.truncate(6);
            }
            assert_eq!(refused == 0, most == 8, "with a bucket for each nobody is refused in vain: {refused}");
        }
    }
}
