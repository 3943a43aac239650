//! One key's life: several clients ask for it, at the same time and later, until it is judged.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::RngExt;
use rand::rngs::StdRng;

use super::order::draw_size;
use super::run::World;
use super::{Answer, Fate, History, Lane, Order, Topology, Verdict};
use crate::let_pass;

/// How long clients ask for a first outcome, and again for the same one.
const PATIENCE: Duration = Duration::from_secs(8);

/// One key, from its first request to its verdict.
pub(super) async fn live(world: &World, key: u64, dice: &mut StdRng) {
    let (lane, size) = (lane(world.plan.topology, dice), draw_size(dice));
    let life = (key, lane, size);
    let (mut history, mut fates) = (History::default(), Vec::new());
    let volley: Vec<_> = (0..together(lane, dice))
        .map(|number| {
            let (order, wait) = (order(world, life, dice), stagger(number, dice));
            fates.extend(order.fate.name());
            let asked = ask(world, order, dice);
            async move {
                let_pass(wait).await;
                asked.await
            }
        })
        .collect();
    let answers = join_all(volley).await;
    let mut settled = answers.iter().any(Answer::is_final);
    for answer in answers {
        history.add(answer);
    }

    // First until there is an outcome, then once more: later, when much may have happened to the store.
    for round in 0..2 {
        if round == 1 {
            let_pass(later(dice)).await;
            settled = false;
        }
        let patience = Instant::now() + PATIENCE;
        while !settled && Instant::now() < patience {
            let_pass(Duration::from_millis(dice.random_range(10..120))).await;
            let order = order(world, life, dice);
            fates.extend(order.fate.name());
            let answer = ask(world, order, dice).await;
            settled = answer.is_final();
            history.add(answer);
        }
    }
    let verdict = judge(world, life, &history);
    if let [fate] = fates[..] {
        world.tally.became((lane.name(), fate, verdict.name()));
    }
}

/// Sends a request to any server.
fn ask<'a>(world: &'a World, order: Order, dice: &mut StdRng) -> impl Future<Output = Answer> + Send + use<'a> {
    let server = &world.servers[dice.random_range(0..world.servers.len())];
    if let Some(fate) = order.fate.name() {
        world.tally.fault(fate);
    }
    world.tally.saw("requests");
    async move {
        let answer = server.send(order).await;
        world.tally.saw(answer.name());
        answer
    }
}

/// How many ask before there is an answer. One that is to be overtaken needs somebody who overtakes it.
fn together(lane: Lane, dice: &mut StdRng) -> usize {
    let others = usize::from(dice.random_bool(0.2)) + usize::from(dice.random_bool(0.05));
    others + if lane == Lane::Own { 2 } else { 1 }
}

/// The first asks at once; the others too, or when its lease may have lapsed.
fn stagger(number: usize, dice: &mut StdRng) -> Duration {
    let millis = if number == 0 || dice.random_bool(0.5) { 0..10 } else { 300..1500 };
    Duration::from_millis(dice.random_range(millis))
}

fn order(world: &World, (key, lane, size): (u64, Lane, usize), dice: &mut StdRng) -> Order {
    // Whose answer is kept shows only where an owner is overtaken.
    let odds = if lane == Lane::Own { (world.plan.fates * 4.0).min(1.0) } else { world.plan.fates };
    Order { key, lane, fate: Fate::draw(dice, odds), size }
}

/// Where completions may be lost, a run again must be able to answer as the one before it did.
fn lane(topology: Topology, dice: &mut StdRng) -> Lane {
    match dice.random_range(0..10) {
        0..=5 => Lane::Refuse,
        6 | 7 => Lane::Reexecute,
        _ if topology == Topology::Standalone => Lane::Own,
        _ => Lane::Refuse,
    }
}

fn later(dice: &mut StdRng) -> Duration {
    let millis = match dice.random_range(0..10) {
        0..=5 => 0..40,
        6..=8 => 40..600,
        _ => 600..2500,
    };
    Duration::from_millis(dice.random_range(millis))
}

fn judge(world: &World, (key, lane, size): (u64, Lane, usize), history: &History) -> Verdict {
    world.tally.saw("keys");
    if size > 0 {
        world.tally.saw("keys with a large answer");
    }
    let balance = world.ledger.balance(key);
    let verdict = history.verdict(lane, balance);
    world.tally.saw(verdict.name());
    if balance.told > balance.effects {
        world.tally.saw("keys whose handler ran again, recognised downstream");
    }
    if verdict.is_broken() {
        world.tally.broke(|| format!("key {key}, {lane:?}, {balance:?}: {verdict:?}: {:?}", history.answers()));
        world.broke();
    }
    verdict
}
