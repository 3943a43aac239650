//! The highest fence of a key, and the one decision about it, as pure functions.
//!
//! The memory and the embedded store run [`admit`]. The script of the Redis store is tested against it.

use std::time::Duration;

use super::{Admitted, Holder};
use crate::StoreTime;

/// The highest holder of a key, and until when it is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The holder.
    pub holder: Holder,
    /// From when on, by the store's clock, the mark counts no more.
    pub expires_at: StoreTime,
}

/// Decides about `holder`: the reply, and the mark to be written if there is one.
///
/// ```
/// use idempotency_store::fence_store::mark::admit;
/// use idempotency_store::{Admitted, Fence, Holder, Owner, StoreTime};
/// use std::time::Duration;
///
/// let (now, day) = (StoreTime::from_micros(1_795_521_600_000_000), Duration::from_secs(86_400));
/// let [low, high] = [33, 34].map(|fence| Holder { fence: Fence::new(fence), owner: Owner::new([7; 16]) });
/// let (mark, admitted) = admit(None, now, high, day);
/// assert_eq!(admitted, Admitted::Admitted);
/// assert_eq!(admit(mark.as_ref(), now, low, day), (None, Admitted::Fenced { highest: high.fence }));
/// ```
pub fn admit(current: Option<&Mark>, now: StoreTime, holder: Holder, retention: Duration) -> (Option<Mark>, Admitted) {
    let current = current.filter(|mark| now < mark.expires_at);
    if let Some(mark) = current.filter(|mark| !passes(holder, mark.holder)) {
        return (None, Admitted::Fenced { highest: mark.holder.fence });
    }
    let promised = current.map_or(now, |mark| mark.expires_at);
    (Some(Mark { holder, expires_at: now.after(life(retention)).max(promised) }), Admitted::Admitted)
}

/// A greater fence passes; an equal one only if it is the same attempt's.
fn passes(holder: Holder, highest: Holder) -> bool {
    holder.fence > highest.fence || holder == highest
}

/// A retention in the unit that every store can represent, within what makes sense.
pub(super) fn life(retention: Duration) -> Duration {
    const TEN_YEARS: u64 = 10 * 366 * 24 * 60 * 60 * 1000;
    Duration::from_millis(u64::try_from(retention.as_millis()).unwrap_or(u64::MAX).clamp(1, TEN_YEARS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fence, Owner};

    #[test]
    fn a_retention_is_cut_to_what_a_store_can_keep() {
        for (asked, kept) in [(0, 1), (1_999_999, 1), (2_000_000, 2), (60_000_000_000, 60_000)] {
            assert_eq!(life(Duration::from_nanos(asked)), Duration::from_millis(kept));
        }
        assert_eq!(life(Duration::MAX), Duration::from_secs(10 * 366 * 24 * 60 * 60));
    }

    #[test]
    fn a_mark_counts_until_the_moment_at_which_it_expires() {
        let second = Duration::from_secs(1);
        let [low, high] = [1, 2].map(|fence| Holder { fence: Fence::new(fence), owner: Owner::new([7; 16]) });
        let now = StoreTime::from_micros(1_000_000);
        let (mark, _) = admit(None, now, high, second);
        let ask = |at| admit(mark.as_ref(), at, low, second).1;
        assert_eq!(ask(StoreTime::from_micros(1_999_999)), Admitted::Fenced { highest: high.fence });
        assert_eq!(ask(StoreTime::from_micros(2_000_000)), Admitted::Admitted);
    }
}
