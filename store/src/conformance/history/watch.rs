//! The laws that are watched without the model.

use crate::{Answer, Fence, Grant, StoreTime};

/// What is known of one key from the store's replies alone.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The greatest fence that was granted.
    highest: Option<Fence>,
    /// Until when the key must not be granted as if it were new: an attempt may have run.
    spoken_for_until: Option<StoreTime>,
    /// The answer that was recorded, and until when it lives.
    answer: Option<(Answer, StoreTime)>,
}

/// A law that the store broke.
pub(super) type Broken = &'static str;

impl Watch {
    /// The store granted the key. `is_new` unless the same owner was told of the same fence before.
    pub(super) fn granted(
        &mut self,
        now: StoreTime,
        grant: &Grant,
        is_new: bool,
        may_take_over: bool,
    ) -> Result<(), Broken> {
        if self.live_answer(now).is_some() {
            return Err("a completed key was granted while its answer lives");
        }
        if is_new {
            if self.highest.is_some_and(|highest| grant.fence <= highest) {
                return Err("a new grant's fence is not greater than all before it");
            }
            if grant.number == 1 && self.spoken_for_until.is_some_and(|until| now < until) {
                return Err("a key was granted as new although an attempt may have run");
            }
            if grant.number > 1 && !may_take_over {
                return Err("a claim that refuses take-overs took over");
            }
        }
        self.highest = self.highest.max(Some(grant.fence));
        self.kept(now, grant);
        Ok(())
    }

    /// The record of this grant was written again.
    pub(super) fn kept(&mut self, now: StoreTime, grant: &Grant) {
        self.spoken_for_until = Some(now.after(grant.terms.retention()));
    }

    /// The key was released, or resolved as not executed.
    pub(super) fn freed(&mut self) {
        self.spoken_for_until = None;
    }

    /// The store says that this grant's answer is recorded. It may have been another one, recorded before.
    pub(super) fn recorded(&mut self, now: StoreTime, grant: &Grant, answer: &Answer) {
        if self.live_answer(now).is_none() {
            self.answer = Some((answer.clone(), now.after(grant.terms.retention())));
            self.kept(now, grant);
        }
    }

    /// The store replayed this answer.
    pub(super) fn replayed(&self, now: StoreTime, answer: &Answer) -> Result<(), Broken> {
        match self.live_answer(now) {
            Some(known) if known == answer => Ok(()),
            Some(_) => Err("a recorded answer changed"),
            None => Err("an answer was replayed that nobody recorded, or that has expired"),
        }
    }

    fn live_answer(&self, now: StoreTime) -> Option<&Answer> {
        self.answer.as_ref().filter(|(_, until)| now < *until).map(|(answer, _)| answer)
    }
}
