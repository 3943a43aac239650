//! What can happen next, and what follows: the attempts' side of the protocol, the servers' fates, and time.

use stateright::{Model, Property};

use crate::design::{Design, Downstream, Durability, Guard, Topology};
use crate::properties;
use crate::step::{Move, Step};
use crate::world::{Attempt, Connection, Granted, News, Outcome, Phase, Reply, Request, Verb, Which, World};

impl Connection {
    /// Connections from this number on carry completions.
    pub(crate) const COMPLETIONS: u8 = 10;
    const OTHERS: u8 = 20;
}

impl Model for Design {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        World::starts(self)
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for who in 0..self.attempts {
            for one in self.moves(world, who) {
                let masters = self.masters(&world.servers).iter();
                let repeats = |to: &Which| *to == Which::Second || self.topology == Topology::Single;
                let masters = masters.filter(|to| repeats(to) || !one.is_repetition());
                steps.extend(masters.map(|to| Step::Attempt(who, *one, *to)));
            }
        }
        steps.extend(world.replies.iter().filter(|reply| reply.acknowledged).copied().map(Step::Receive));
        steps.extend(world.requests.iter().copied().map(Step::Deliver));
        self.fates(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Attempt(who, one, to) => self.attempt(&mut next, who, one, to),
            Step::Receive(reply) => self.receive(&mut next, reply),
            Step::Deliver(request) => {
                self.execute(&mut next, request);
                // What changes nothing may as well arrive later.
                if (&next.servers, &next.replies) == (&world.servers, &world.replies) {
                    return None;
                }
            }
            Step::Acknowledge(reply) => {
                let last = next.servers.backlog.iter().rposition(|write| write.by == reply.to)?;
                replicate(&mut next, last + 1);
            }
            Step::FailOver(more) => self.fail_over(&mut next, more),
            Step::NoticeLoss => next.servers.notices_loss = true,
            Step::Lapse => next.lapses += 1,
        }
        self.forget(&mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}

impl Design {
    /// What the attempt may do. An attempt that is stopped or killed does nothing of it, for a while or for ever.
    fn moves(&self, world: &World, who: u8) -> &'static [Move] {
        let attempt = world.attempts[usize::from(who)];
        let again = attempt.sends < self.sends && (world.servers.failed_over || self.topology == Topology::Single);
        match attempt.phase {
            // They are alike, so they may as well arrive in this order.
            Phase::Absent if who > 0 && world.phase(who - 1) == Phase::Absent => &[],
            Phase::Absent => &[Move::Ask],
            Phase::Asking if attempt.asks < self.asks => &[Move::Ask, Move::GiveUp],
            Phase::Asking => &[Move::GiveUp],
            Phase::Running(_) => match (attempt.renewals < self.renewals, self.failures) {
                (false, false) => &[Move::Decline, Move::Act],
                (false, true) => &[Move::Decline, Move::Act, Move::ActAndFail, Move::ActAndAbandon],
                (true, false) => &[Move::Decline, Move::Act, Move::Renew],
                (true, true) => &[Move::Decline, Move::Act, Move::ActAndFail, Move::ActAndAbandon, Move::Renew],
            },
            // On a pair, to the new master: to the same server it would be what is on the line already.
            Phase::Completing(..) if again => &[Move::CompleteAgain],
            Phase::Releasing(_) if again => &[Move::ReleaseAgain],
            Phase::Completing(..) | Phase::Releasing(_) | Phase::Gone | Phase::Answered => &[],
        }
    }

    /// What may happen to the servers, and to all.
    fn fates(&self, world: &World, steps: &mut Vec<Step>) {
        let servers = &world.servers;
        steps.extend(world.replies.iter().filter(|reply| !reply.acknowledged).copied().map(Step::Acknowledge));
        if self.topology != Topology::Single && !servers.failed_over {
            steps.extend((0..=servers.backlog.len()).map(Step::FailOver));
        }
        if self.durability == Durability::MinReplicas && servers.failed_over && !servers.notices_loss {
            steps.push(Step::NoticeLoss);
        }
        if world.lapses < self.lapses && self.has_running_lease(world) {
            steps.push(Step::Lapse);
        }
    }

    fn attempt(&self, world: &mut World, who: u8, one: Move, to: Which) {
        match (one, world.phase(who)) {
            (Move::Ask, _) => {
                let attempt = world.attempt(who);
                attempt.phase = Phase::Asking;
                attempt.asks += 1;
                let number = if self.topology == Topology::Single { 1 } else { attempt.asks };
                world.requests.insert(Request { by: Connection { of: who, number }, to, verb: Verb::Claim });
            }
            (Move::GiveUp, _) => self.release_key(world, who, None, to),
            (Move::Decline, Phase::Running(granted)) => self.release_key(world, who, Some(granted.fence), to),
            (Move::ReleaseAgain, Phase::Releasing(fence)) => self.release_key(world, who, fence, to),
            (Move::Renew, Phase::Running(granted)) => {
                world.attempt(who).renewals += 1;
                send(world, who, to, Verb::Renew(granted));
            }
            (Move::CompleteAgain, Phase::Completing(granted, outcome)) => {
                self.send_completion(world, who, granted, outcome, to);
            }
            (_, Phase::Running(granted)) => self.act(world, who, granted, one, to),
            _ => {}
        }
    }

