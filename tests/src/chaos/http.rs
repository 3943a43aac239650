//! The same with real processes: the demo's servers, its bank as the judge, and SIGKILL and SIGSTOP for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use super::faults::{break_lines_of, fail_overs, harm_once, pause};
use super::ground::Ground;
use super::ledger::Balance;
use super::{Answer, History, Lane, Plan, Report, Tally};
use crate::{Bank, Server, let_pass};

/// How long a client waits for one answer, and asks for an outcome.
const TIMEOUT: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(20);

/// The demo's processes on the Redis servers of a run.
struct Processes {
    ground: Ground,
    bank: Bank,
    servers: Vec<RwLock<Option<Server>>>,
    tally: Tally,
    program: String,
    next: AtomicU64,
    histories: std::sync::Mutex<BTreeMap<String, History>>,
}

/// Carries out the plan with processes of the demo, whose `program` this is, started with these further options.
///
/// Fates of owners are left out: the processes die themselves.
pub async fn run_processes(plan: &Plan, program: &str, options: &[(&str, &str)]) -> Report {
    let tally = Tally::default();
    let ground = Ground::start(plan.topology, plan.servers, &tally).await;
    let world = Arc::new(Processes {
        ground,
        bank: Bank::start(program).await,
        servers: (0..plan.servers).map(|_| RwLock::default()).collect(),
        tally,
        program: program.to_owned(),
        next: AtomicU64::new(0),
        histories: std::sync::Mutex::default(),
    });
    for number in 0..plan.servers {
        world.start(number, options).await;
    }
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        let (world, plan) = (Arc::clone(&world), plan.clone());
        clients.spawn(async move { world.client(&plan, number as u64, started).await });
    }
    let mut dice = StdRng::seed_from_u64(plan.seed);
    // From this task: whatever is started dies with the thread that started it.
    let suffering = world.suffer(plan, options, &mut dice);
    let mut lines = StdRng::seed_from_u64(plan.seed.wrapping_add(1));
    tokio::select! {
        () = suffering => {}
        () = break_lines_of(&world.ground, plan.line_faults, &mut lines) => {}
        () = async { while clients.join_next().await.is_some() {} } => {}
    }
    world.judge(plan, started.elapsed()).await
}

impl Processes {
    async fn start(&self, number: usize, options: &[(&str, &str)]) {
        let mut server = Server::on(&self.program, &self.ground.url(number), self.bank.url());
        for (name, value) in options {
            server = server.option(name, value);
        }
        let server = server.lease("1s").wait_for_store("60s").start().await;
        *self.servers[number].write().await = Some(server);
    }

    /// One fault after another, of servers and of Redis.
    async fn suffer(&self, plan: &Plan, options: &[(&str, &str)], dice: &mut StdRng) {
        loop {
            pause(plan.gap * 2, dice).await;
            match dice.random_range(0..3) {
                0 => {
                    let number = dice.random_range(0..self.servers.len());
                    self.tally.fault("server killed with SIGKILL");
                    if let Some(server) = self.servers[number].write().await.take() {
                        server.process.kill().await;
                    }
                    self.start(number, options).await;
                }
                1 => {
                    let number = dice.random_range(0..self.servers.len());
                    self.tally.fault("server stopped and continued");
                    if let Some(server) = &*self.servers[number].read().await {
                        server.process.pause().await;
                        // Longer than its leases last.
                        pause(Duration::from_millis(1500), dice).await;
                        server.process.resume();
                    }
                }
                _ => harm_once(&self.ground, dice).await,
            }
        }
    }

    async fn client(&self, plan: &Plan, number: u64, started: Instant) {
        let mut dice = StdRng::seed_from_u64(plan.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        while started.elapsed() < plan.duration {
            let key = format!("{}-{}", plan.seed, self.next.fetch_add(1, Ordering::Relaxed));
            let history = self.pay(&key, &mut dice).await;
            self.histories.lock().expect("no client panics").insert(key, history);
        }
    }

    /// One payment, asked for until there is an outcome, and once more.
    async fn pay(&self, key: &str, dice: &mut StdRng) -> History {
        let mut history = History::default();
        for _ in 0..2 {
            let patience = Instant::now() + PATIENCE;
            while Instant::now() < patience {
                let answer = self.ask(key, dice).await;
                let settled = answer.is_final();
                self.tally.saw(answer.name());
                history.add(answer);
                if settled {
                    break;
                }
                let_pass(Duration::from_millis(dice.random_range(20..200))).await;
            }
        }
        history
    }

    async fn ask(&self, key: &str, dice: &mut StdRng) -> Answer {
        self.tally.saw("requests");
        let server = &self.servers[dice.random_range(0..self.servers.len())];
        let request = match &*server.read().await {
            Some(server) => server.payment(key, 1000),
            None => return Answer::Nothing,
        };
        match request.timeout(TIMEOUT).send().await {
            Ok(response) => read(response).await,
            Err(_) => Answer::Nothing,
        }
    }

    /// The bank's ledger judges, when nobody can charge any more.
    async fn judge(&self, plan: &Plan, took: Duration) -> Report {
        for server in &self.servers {
            if let Some(server) = server.write().await.take() {
                server.process.kill().await;
            }
        }
        let mut charges = BTreeMap::<String, u32>::new();
        for charge in self.bank.ledger().await {
            *charges.entry(charge.reference).or_default() += 1;
        }
        for (key, history) in &*self.histories.lock().expect("no client panics") {
            self.tally.saw("keys");
            let effects = charges.get(key).copied().unwrap_or_default();
            let verdict = history.verdict(Lane::Refuse, Balance { effects, told: effects });
            self.tally.saw(verdict.name());
            if verdict.is_broken() {
                self.tally.broke(|| format!("{key}, {effects} charges: {verdict:?}: {:?}", history.answers()));
            }
        }
        let faults = self.tally.faults();
        Report {
            seed: plan.seed,
            topology: format!("{}, processes", plan.topology.name()),
            subject: plan.subject.name(),
            took,
            executed: charges.len() as u64,
            doubles: charges.values().filter(|charges| **charges > 1).count() as u64,
            fail_overs: fail_overs(&faults),
            faults: faults.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            seen: self.tally.all_seen().into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            broken: self.tally.broken(),
            matrix: Vec::new(),
        }
    }
}

async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let Ok(body) = response.text().await else { return Answer::Nothing };
    if status.is_success() {
        let replayed = headers.contains_key("idempotent-replayed");
        return Answer::Done { body, replayed, unrecorded: headers.contains_key("idempotency-status") };
    }
    match status {
        StatusCode::CONFLICT if body.contains("in-flight") => Answer::InFlight,
        StatusCode::CONFLICT if body.contains("indeterminate") => Answer::Indeterminate,
        StatusCode::SERVICE_UNAVAILABLE if !body.contains("record-corrupt") => Answer::NotRun,
        // The bank was not reached in time, or the server drains: its own answers, and recorded ones.
        status if status.is_server_error() => Answer::Panicked,
        status => Answer::Wrong(format!("{status}: {body}")),
    }
}
