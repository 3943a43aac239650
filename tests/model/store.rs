//! What a server does with a verb: the store's own transitions, and around them what Redis adds.

use std::time::Duration;

use bytes::Bytes;
use idempotency_store::record::{self, Record, State, Transition};
use idempotency_store::{
    Answer, Attempt, Claim, Claimed, Completion, Fence, Fingerprint, Grant, Key, Loss, Owner, Reason, Recorded,
    Released, StoreTime, Terms,
};

use crate::design::{Design, Durability, Guard, Topology};
use crate::world::{
    Connection, Granted, News, Outcome, Phase, Reply, Request, Servers, Trace, Verb, Which, World, Write,
};

/// When everything begins; late enough for clocks that are behind.
const START: StoreTime = StoreTime::from_micros(1_000_000_000);
/// So short that no tombstone and no retention ends while a model runs.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

impl Design {
    /// The servers that an attempt may take for the master.
    pub(crate) fn masters(&self, servers: &Servers) -> &'static [Which] {
        match self.topology {
            _ if !servers.failed_over => &[Which::First],
            Topology::SplitBrain => &[Which::First, Which::Second],
            Topology::Single | Topology::Pair => &[Which::Second],
        }
    }

    fn clock(&self, world: &World, which: Which) -> StoreTime {
        let now = START.after(LEASE * u32::from(world.lapses));
        match which {
            Which::First => now,
            Which::Second => ahead(now, self.second_clock),
        }
    }

    /// Whether there is a lease that can yet lapse. Without one, the passing of time makes the next fence greater and
    /// nothing else.
    pub(crate) fn has_running_lease(&self, world: &World) -> bool {
        [Which::First, Which::Second].into_iter().any(|which| {
            let now = self.clock(world, which);
            let in_flight = |record: &&Record| matches!(record.state, State::InFlight { .. });
            let record = world.servers.get(which).record.as_ref().filter(in_flight);
            record.is_some_and(|record| !record.remaining(now).is_zero())
        })
    }

    /// Executes a verb that has reached its server.
    pub(crate) fn execute(&self, world: &mut World, request: Request) {
        world.requests.remove(&request);
        if request.to == Which::First && world.servers.notices_loss {
            return;
        }
        match request.verb {
            Verb::Claim => self.claim(world, request),
            Verb::Complete(granted, outcome) => self.complete(world, request, granted, outcome),
            Verb::Release(fence) => self.release(world, request, fence),
            Verb::Renew(granted) => {
                let (current, now) = self.look(world, request.to);
                let renewal = record::renew(current.as_ref(), now, now, &grant(request.by.of, granted));
                self.write(world, request, renewal.write);
            }
            Verb::Abandon(granted) => {
                let (current, now) = self.look(world, request.to);
                let grant = grant(request.by.of, granted);
                let abandonment = record::abandon(current.as_ref(), now, &grant, Reason::Failure);
                self.write(world, request, abandonment.write);
            }
        }
    }

    /// What a verb finds, and when.
    fn look(&self, world: &World, which: Which) -> (Option<Record>, StoreTime) {
        let now = self.clock(world, which);
        let expired = |record: &Record| {
            let in_flight = matches!(record.state, State::InFlight { .. });
            !self.has(Guard::KeyOutlivesLease) && in_flight && record.remaining(now).is_zero()
        };
        let record = world.servers.get(which).record.clone();
        (record.filter(|record| !expired(record)), now)
    }

    fn write(&self, world: &mut World, request: Request, record: Option<Record>) {
        if record.is_some() {
            self.put(world, request, record);
        }
    }

    fn put(&self, world: &mut World, request: Request, record: Option<Record>) {
        let server = world.servers.get_mut(request.to);
        server.record.clone_from(&record);
        let counter = server.counter;
        if self.topology != Topology::Single && request.to == Which::First && !world.servers.failed_over {
            world.servers.backlog.push(Write { by: request.by, record, counter });
        }
    }

    fn claim(&self, world: &mut World, request: Request) {
        let who = request.by.of;
        let (current, now) = self.look(world, request.to);
        let Transition { mut write, mut reply } = self.claimed(world, who, current.as_ref(), now);
        let held = |record: &Record| record.owner == owner(who);
        if !self.has(Guard::FenceFromTime) && !current.as_ref().is_some_and(held) {
            self.draw_from_counter(world, request.to, write.as_mut(), &mut reply);
        }
        if !self.has(Guard::ReaskedClaimWrites) && current.as_ref().is_some_and(held) {
            write = None;
        }
        let wrote = write.is_some();
        self.write(world, request, write);
        match reply {
            Claimed::Acquired { grant, .. } => {
                world.granted(request, grant.fence);
                let waits = self.grant_waits(current.as_ref());
                let granted = Granted { fence: grant.fence.get(), number: grant.number };
                let acknowledged = !waits || self.is_acknowledged(request, wrote);
                self.reply(world, request.by, News::Acquired(granted), acknowledged);
            }
            Claimed::Completed(completed) => {
                self.reply(world, request.by, News::Completed(outcome(&completed.answer)), true);
            }
            _ => {}
        }
    }

    /// The store's transition. A client proposes the fence of a first claim by its own estimate of the store's time, while
    /// the lease is counted by the server.
    fn claimed(&self, world: &World, who: u8, current: Option<&Record>, now: StoreTime) -> Transition<Claimed> {
        let heard = world.attempts.iter().filter_map(|attempt| attempt.phase.fence());
        let acted = world.history.grants.iter().filter(|grant| grant.acted).map(|grant| grant.fence);
        let seen = heard.chain(acted).max().map(Fence::new);
        let claim = Claim {
            attempt: attempt(who),
            terms: terms(),
            high_water: seen.filter(|_| self.shares_high_water),
            on_abandoned: self.on_abandoned,
        };
        if current.is_some() {
            return record::claim(current, now, &claim);
        }
        let estimate = ahead(now, world.attempts[usize::from(who)].skew);
        let Transition { write, reply } = record::claim(None, estimate, &claim);
        Transition { write: write.map(|record| Record { since: now, ..record }), reply }
    }

    #[allow(clippy::unused_self, reason = "one of the steps of a claim, which are all the design's")]
    fn draw_from_counter(&self, world: &mut World, to: Which, write: Option<&mut Record>, reply: &mut Claimed) {
        if let (Claimed::Acquired { grant, .. }, Some(record)) = (reply, write) {
            let server = world.servers.get_mut(to);
            server.counter += 1;
            grant.fence = Fence::new(server.counter);
            record.fence = grant.fence;
        }
    }

    fn grant_waits(&self, found: Option<&Record>) -> bool {
        let over_tombstone = found.is_some_and(|record| record.state == State::Released);
        let excepted = over_tombstone && !self.has(Guard::ClaimOverTombstoneWaits);
        self.durability == Durability::Wait && !excepted
    }

    /// What `WAIT 1` answers at once. It speaks of what its own connection wrote, and of nothing if that wrote nothing.
    fn is_acknowledged(&self, request: Request, wrote: bool) -> bool {
        let wrote = wrote && self.has(Guard::WaitsWhereItWrote);
        match request.to {
            // The new master has a replica of its own; that it may not answer is covered by giving up.
            Which::Second => true,
            Which::First => self.topology == Topology::Single || !wrote,
        }
    }

    fn complete(&self, world: &mut World, request: Request, granted: Granted, answered: Outcome) {
        let (mut current, now) = self.look(world, request.to);
        let grant = grant(request.by.of, granted);
        if let Some(record) = current.as_mut().filter(|_| !self.has(Guard::OwnerComparedAtCompletion)) {
            let Grant { attempt, fence, .. } = grant;
            *record =
                Record { owner: attempt.owner, fence, state: State::InFlight { checkpoint: None }, ..record.clone() };
        }
        let completion = Completion::from(answer(answered));
        let recorded = record::complete(current.as_ref(), now, now, &grant, &completion);
        let wrote = recorded.write.is_some();
        self.write(world, request, recorded.write);
        let acknowledged = !self.completions_wait || self.is_acknowledged(request, wrote);
        match recorded.reply {
            Recorded::Recorded | Recorded::Recreated => {
                self.reply(world, request.by, News::Recorded(answered), acknowledged);
            }
            Recorded::Lost(Loss::Completed(completed)) => {
                self.reply(world, request.by, News::Completed(outcome(&completed.answer)), true);
            }
            Recorded::Lost(_) => {}
        }
    }

    fn release(&self, world: &mut World, request: Request, fence: Option<u64>) {
        let (current, now) = self.look(world, request.to);
        let mut attempt = attempt(request.by.of);
        let mut fence = fence.map(Fence::new);
        if let Some(record) = current.as_ref().filter(|_| !self.has(Guard::OwnerComparedAtRelease)) {
            (attempt.owner, fence) = (record.owner, None);
        }
        let released = record::release(current.as_ref(), now, &attempt, fence);
        if matches!(released.reply, Released::Released | Released::Absent) {
            world.servers.get_mut(request.to).freed = Some(request.by.of);
            if !self.has(Guard::ReleaseLeavesTombstone) {
                return self.put(world, request, None);
            }
        }
        self.write(world, request, released.write);
    }

    /// Sends a reply to an attempt that can still use it.
    fn reply(&self, world: &mut World, to: Connection, news: News, acknowledged: bool) {
        let is_of_use = match (world.phase(to.of), news) {
            (Phase::Asking, News::Acquired(_) | News::Completed(_)) => true,
            (Phase::Completing(..), News::Recorded(_) | News::Completed(_)) => to.number >= Connection::COMPLETIONS,
            (Phase::Releasing(_), News::Acquired(_)) => !self.has(Guard::GivenUpStaysGivenUp),
            _ => false,
        };
        if is_of_use {
            world.replies.insert(Reply { to, news, acknowledged });
        }
    }
}

