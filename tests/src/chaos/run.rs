//! A run: the servers, the clients, the faults, and the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use super::client::live;
use super::ground::Ground;
use super::server::Server;
use super::{Ledger, Plan, Report, Tally, faults};

/// What was seen when the first key broke the promise: after how many milliseconds.
pub(super) const CAUGHT: &str = "milliseconds until a key broke the promise";

/// Everything that takes part.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) ground: Ground,
    pub(super) servers: Vec<Server>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) tally: Tally,
    next: AtomicU64,
    is_broken: AtomicBool,
    began: Instant,
}

impl World {
    async fn prepare(plan: &Plan) -> Self {
        let (ledger, tally) = (Arc::new(Ledger::new()), Tally::default());
        let ground = Ground::start(plan.topology, plan.servers, &tally).await;
        let server = |number| {
            let (ledger, whole) = (Arc::clone(&ledger), Arc::clone(&ground.whole));
            Server::new(ground.url(number), plan.subject, ledger, tally.clone(), whole)
        };
        let servers: Vec<_> = (0..plan.servers).map(server).collect();
        join_all(servers.iter().map(Server::start)).await;
        let (next, is_broken, began) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
        Self { plan: plan.clone(), ground, servers, ledger, tally, next, is_broken, began }
    }

    /// A key broke the promise.
    pub(super) fn broke(&self) {
        if !self.is_broken.swap(true, Ordering::SeqCst) {
            let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.tally.saw_times(CAUGHT, after);
        }
    }

    fn is_over(&self, started: Instant) -> bool {
        started.elapsed() >= self.plan.duration || self.plan.until_broken && self.is_broken.load(Ordering::SeqCst)
    }

    /// One key after another.
    async fn client(&self, number: u64, started: Instant) {
        let mut dice = StdRng::seed_from_u64(self.plan.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        while !self.is_over(started) {
            live(self, self.next.fetch_add(1, Ordering::Relaxed), &mut dice).await;
        }
    }
}

/// Carries out the plan.
pub async fn run(plan: &Plan) -> Report {
    let world = Arc::new(World::prepare(plan).await);
    let started = Instant::now();
    let mut suffering = faults::spread(&world);
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        let world = Arc::clone(&world);
        clients.spawn(async move { world.client(number as u64, started).await });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("clients do not panic");
    }
    suffering.shutdown().await;
    // Whoever stood still and would go on is part of the run.
    crate::let_pass(std::time::Duration::from_secs(2)).await;
    for server in &world.servers {
        server.kill();
    }
    Report::of(plan, &world.ledger, &world.tally, started.elapsed())
}
