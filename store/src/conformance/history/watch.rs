//! The laws that are watched without the model.

use std::collections::HashMap;

use crate::{Answer, Claimed, Completion, Fence, Fingerprint, Grant, Owner, Retention, StoreTime};

/// What is known of one key from the store's replies alone.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Who was granted which fence.
    holders: HashMap<Fence, Owner>,
    /// The greatest fence that was granted.
    highest: Option<Fence>,
    /// Until when the key must not be granted as if it were new, because an attempt of this request may have run.
    spoken_for: Option<(StoreTime, Fingerprint)>,
    answer: Option<Recording>,
}

/// An answer that was recorded.
#[derive(Debug)]
struct Recording {
    answer: Answer,
    until: StoreTime,
    /// Who recorded it; `None` for a resolution.
    by: Option<Fence>,
}

/// A law that the store broke.
pub(super) type Broken = &'static str;

impl Watch {
    /// The store answered a claim of this request.
    pub(super) fn claimed(&self, now: StoreTime, request: Fingerprint, reply: &Claimed) -> Result<(), Broken> {
        let of_another = self.spoken_for.is_some_and(|(until, spoken)| now < until && spoken != request);
        match reply {
            Claimed::Mismatch => Ok(()),
            _ if of_another => Err("a claim of another request was not told that it is a mismatch"),
            Claimed::Completed(completed) => self.replayed(now, &completed.answer),
            _ => Ok(()),
        }
    }

    /// The store granted the key.
    pub(super) fn granted(&mut self, now: StoreTime, grant: &Grant, may_take_over: bool) -> Result<(), Broken> {
        if self.live(now).is_some() {
            return Err("a completed key was granted while its answer lives");
        }
        match self.holders.insert(grant.fence, grant.attempt.owner) {
            Some(holder) if holder == grant.attempt.owner => {}
            Some(_) => return Err("two owners were granted one fence"),
            None => self.granted_anew(now, grant, may_take_over)?,
        }
        self.kept(now, grant);
        Ok(())
    }

    fn granted_anew(&mut self, now: StoreTime, grant: &Grant, may_take_over: bool) -> Result<(), Broken> {
        if self.highest.is_some_and(|highest| grant.fence <= highest) {
            return Err("a new grant's fence is not greater than all before it");
        }
        if grant.number == 1 && self.spoken_for.is_some_and(|(until, _)| now < until) {
            return Err("a key was granted as new although an attempt may have run");
        }
        if grant.number > 1 && !may_take_over {
            return Err("a claim that refuses take-overs took over");
        }
        self.highest = Some(grant.fence);
        Ok(())
    }

    /// The record of this grant was written again.
    pub(super) fn kept(&mut self, now: StoreTime, grant: &Grant) {
        self.spoken_for = Some((now.after(grant.terms.retention()), grant.attempt.fingerprint));
    }

    /// The key was released, or resolved as not executed.
    pub(super) fn freed(&mut self) {
        self.spoken_for = None;
    }

    /// The key was erased, with its answer if it had one.
    pub(super) fn erased(&mut self) {
        self.freed();
        self.answer = None;
    }

    /// The store says that this grant's answer is recorded. Said again, it is the first one that stands.
    pub(super) fn recorded(&mut self, now: StoreTime, grant: &Grant, done: &Completion) -> Result<(), Broken> {
        match self.live(now) {
            Some(recording) if recording.by == Some(grant.fence) => Ok(()),
            Some(_) => Err("an owner was told that its answer is recorded while another one stands"),
            None => {
                self.record(now, grant, done, Some(grant.fence));
                Ok(())
            }
        }
    }

    /// Somebody who knows said what the answer to this grant was.
    pub(super) fn resolved(&mut self, now: StoreTime, grant: &Grant, answer: &Answer) -> Result<(), Broken> {
        if self.live(now).is_some() {
            return Err("a completed key was resolved");
        }
        self.record(now, grant, &answer.clone().into(), None);
        Ok(())
    }

    fn record(&mut self, now: StoreTime, grant: &Grant, done: &Completion, by: Option<Fence>) {
        let until = now.after(done.retention.map_or(grant.terms.retention(), Retention::get));
        self.answer = Some(Recording { answer: done.answer.clone(), until, by });
        self.spoken_for = Some((until, grant.attempt.fingerprint));
    }

    /// The store replayed this answer.
    pub(super) fn replayed(&self, now: StoreTime, answer: &Answer) -> Result<(), Broken> {
        match self.live(now) {
            Some(known) if known.answer == *answer => Ok(()),
            Some(_) => Err("a recorded answer changed"),
            None => Err("an answer was replayed that nobody recorded, or that has expired"),
        }
    }

    fn live(&self, now: StoreTime) -> Option<&Recording> {
        self.answer.as_ref().filter(|recording| now < recording.until)
    }
}
