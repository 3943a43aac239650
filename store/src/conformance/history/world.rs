//! A few keys, their owners, and the model beside the store.

use std::time::Duration;

use super::said::{self, Said, Which};
use super::watch::Watch;
use super::{ACTORS, Action, KEYS, Step};
use crate::conformance::Fixture;
use crate::conformance::case::{fresh_key, fresh_owner, older, reexecute, refuse, soon, terms};
use crate::record::{self, Record, State, Transition};
use crate::{
    Answer, Attempt, Checkpoint, Claim, Claimed, Completion, Erased, Fence, Fingerprint, Grant, Key, Loss, Reason,
    Recorded, Released, Renewed, Resolution, Resolved, Retention, Store, StoreError, StoreTime, Terms,
};

pub(super) struct World<'a, F> {
    fixture: &'a F,
    /// The model's clock. It counts what was advanced, and starts anywhere.
    now: StoreTime,
    places: Vec<Place>,
}

/// A key, as the model, its owners and the watch know it.
struct Place {
    record: Option<Record>,
    actors: Vec<Actor>,
    /// The fences of the key's grants: the store's and the model's.
    fences: Vec<Pair<Fence>>,
    /// The fence of the last indeterminate reply.
    seen: Option<Pair<Fence>>,
    watch: Watch,
}

/// The store's and the model's word for one thing.
#[derive(Clone, Copy)]
struct Pair<T> {
    store: T,
    model: T,
}

struct Actor {
    attempt: Attempt,
    grant: Option<Pair<Grant>>,
}

/// What a step got: its name for the report, or what is wrong.
type Outcome = Result<String, String>;

impl Actor {
    fn new(key: Key) -> Self {
        let attempt = Attempt { key, owner: fresh_owner(), fingerprint: Fingerprint::new([7; 32]) };
        Self { attempt, grant: None }
    }
}

impl Place {
    fn new() -> Self {
        let key = fresh_key();
        let actors = (0..ACTORS).map(|_| Actor::new(key)).collect();
        Self { record: None, actors, fences: Vec::new(), seen: None, watch: Watch::default() }
    }

    /// Does to the model's record what a transition says.
    fn model<R>(&mut self, transition: Transition<R>) -> R {
        if let Some(record) = transition.write {
            self.record = Some(record);
        }
        transition.reply
    }

    /// Compares what the two said.
    fn agree<R>(&self, verb: &str, store: &R, model: &R, reduce: impl Fn(&R, Which<'_>) -> Said) -> Outcome {
        let store = reduce(store, &|fence| self.fences.iter().rposition(|pair| pair.store == fence));
        let model = reduce(model, &|fence| self.fences.iter().rposition(|pair| pair.model == fence));
        if store == model {
            Ok(format!("{verb}: {}", model.name()))
        } else {
            Err(format!("{verb}: the store said {store:?}, the model {model:?}"))
        }
    }
}

impl<'a, F: Fixture> World<'a, F> {
    pub(super) fn new(fixture: &'a F) -> Self {
        let now = StoreTime::from_micros(1_000_000_000_000_000);
        Self { fixture, now, places: (0..KEYS).map(|_| Place::new()).collect() }
    }

    /// Takes a step; what it got, if it asked anything.
    pub(super) async fn take(&mut self, step: Step) -> Result<Option<String>, String> {
        if let Action::Advance(tens) = step.action {
            let duration = Duration::from_secs(10 * tens);
            self.fixture.advance(duration).await;
            self.now = self.now.after(duration);
            return Ok(None);
        }
        let (store, now) = (self.fixture.store(), self.now);
        let Some(place) = self.places.get_mut(step.key) else { return Ok(None) };
        let Some(actor) = place.actors.get_mut(step.actor) else { return Ok(None) };
        let attempt = actor.attempt;
        let turn = Turn { store, now, attempt };
        match (step.action, actor.grant) {
            (Action::Arrive, _) => {
                *actor = Actor::new(attempt.key);
                Ok(None)
            }
            (Action::Release { with_fence }, grant) => {
                turn.release(place, grant.filter(|_| with_fence)).await.map(Some)
            }
            (Action::Inspect, _) => turn.inspect(place).await.map(Some),
            (Action::Claim { .. }, _) | (_, None) => turn.claim(place, step).await.map(Some),
            (Action::Renew, Some(grant)) => turn.renew(place, grant).await.map(Some),
            (Action::Checkpoint(note), Some(grant)) => turn.checkpoint(place, grant, note).await.map(Some),
            (Action::Complete { answer, kept, retention }, Some(grant)) => {
                turn.complete(place, grant, &done(answer, kept, retention)).await.map(Some)
            }
            (Action::Abandon(reason), Some(grant)) => turn.abandon(place, grant, reason).await.map(Some),
            (Action::Resolve { ran, as_seen }, Some(grant)) => {
                let seen = place.seen.filter(|_| as_seen);
                let fence = seen.unwrap_or(Pair { store: grant.store.fence, model: grant.model.fence });
                turn.resolve(place, grant, fence, ran).await.map(Some)
            }
            (Action::Erase { as_seen }, Some(grant)) => {
                let seen = place.seen.filter(|_| as_seen);
                let fence = seen.unwrap_or(Pair { store: grant.store.fence, model: grant.model.fence });
                turn.erase(place, fence).await.map(Some)
            }
            (Action::Advance(_), _) => Ok(None),
        }
    }
}

/// An actor's turn at a key.
struct Turn<'a, S> {
    store: &'a S,
    now: StoreTime,
    attempt: Attempt,
}

