//! Waiting for events: bounded, so that what never happens is a failure with a name.

use std::time::Duration;

use tokio::sync::watch;

/// Far longer than anything takes; only what never happens is caught by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `event`, and fails the test by the name of `what` if it does not come.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, event).await;
    came.unwrap_or_else(|_elapsed| panic!("{what}: did not happen within {PATIENCE:?}"))
}

/// Asks again until `ask` has an answer, for what can only be asked; bounded like [`within`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    const PAUSE: Duration = Duration::from_millis(20);
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    within(what, answer).await
}

/// Lets time itself pass, for the leases of real processes: that they lapse is no event that could be awaited.
///
/// Only ever for *longer than*: nothing may depend on its being short.
pub async fn let_pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// How often something happened, for those who wait for it to happen.
#[derive(Clone, Debug)]
pub struct Count(watch::Sender<usize>);

impl Default for Count {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Count {
    /// It happened once more; returns how often so far.
    pub fn up(&self) -> usize {
        let mut now = 0;
        self.0.send_modify(|count| {
            *count += 1;
            now = *count;
        });
        now
    }

    /// How often it happened so far.
    pub fn get(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until it has happened `times`.
    pub async fn reached(&self, times: usize) {
        // An error means that the sender is gone, and the sender is `self`.
        let _ = self.0.subscribe().wait_for(|count| *count >= times).await;
    }
}