    fn act(&self, world: &mut World, who: u8, granted: Granted, one: Move, to: Which) {
        let heard = self.call(world, who, granted.fence);
        let outcome = match one {
            Move::Act => heard,
            Move::ActAndFail => Outcome::Failure,
            _ => {
                self.enter(world, who, Phase::Gone);
                return send(world, who, to, Verb::Abandon(granted));
            }
        };
        // Its client may be given this answer without waiting for the record, marked as unrecorded. Where nothing ever
        // takes over, not even that may be contradicted.
        if self.on_abandoned == idempotency_store::OnAbandoned::Refuse {
            world.history.told.insert(outcome);
        }
        self.enter(world, who, Phase::Completing(granted, outcome));
        self.send_completion(world, who, granted, outcome, to);
    }

    /// What the downstream does when it is called.
    fn call(&self, world: &mut World, who: u8, fence: u64) -> Outcome {
        for grant in world.history.grants.iter_mut().filter(|grant| (grant.owner, grant.fence) == (who, fence)) {
            grant.acted = true;
        }
        let effects = &mut world.downstream;
        match self.downstream {
            Downstream::ComparesFences if fence < effects.highest_fence => return Outcome::Failure,
            Downstream::Deduplicates if effects.count > 0 => {}
            Downstream::ComparesFences => {
                effects.highest_fence = fence;
                effects.count += 1;
            }
            Downstream::Unaware | Downstream::Deduplicates => effects.count += 1,
        }
        Outcome::Effect(effects.count)
    }

    fn receive(&self, world: &mut World, reply: Reply) {
        let who = reply.to.of;
        match reply.news {
            News::Acquired(granted) => self.enter(world, who, Phase::Running(granted)),
            News::Recorded(outcome) | News::Completed(outcome) => {
                world.history.told.insert(outcome);
                self.enter(world, who, Phase::Answered);
            }
        }
    }

    fn release_key(&self, world: &mut World, who: u8, fence: Option<u64>, to: Which) {
        let sends = world.attempts[usize::from(who)].sends;
        send(world, who, to, Verb::Release(fence));
        self.enter(world, who, Phase::Releasing(fence));
        world.attempt(who).sends = sends + 1;
    }

    fn send_completion(&self, world: &mut World, who: u8, granted: Granted, outcome: Outcome, to: Which) {
        let attempt = world.attempt(who);
        attempt.sends += 1;
        let number = Connection::COMPLETIONS + if self.completions_wait { attempt.sends } else { 0 };
        let verb = Verb::Complete(granted, outcome);
        world.requests.insert(Request { by: Connection { of: who, number }, to, verb });
    }

    /// Changes the phase, and forgets what means nothing in it.
    fn enter(&self, world: &mut World, who: u8, phase: Phase) {
        let skew = world.attempts[usize::from(who)].skew;
        *world.attempt(who) = Attempt { phase, asks: 0, sends: 0, renewals: 0, skew };
        let listens = matches!(phase, Phase::Releasing(_)) && !self.has(Guard::GivenUpStaysGivenUp);
        world.replies.retain(|reply| reply.to.of != who || listens);
    }

    /// Makes states equal that differ in nothing that can matter any more.
    fn forget(&self, world: &mut World) {
        let void = self.has(Guard::GivenUpStaysGivenUp);
        for attempt in &mut world.attempts {
            if matches!(attempt.phase, Phase::Releasing(_)) && attempt.sends >= self.sends && void {
                attempt.phase = Phase::Gone;
                attempt.sends = 0;
            }
        }
        let attempts = &world.attempts;
        world.history.grants.retain(|grant| grant.acted || attempts[usize::from(grant.owner)].phase.may_act(!void));
    }

    /// The second server goes on with what it has. What only the first has is lost, or known to nobody but those who still
    /// talk to it; and nobody acknowledges its writes any more.
    fn fail_over(&self, world: &mut World, more: usize) {
        replicate(world, more);
        world.servers.failed_over = true;
        world.servers.backlog.clear();
        world.replies.retain(|reply| reply.acknowledged);
        if self.topology == Topology::Pair {
            world.servers.first = crate::world::Server::default();
            world.requests.retain(|request| request.to == Which::Second);
        }
    }
}

fn send(world: &mut World, who: u8, to: Which, verb: Verb) {
    world.requests.insert(Request { by: Connection { of: who, number: Connection::OTHERS }, to, verb });
}

/// The replica takes these many more writes, and acknowledges what is complete with them.
///
/// Nobody sees what it has but those who wait for it, and those who come to it after a fail-over. So it takes writes at
/// these moments only.
fn replicate(world: &mut World, writes: usize) {
    if let Some(last) = world.servers.backlog.drain(..writes).last() {
        world.servers.second.record = last.record;
        world.servers.second.counter = last.counter;
    }
    let backlog = &world.servers.backlog;
    let acknowledge = |mut reply: Reply| {
        reply.acknowledged |= backlog.iter().all(|write| write.by != reply.to);
        reply
    };
    world.replies = std::mem::take(&mut world.replies).into_iter().map(acknowledge).collect();
}