impl<S: Store> Turn<'_, S> {
    async fn claim(&self, place: &mut Place, step: Step) -> Outcome {
        let (claim, high_water) = asked(self.attempt, step.action);
        let highest = place.fences.last().copied().filter(|_| high_water);
        let of_store = Claim { high_water: highest.map(|pair| pair.store), ..claim };
        let of_model = Claim { high_water: highest.map(|pair| pair.model), ..claim };
        let store = self.store.claim(&of_store, soon()).await.map_err(|error| failed(&error))?;
        let model = place.model(record::claim(place.record.clone().as_ref(), self.now, &of_model));
        place.watch.claimed(self.now, claim.attempt.fingerprint, &store)?;
        match (&store, &model) {
            (Claimed::Acquired { grant: store, .. }, Claimed::Acquired { grant: model, .. }) => {
                self.granted(place, step, Pair { store: *store, model: *model }, &claim)?;
            }
            (Claimed::Indeterminate(store), Claimed::Indeterminate(model)) => {
                place.seen = Some(Pair { store: store.fence, model: model.fence });
            }
            _ => {}
        }
        place.agree("claim", &store, &model, said::claimed)
    }

    fn granted(&self, place: &mut Place, step: Step, grant: Pair<Grant>, claim: &Claim) -> Result<(), String> {
        let known = |fences: &[Pair<Fence>]| {
            fences.iter().any(|pair| pair.store == grant.store.fence || pair.model == grant.model.fence)
        };
        let is_new = !known(&place.fences);
        let may_take_over = claim.on_abandoned != crate::OnAbandoned::Refuse;
        place.watch.granted(self.now, &grant.store, may_take_over)?;
        if is_new {
            place.fences.push(Pair { store: grant.store.fence, model: grant.model.fence });
        }
        if let Some(actor) = place.actors.get_mut(step.actor) {
            actor.grant = Some(grant);
        }
        Ok(())
    }

    async fn renew(&self, place: &mut Place, grant: Pair<Grant>) -> Outcome {
        let handed = self.aged(place, grant);
        let store = self.store.renew(&handed, soon()).await.map_err(|error| failed(&error))?;
        let model = place.model(record::renew(place.record.clone().as_ref(), self.now, self.now, &grant.model));
        match &store {
            Renewed::Held | Renewed::Recreated => place.watch.kept(self.now, &grant.store),
            Renewed::Lost(loss) => self.lost(place, loss)?,
        }
        place.agree("renew", &store, &model, said::renewed)
    }

    async fn complete(&self, place: &mut Place, grant: Pair<Grant>, done: &Completion) -> Outcome {
        let handed = self.aged(place, grant);
        let store = self.store.complete(&handed, done, soon()).await.map_err(|error| failed(&error))?;
        let current = place.record.clone();
        let model = place.model(record::complete(current.as_ref(), self.now, self.now, &grant.model, done));
        match &store {
            Recorded::Recorded | Recorded::Recreated => place.watch.recorded(self.now, &grant.store, done)?,
            Recorded::Lost(loss) => self.lost(place, loss)?,
        }
        place.agree("complete", &store, &model, said::recorded)
    }

    async fn checkpoint(&self, place: &mut Place, grant: Pair<Grant>, note: u8) -> Outcome {
        let note = Checkpoint::new(vec![note; usize::from(note)]).map_err(|error| error.to_string())?;
        let store = self.store.checkpoint(&grant.store, &note, soon()).await.map_err(|error| failed(&error))?;
        let model = place.model(record::checkpoint(place.record.clone().as_ref(), self.now, &grant.model, &note));
        place.agree("checkpoint", &store, &model, said::checkpointed)
    }

    async fn release(&self, place: &mut Place, grant: Option<Pair<Grant>>) -> Outcome {
        let (of_store, of_model) = (grant.map(|grant| grant.store.fence), grant.map(|grant| grant.model.fence));
        let store = self.store.release(&self.attempt, of_store, soon()).await.map_err(|error| failed(&error))?;
        let model = place.model(record::release(place.record.clone().as_ref(), self.now, &self.attempt, of_model));
        match &store {
            Released::Released => place.watch.freed(),
            Released::Absent | Released::Indeterminate => {}
            Released::Lost(loss) => self.lost(place, loss)?,
        }
        place.agree("release", &store, &model, said::released)
    }

    async fn abandon(&self, place: &mut Place, grant: Pair<Grant>, reason: u8) -> Outcome {
        let reasons = [Reason::Panic, Reason::Failure, Reason::Shutdown, Reason::Cancelled];
        let reason = reasons.get(usize::from(reason)).copied().unwrap_or(Reason::Panic);
        let store = self.store.abandon(&grant.store, reason, soon()).await.map_err(|error| failed(&error))?;
        let model = place.model(record::abandon(place.record.clone().as_ref(), self.now, &grant.model, reason));
        place.agree("abandon", &store, &model, said::abandoned)
    }

    async fn resolve(&self, place: &mut Place, grant: Pair<Grant>, fence: Pair<Fence>, ran: bool) -> Outcome {
        let resolution =
            if ran { Resolution::Completed(Answer::Kept("resolved".into())) } else { Resolution::NotExecuted };
        let key = self.attempt.key;
        let store =
            self.store.resolve(key, fence.store.into(), &resolution, soon()).await.map_err(|error| failed(&error))?;
        let before = place.record.clone();
        let model = place.model(record::resolve(before.as_ref(), self.now, fence.model.into(), &resolution));
        match (store, resolution) {
            (Resolved::Resolved, Resolution::NotExecuted) => place.watch.freed(),
            (Resolved::Resolved, Resolution::Completed(answer)) => {
                place.watch.resolved(self.now, &settled(grant.store, before.as_ref()), &answer)?;
            }
            (Resolved::Conflict, _) => {}
        }
        place.agree("resolve", &store, &model, said::resolved)
    }

    async fn inspect(&self, place: &Place) -> Outcome {
        let store = self.store.inspect(self.attempt.key, soon()).await.map_err(|error| failed(&error))?;
        let model = record::inspect(place.record.as_ref(), self.now, self.attempt.key).reply;
        if let Some(State::Completed(answer)) = store.as_ref().map(|entry| &entry.record.state) {
            place.watch.replayed(self.now, answer)?;
        }
        place.agree("inspect", &store, &model, said::inspected)
    }

    async fn erase(&self, place: &mut Place, fence: Pair<Fence>) -> Outcome {
        let store =
            self.store.erase(self.attempt.key, fence.store.into(), soon()).await.map_err(|error| failed(&error))?;
        let model = place.model(record::erase(place.record.clone().as_ref(), self.now, fence.model.into()));
        if store == Erased::Erased {
            place.watch.erased();
        }
        place.agree("erase", &store, &model, said::erased)
    }

    fn lost(&self, place: &Place, loss: &Loss) -> Result<(), String> {
        if let Loss::Completed(completed) = loss {
            place.watch.replayed(self.now, &completed.answer)?;
        }
        Ok(())
    }

    /// The grant to hand to the store. The age of a grant is in its fence, and a fixture that ages records does not age
    /// fences: a grant that the model calls older than its retention is made so by hand.
    fn aged(&self, place: &Place, grant: Pair<Grant>) -> Grant {
        let absent = place.record.as_ref().is_none_or(|record| record.expires_at() <= self.now);
        let granted_at = StoreTime::from_micros(grant.model.fence.get());
        let retention = grant.model.terms.retention();
        if absent && self.now.since(granted_at) >= retention { older(&grant.store, retention) } else { grant.store }
    }
}

