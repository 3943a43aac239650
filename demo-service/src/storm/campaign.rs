//! The storm itself: clients at work while the servers are killed, then the same questions once more in calm weather.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::select_all;
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
    /// How often a server was killed.
    pub(crate) kills: u64,
    /// How long the storm lasted, without the questions afterwards.
    pub(crate) lasted: Duration,
}

/// Both rounds.
pub(crate) async fn run(args: &Args, plan: Plan, scene: &mut Scene) -> Result<Events, Error> {
    let campaign =
        Campaign { args, plan, servers: Arc::clone(&scene.servers), began: Instant::now(), pulse: Arc::default() };
    let mut histories = campaign.storm(&mut scene.processes).await?;
    let lasted = campaign.began.elapsed();
    // A client that sends a fresh key each time would not ask: it would pay again.
    if !args.without_key {
        campaign.last_kill(&mut scene.processes).await?;
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
    async fn storm(&self, servers: &mut [Process]) -> Result<Vec<History>, Error> {
        let planned = (0..self.args.payments).map(|number| History::planned(&self.plan, number));
        // Dropped in the middle of a restart, the killer leaves a dead server behind; `last_kill` brings it back.
        tokio::select! {
            histories = self.round(Phase::Storm, planned.collect()) => histories,
            failed = self.kill_every(servers) => Err(failed),
        }
    }

    /// Kills a server and restarts it until it is dropped; returns only when one ends by itself or does not come back.
    async fn kill_every(&self, servers: &mut [Process]) -> Error {
        let Some(every) = self.args.own.kill_every else {
            return any_ended(servers).await;
        };
        for kill in 0.. {
            if let Ok(ended) = timeout(every, any_ended(servers)).await {
                return ended;
            }
            let victim = self.plan.victim(kill, servers.len());
            if let Some(victim) = servers.get_mut(victim)
                && let Err(error) = self.kill(victim).await
            {
                return error;
            }
        }
        pending().await
    }

    /// All of them once more before the questions, so that every answer comes from the store.
    async fn last_kill(&self, servers: &mut [Process]) -> Result<(), Error> {
        if self.args.own.kill_every.is_some() {
            for server in servers {
                self.kill(server).await?;
            }
        }
        Ok(())
    }

    async fn kill(&self, server: &mut Process) -> Result<(), Error> {
        self.pulse.killed();
        server.restart().await
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
            timeout: self.args.timeout,
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

/// Resolves when one of them ends without having been killed, which none ever should.
async fn any_ended(servers: &mut [Process]) -> Error {
    if servers.is_empty() {
        return pending().await;
    }
    select_all(servers.iter_mut().map(|server| Box::pin(server.ended()))).await.0
}
