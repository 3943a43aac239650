//! What befalls lines, servers and Redis, drawn one after the other.

mod cluster;
mod pair;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use super::ground::{Ground, Servers, tell};
use super::run::World;
use crate::{Gate, LineFault, RedisServer, SentinelGroup, let_pass};

/// Further than a lease lasts, and far less than keys are kept.
const STEP: std::ops::Range<u64> = 500..8_000;

/// Starts all of them. They end when the set is dropped.
pub(super) fn spread(world: &Arc<World>) -> JoinSet<()> {
    let mut all = JoinSet::new();
    let dice = |stream: u64| StdRng::seed_from_u64(world.plan.seed.wrapping_add(stream));
    all.spawn(break_lines(Arc::clone(world), dice(1)));
    all.spawn(kill_servers(Arc::clone(world), dice(2)));
    all.spawn(harm_redis(Arc::clone(world), dice(3)));
    all
}

/// A pause around this long.
pub(super) async fn pause(around: Duration, dice: &mut StdRng) {
    let_pass(around.mul_f64(dice.random_range(0.1..1.9))).await;
}

async fn break_lines(world: Arc<World>, mut dice: StdRng) {
    break_lines_of(&world.ground, world.plan.line_faults, &mut dice).await;
}

/// So many faults of lines per second, as long as it is awaited.
pub(super) async fn break_lines_of(ground: &Ground, per_second: f64, dice: &mut StdRng) {
    if ground.lines.is_empty() || per_second <= 0.0 {
        std::future::pending::<()>().await;
    }
    loop {
        pause(Duration::from_secs_f64(1.0 / per_second), dice).await;
        let line = &ground.lines[dice.random_range(0..ground.lines.len())];
        // Faults do not wait for a server that is away: it would be met by all of them when it comes back.
        if line.connections() == 0 {
            continue;
        }
        let (name, fault) = draw_line_fault(dice);
        let tally = ground.tally.clone();
        let struck = move |_: &_| {
            tally.fault(name);
            true
        };
        line.next(1, struck, fault);
    }
}

fn draw_line_fault(dice: &mut StdRng) -> (&'static str, LineFault) {
    match dice.random_range(0..12) {
        0..=2 => ("connection cut before the request arrived", LineFault::CutBefore),
        3..=5 => ("connection cut before the reply", LineFault::CutAfter),
        6 => ("connection cut within the reply", LineFault::CutMidReply(dice.random_range(1..8))),
        7 | 8 => ("reply delayed", LineFault::Delay(Duration::from_millis(dice.random_range(5..400)))),
        9 => ("black hole, request delivered", LineFault::BlackHole { delivered: true }),
        10 => ("black hole, request lost", LineFault::BlackHole { delivered: false }),
        _ => {
            let (gate, late) = (Gate::default(), Duration::from_millis(dice.random_range(20..3000)));
            let opened = gate.clone();
            tokio::spawn(async move {
                let_pass(late).await;
                opened.open();
            });
            ("request delivered late, after its connection was cut", LineFault::Ghost(gate))
        }
    }
}

async fn kill_servers(world: Arc<World>, mut dice: StdRng) {
    loop {
        pause(Duration::from_millis(500), &mut dice).await;
        let server = &world.servers[dice.random_range(0..world.servers.len())];
        server.kill();
        world.tally.fault("server killed");
        server.start().await;
    }
}

async fn harm_redis(world: Arc<World>, mut dice: StdRng) {
    loop {
        pause(world.plan.gap, &mut dice).await;
        harm_once(&world.ground, &mut dice).await;
    }
}

/// One fault of Redis, after which it is whole again.
pub(super) async fn harm_once(ground: &Ground, dice: &mut StdRng) {
    match (&ground.redis, dice.random_range(0..10)) {
        (_, 0) => flush_scripts(ground).await,
        (_, 1) => fill_memory(ground, dice).await,
        (Servers::Standalone(_) | Servers::Pair(_), 2) => step_clock(ground, dice),
        (Servers::Standalone(server), 3..=6) => restart(ground, server).await,
        (Servers::Standalone(server), _) => stop(ground, server, dice).await,
        (Servers::Pair(pair), _) => pair::fail_over(ground, pair, dice).await,
        (Servers::Sentinel(group), kind) => fail_over(ground, group, kind).await,
        (Servers::Cluster(cluster), kind) => cluster::harm(ground, cluster, kind, dice).await,
    }
}

async fn flush_scripts(ground: &Ground) {
    ground.tally.fault("scripts flushed");
    for master in ground.masters().await {
        tell(master, &["SCRIPT", "FLUSH", "SYNC"]).await;
    }
}

async fn fill_memory(ground: &Ground, dice: &mut StdRng) {
    ground.tally.fault("memory full");
    let masters = ground.masters().await;
    for master in &masters {
        tell(master, &["CONFIG", "SET", "maxmemory", "1"]).await;
    }
    pause(Duration::from_millis(150), dice).await;
    for master in masters {
        tell(master, &["CONFIG", "SET", "maxmemory", "0"]).await;
    }
}

fn step_clock(ground: &Ground, dice: &mut StdRng) {
    let step = Duration::from_millis(dice.random_range(STEP));
    let clock = &ground.clock;
    match dice.random_range(0..3) {
        0 => clock.ahead(step),
        1 => clock.behind(step),
        _ => clock.right(),
    }
    ground.tally.fault("clock of Redis stepped");
}

async fn restart(ground: &Ground, server: &RedisServer) {
    ground.tally.fault("Redis killed");
    server.restart().await;
}

pub(super) async fn stop(ground: &Ground, server: &RedisServer, dice: &mut StdRng) {
    ground.tally.fault("Redis stopped and continued");
    server.stop().await;
    pause(Duration::from_millis(600), dice).await;
    server.cont();
}

async fn fail_over(ground: &Ground, group: &SentinelGroup, kind: i32) {
    let _whole = ground.whole.write().await;
    match kind {
        ..=4 => {
            ground.tally.fault("fail-over by Sentinel");
            group.fail_over().await;
        }
        5 | 6 => {
            ground.tally.fault("fail-over after SIGKILL of the master");
            let old = group.master().await;
            old.kill9();
            group.until_other_than(old.address()).await;
            old.restart().await;
        }
        _ => {
            ground.tally.fault("split brain by Sentinel");
            let old = group.split().await;
            group.heal(old).await;
        }
    }
    group.until_complete().await;
}

/// Which of the faults are fail-overs, and which of these left two masters.
pub(super) fn fail_overs(faults: &std::collections::BTreeMap<&'static str, u64>) -> (u64, u64) {
    let of = |word: &str| faults.iter().filter(|(name, _)| name.starts_with(word)).map(|(_, count)| count).sum::<u64>();
    let splits = of("split brain");
    (of("fail-over") + splits, splits)
}