/// The grant that a resolution settles. Whoever resolves may have been granted the key for another request, at another time.
fn settled(resolver: Grant, record: Option<&Record>) -> Grant {
    let Some(record) = record else { return resolver };
    let attempt = Attempt { owner: record.owner, fingerprint: record.fingerprint, ..resolver.attempt };
    Grant { attempt, terms: record.terms, ..resolver }
}

/// The claim of a step, and whether it carries a high water. A step that needs a grant and has none claims instead.
fn asked(attempt: Attempt, action: Action) -> (Claim, bool) {
    let Action::Claim { max_attempts, other_request, long_terms, high_water } = action else {
        return (Claim { terms: short(), ..refuse(attempt) }, false);
    };
    let fingerprint = if other_request { Fingerprint::new([8; 32]) } else { attempt.fingerprint };
    let attempt = Attempt { fingerprint, ..attempt };
    let claim = if max_attempts == 0 { refuse(attempt) } else { reexecute(attempt, max_attempts) };
    let terms = if long_terms { terms(Duration::from_secs(65), Duration::from_secs(305)) } else { short() };
    (Claim { terms, ..claim }, high_water)
}

/// Between two multiples of ten seconds, so that time which passes on its own decides nothing.
fn short() -> Terms {
    terms(Duration::from_secs(35), Duration::from_secs(245))
}

/// An answer, now and then a large one, and now and then one that is kept for less or for longer than its key is remembered: that, too, between two
/// multiples of ten seconds.
fn done(answer: u8, kept: bool, retention: u8) -> Completion {
    let size = usize::from(answer) * if answer < 6 { 1 } else { 1024 };
    let bytes = vec![answer; size].into();
    let seconds = [65, 305].get(usize::from(retention));
    let retention = seconds.and_then(|seconds| Retention::new(Duration::from_secs(*seconds)).ok());
    Completion { answer: if kept { Answer::Kept(bytes) } else { Answer::NotKept(bytes) }, retention }
}

fn failed(error: &StoreError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("the store failed: {error}: {cause}")
}
