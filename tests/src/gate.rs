//! A gate that holds whoever comes to it until a test opens it.

use tokio::sync::watch;

use crate::{Count, within};

/// Starts closed. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    arrived: Count,
    open: Open,
}

#[derive(Clone, Debug)]
struct Open(watch::Sender<bool>);

impl Default for Open {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Gate {
    /// Waits at the gate; for ever, if nobody opens it.
    pub async fn pass(&self) {
        self.arrived.up();
        // An error means that the sender is gone, and the sender is `self`.
        let _ = self.open.0.subscribe().wait_for(|open| *open).await;
    }

    /// Waits until `times` have come to the gate.
    pub async fn arrived(&self, times: usize) {
        within("somebody comes to a gate", self.arrived.reached(times)).await;
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.open.0.send_replace(true);
    }
}
