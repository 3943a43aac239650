//! The storm itself: clients at work while the server is killed, then the same questions once more in calm weather.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::args::Args;
use super::base::Base;
use super::client::{Client, Orders};
use super::error::Error;
use super::history::{History, Phase};
use super::plan::Plan;
use super::progress::{Progress, Pulse};
use super::scene::Scene;
use super::server::Process;
use super::wire::Wire;

/// What the clients went through.
#[derive(Debug)]
pub(crate) struct Events {
    /// Each payment's story.
    pub(crate) histories: Vec<History>,
    /// How often the server was killed.
    pub(crate) kills: u64,
    /// How long the storm lasted, without the questions afterwards.
    pub(crate) lasted: Duration,
}

/// Both rounds.
pub(crate) async fn run(args: &Args, plan: Plan, scene: &mut Scene) -> Result<Events, Error> {
    let campaign =
        Campaign { args, plan, servers: Arc::clone(&scene.servers), began: Instant::now(), pulse: Arc::default() };
    let mut histories = campaign.storm(scene.server.as_mut()).await?;
    let lasted = campaign.began.elapsed();
    // A client that sends a fresh key each time would not ask: it would pay again.
    if !args.without_key {
        campaign.last_kill(scene.server.as_mut()).await?;
        histories = campaign.round(Phase::Recall, histories).await?;
    }
    histories.sort_by_key(|history| history.number);
    Ok(Events { histories, kills: campaign.pulse.kills(), lasted })
}

#[derive(Debug)]
struct Campaign<'a> {
    args: &'a Args,
    plan: Plan,
    servers: Arc<[Base]>,
    began: Instant,
    pulse: Arc<Pulse>,
}

impl Campaign<'_> {
    async fn storm(&self, server: Option<&mut Process>) -> Result<Vec<History>, Error> {
        let planned = (0..self.args.payments).map(|number| History::planned(&self.plan, number));
        // Dropped in the middle of a restart, the killer leaves a dead server behind; `last_kill` brings it back.
        tokio::select! {
            histories = self.round(Phase::Storm, planned.collect()) => histories,
            failed = self.kill_every(server) => Err(failed),
        }
    }

    /// Kills and restarts the server until it is dropped; returns only when the server ends by itself or does not come back.
    async fn kill_every(&self, server: Option<&mut Process>) -> Error {
        let Some(server) = server else {
            return pending().await;
        };
        let Some(every) = self.args.kill_every else {
            return server.ended().await;
        };
        loop {
            if let Ok(ended) = timeout(every, server.ended()).await {
                return ended;
            }
            self.pulse.killed();
            if let Err(error) = server.restart().await {
                return error;
            }
        }
    }

    /// Once more before the questions, so that every answer comes from the disk.
    async fn last_kill(&self, server: Option<&mut Process>) -> Result<(), Error> {
        match (self.args.kill_every, server) {
            (Some(_), Some(server)) => {
                self.pulse.killed();
                server.restart().await
            }
            _ => Ok(()),
        }
    }

    async fn round(&self, phase: Phase, histories: Vec<History>) -> Result<Vec<History>, Error> {
        let _progress = Progress::start(phase.name(), self.args.payments, Arc::clone(&self.pulse));
        let orders = Arc::new(self.orders(phase));
        let mut done = Vec::with_capacity(histories.len());
        let queue = Arc::new(Mutex::new(VecDeque::from(histories)));
        let mut clients = JoinSet::new();
        for _ in 0..self.args.clients {
            let wire = Wire::new(Arc::clone(&self.servers), self.args.timeout);
            let client = Client::new(Arc::clone(&orders), wire);
            clients.spawn(serve_queue(client, phase, Arc::clone(&queue)));
        }
        while let Some(part) = clients.join_next().await {
            done.extend(part?);
        }
        Ok(done)
    }

    fn orders(&self, phase: Phase) -> Orders {
        Orders {
            phase,
            plan: self.plan,
            source: self.args.source(),
            without_key: self.args.without_key,
            patience: self.args.patience,
            began: self.began,
            ends: Instant::now() + self.args.deadline,
            pulse: Arc::clone(&self.pulse),
        }
    }
}

async fn serve_queue(client: Client, phase: Phase, queue: Arc<Mutex<VecDeque<History>>>) -> Vec<History> {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut done = Vec::new();
    while let Some(mut history) = next() {
        // What was never asked in the storm cannot be asked once more.
        if phase == Phase::Storm || !history.exchanges.is_empty() {
            client.pay(&mut history).await;
        }
        done.push(history);
    }
    done
}
