//! A pair's fail-overs: the address moves, and the old master is dead, stands still, or goes on.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::pause;
use crate::RedisPair;
use crate::chaos::ground::Ground;

/// How long two masters live side by side.
const SPLIT: Duration = Duration::from_millis(250);

/// What becomes of the old master.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Old {
    /// It is told at once.
    Told,
    /// SIGKILL.
    Killed,
    /// SIGSTOP, and it goes on when there is another master.
    StandsStill,
    /// It goes on for clients that have not noticed, and has no replica any more.
    GoesOn,
}

impl Old {
    fn draw(dice: &mut StdRng) -> Self {
        match dice.random_range(0..10) {
            0 | 1 => Self::Told,
            2 | 3 => Self::Killed,
            4 => Self::StandsStill,
            _ => Self::GoesOn,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Told => "fail-over",
            Self::Killed => "fail-over after SIGKILL of the master",
            Self::StandsStill => "split brain: the old master stood still and goes on",
            Self::GoesOn => "split brain: both are masters for some clients",
        }
    }
}

/// Promotes the replica, moves the address, and has the old master follow.
pub(super) async fn fail_over(ground: &Ground, pair: &RedisPair, dice: &mut StdRng) {
    let _whole = ground.whole.write().await;
    let (old, number) = (Old::draw(dice), pair.master_number());
    let heir = 1 - number;
    ground.tally.fault(old.name());
    match old {
        Old::Killed => pair.member(number).kill9(),
        Old::StandsStill => pair.member(number).stop().await,
        Old::Told | Old::GoesOn => {}
    }
    pair.promote(heir).await;
    for line in &ground.lines {
        line.redirect(pair.master().address());
    }
    if matches!(old, Old::GoesOn | Old::StandsStill) {
        live_apart(ground, pair, number, old, dice).await;
    }
    for line in &ground.lines {
        line.cut_all().await;
    }
    pair.rejoin(number).await;
}

/// Some clients are at the new master, and some still at the old one.
async fn live_apart(ground: &Ground, pair: &RedisPair, number: usize, old: Old, dice: &mut StdRng) {
    for line in &ground.lines {
        if dice.random_bool(0.5) {
            line.cut_all().await;
        }
    }
    pause(SPLIT, dice).await;
    if old == Old::StandsStill {
        pair.member(number).cont();
        pause(SPLIT / 2, dice).await;
    }
}