impl World {
    /// Notes a grant, for the properties.
    fn granted(&mut self, request: Request, fence: Fence) {
        let (owner, fence) = (request.by.of, fence.get());
        if !self.history.grants.iter().any(|grant| (grant.owner, grant.fence) == (owner, fence)) {
            self.history.grants.push(Trace { owner, fence, acted: false });
        }
        let server = self.servers.get_mut(request.to);
        server.freed = server.freed.filter(|freed| *freed == owner);
    }
}

/// Whether an attempt holds the key that has given it up, and was told so by this server, and nobody had the key since.
pub(crate) fn holds_what_it_released(servers: &Servers) -> bool {
    [&servers.first, &servers.second].into_iter().any(|server| {
        let holder = server.record.as_ref().filter(|record| matches!(record.state, State::InFlight { .. }));
        holder.zip(server.freed).is_some_and(|(record, freed)| record.owner == owner(freed))
    })
}

fn ahead(time: StoreTime, micros: i64) -> StoreTime {
    StoreTime::from_micros(time.as_micros().saturating_add_signed(micros))
}

fn owner(who: u8) -> Owner {
    Owner::new([who + 1; 16])
}

fn attempt(who: u8) -> Attempt {
    Attempt { key: Key::new([1; 32]), owner: owner(who), fingerprint: Fingerprint::new([2; 32]) }
}

fn terms() -> Terms {
    Terms::new(LEASE, RETENTION).unwrap()
}

fn grant(who: u8, Granted { fence, number }: Granted) -> Grant {
    Grant { attempt: attempt(who), fence: Fence::new(fence), number, terms: terms() }
}

fn answer(outcome: Outcome) -> Answer {
    Answer::Kept(match outcome {
        Outcome::Effect(number) => Bytes::copy_from_slice(&[number]),
        Outcome::Failure => Bytes::new(),
    })
}

fn outcome(answer: &Answer) -> Outcome {
    answer.as_bytes().first().map_or(Outcome::Failure, |number| Outcome::Effect(*number))
}
