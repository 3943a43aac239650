//! How a lease stands: told by whoever renews it, asked by whoever works under it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What is known of a lease in this process, by its own monotonic clock.
///
/// Not a `tokio::sync::watch`: it is made for many who wait, and larger and dearer to make and tear down for each request. Hardly
/// any handler waits.
pub(crate) struct Hold {
    standing: Mutex<Standing>,
    lost: Notify,
}

#[derive(Clone, Copy)]
struct Standing {
    /// When the lease lapses unless it is renewed.
    until: Instant,
    lost: bool,
}

impl Hold {
    /// A lease that lasts until then.
    pub(super) fn new(until: Instant) -> Self {
        Self { standing: Mutex::new(Standing { until, lost: false }), lost: Notify::new() }
    }

    /// It was renewed. Who waits sees it when it would have lapsed.
    pub(super) fn prolong(&self, until: Instant) {
        self.standing().until = until;
    }

    /// It is not renewed any more.
    pub(super) fn lose(&self) {
        self.standing().lost = true;
        self.lost.notify_waiters();
    }

    /// Whether the lease can no longer be counted on. The time is looked at again: the process may have been stopped
    /// since anybody last had the chance to say so.
    pub(crate) fn is_lost(&self) -> bool {
        self.standing().is_lost()
    }

    /// Completes when the lease can no longer be counted on. Cancel safe.
    pub(crate) async fn lost(&self) {
        loop {
            let lost = self.lost.notified();
            tokio::pin!(lost);
            // Registered before looking, or a loss in between would be missed.
            lost.as_mut().enable();
            let now = *self.standing();
            if now.is_lost() {
                return;
            }
            tokio::select! {
                () = lost => {}
                () = sleep_until(now.until) => {}
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn is_lost(&self) -> bool {
        self.lost || Instant::now() >= self.until
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    /// A hold, and how long after it began somebody who waits is told that it is lost.
    fn waited_for() -> (Arc<Hold>, tokio::task::JoinHandle<Duration>) {
        let begun = Instant::now();
        let hold = Arc::new(Hold::new(begun + LEASE));
        let waits = Arc::clone(&hold);
        (
            hold,
            tokio::spawn(async move {
                waits.lost().await;
                begun.elapsed()
            }),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_nobody_renews_is_lost_when_it_lapses() {
        let (_hold, told) = waited_for();
        assert_eq!(told.await.expect("told"), LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_renewed_lasts_longer() {
        let (hold, told) = waited_for();
        tokio::time::sleep(LEASE / 3).await;
        hold.prolong(Instant::now() + LEASE);
        assert_eq!(told.await.expect("told"), LEASE + LEASE / 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_of_a_loss_at_once() {
        let (hold, told) = waited_for();
        tokio::time::sleep(LEASE / 3).await;
        assert!(!hold.is_lost());
        hold.lose();
        assert!(hold.is_lost());
        assert_eq!(told.await.expect("told"), LEASE / 3);
    }
}
