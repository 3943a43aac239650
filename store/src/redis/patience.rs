//! Deadlines without a timer per command: one coarse tick wakes all that wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::{Deadline, DeadlinePassed};

/// How late a deadline may be noticed.
const TICK: Duration = Duration::from_millis(20);

/// Waits for futures, at most until their deadlines. The tick runs only while somebody waits.
#[derive(Debug)]
pub(super) struct Patience {
    shared: Arc<Shared>,
    ticking: AbortHandle,
}

/// Why an answer is not waited for any longer. What was asked may be carried out all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Impatience {
    #[error(transparent)]
    Deadline(#[from] DeadlinePassed),
    #[error("the connection was given up")]
    GivenUp,
}

#[derive(Debug)]
struct Shared {
    waiting: AtomicUsize,
    begun: Notify,
    tick: Notify,
}

impl Patience {
    /// Starts the tick on the current runtime.
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared { waiting: AtomicUsize::new(0), begun: Notify::new(), tick: Notify::new() });
        let ticking = tokio::spawn(tick(Arc::clone(&shared))).abort_handle();
        Self { shared, ticking }
    }

    /// The output of `future`, or why it is not waited for any longer; the future is dropped then. Both are noticed a
    /// tick or two late: an answer that is just arriving still counts.
    pub(super) async fn wait<T>(
        &self,
        deadline: Deadline,
        is_given_up: impl Fn() -> bool,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Impatience> {
        let _waiting = self.shared.enter();
        let mut was_given_up = false;
        loop {
            tokio::select! {
                biased;
                output = future.as_mut() => return Ok(output),
                () = self.shared.tick.notified() => {
                    if deadline.is_past() {
                        return Err(DeadlinePassed.into());
                    }
                    if was_given_up {
                        return Err(Impatience::GivenUp);
                    }
                    was_given_up = is_given_up();
                }
            }
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}

impl Shared {
    fn enter(&self) -> Waiting<'_> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.begun.notify_one();
        }
        Waiting(self)
    }
}

struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn tick(shared: Arc<Shared>) {
    loop {
        while shared.waiting.load(Ordering::Acquire) == 0 {
            shared.begun.notified().await;
        }
        tokio::time::sleep(TICK).await;
        shared.tick.notify_waiters();
    }
}
