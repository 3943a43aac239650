//! Looks after a line while it is in use: whether the server still answers on it, what time it has there, what its role is, and
//! whether it still is the one to talk to.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::greeting::time;
use super::link::{Link, Live};
use super::role::Role;

/// How often the server's clock is read and its place is looked at. It also notices a connection that died without a word.
const CALIBRATION: Duration = Duration::from_secs(5);

/// Looks at the server every few seconds, until the line or the store is gone. It holds neither between two looks.
pub(super) async fn watch(link: Weak<Link>, generation: u64) {
    loop {
        sleep(CALIBRATION).await;
        let Some(link) = link.upgrade() else { return };
        let Some(live) = link.current().filter(|live| live.generation == generation) else { return };
        if !link.calibrate(&live, CALIBRATION).await {
            return;
        }
        // A lane on which nobody claims may have died without a word. Behind a wait for replicas it answers later.
        let within = CALIBRATION.saturating_add(link.shared.config.replication_timeout);
        if !timeout(within, live.line.is_heard()).await.unwrap_or(false) {
            link.give_up(&live);
            return;
        }
        link.look_at_role(&live).await;
        link.doubt(&live);
    }
}

impl Link {
    /// Reads the server's clock. If it cannot be read in time, the line is given up.
    pub(super) async fn calibrate(&self, live: &Live, within: Duration) -> bool {
        let mut connection = live.line.connection.clone();
        let Ok(Ok(Some(server))) = timeout(within, time(&mut connection, &self.shared.scripts)).await else {
            self.give_up(live);
            return false;
        };
        self.clock.calibrate(server);
        true
    }

    /// Looks in the background whether the server still is where it was found, and gives up the line if it is not: a master
    /// that was cut off from its replicas and Sentinels does not know that there is another one.
    pub(super) fn doubt(self: &Arc<Self>, live: &Arc<Live>) {
        if self.origin.is_certain() || self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (link, live) = (Arc::clone(self), Arc::clone(live));
        tokio::spawn(async move {
            link.look_after(&live).await;
            link.looking.store(false, Ordering::Release);
        });
    }

    async fn look_after(&self, live: &Live) {
        let found = self.origin.find(&self.shared.config, self.shared.config.connect_timeout).await;
        // Sentinels that do not answer say nothing about the master.
        if found.is_ok_and(|found| found.info.addr() != live.found.info.addr()) {
            self.give_up(live);
        }
    }

    /// Looks at the server's place. Whether the line still works is for the clock's reading to find out.
    async fn look_at_role(&self, live: &Live) {
        let mut connection = live.line.connection.clone();
        if let Ok(Ok(role)) = timeout(CALIBRATION, Role::of(&mut connection)).await {
            self.shared.note(role, true);
        }
    }
}
