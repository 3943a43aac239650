//! The answers of one key, and what they and its effects say about the store.

use super::Lane;
use super::ledger::Balance;

/// What a client learnt from one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// An outcome.
    Done {
        /// What the handler answered.
        body: String,
        /// It came from the store.
        replayed: bool,
        /// The store had not taken it when it was given.
        unrecorded: bool,
    },
    /// Another attempt runs.
    InFlight,
    /// Nobody knows whether it ran.
    Indeterminate,
    /// It has not run.
    NotRun,
    /// The handler panicked.
    Panicked,
    /// No answer came.
    Nothing,
    /// One that no request of the harness should get.
    Wrong(String),
}

impl Answer {
    /// What it is called in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done { unrecorded: true, .. } => "answers: done, not recorded yet",
            Self::Done { replayed: true, .. } => "answers: replayed",
            Self::Done { .. } => "answers: done",
            Self::InFlight => "answers: in flight",
            Self::Indeterminate => "answers: indeterminate",
            Self::NotRun => "answers: not run",
            Self::Panicked => "answers: handler panicked",
            Self::Nothing => "answers: none came",
            Self::Wrong(_) => "answers: wrong",
        }
    }

    /// Whether a client would stop asking.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Indeterminate | Self::Wrong(_))
    }
}

/// All answers of a key, in the order in which they came.
#[derive(Clone, Default, Debug)]
pub struct History(Vec<Answer>);

/// What became of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Executed, and everybody who got an outcome got the same.
    Settled,
    /// Nobody knows, and that was said.
    Indeterminate,
    /// No outcome by the time its clients gave up.
    Unsettled,
    /// Executed more than once.
    Double,
    /// Outcomes that differ.
    Divergent,
    /// An outcome without an effect.
    Lost,
    /// An answer that no request should get.
    Wrong(String),
}

impl Verdict {
    /// What it is called in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Indeterminate => "indeterminate",
            Self::Unsettled => "unsettled",
            Self::Double => "double (seen by a client)",
            Self::Divergent => "divergent",
            Self::Lost => "lost",
            Self::Wrong(_) => "wrong",
        }
    }

    /// Whether it breaks the promise.
    pub const fn is_broken(&self) -> bool {
        !matches!(self, Self::Settled | Self::Indeterminate | Self::Unsettled)
    }
}

impl History {
    /// One more answer.
    pub fn add(&mut self, answer: Answer) {
        self.0.push(answer);
    }

    /// The answers.
    pub fn answers(&self) -> &[Answer] {
        &self.0
    }

    /// Whether an outcome was given.
    pub fn has_outcome(&self) -> bool {
        self.0.iter().any(|answer| matches!(answer, Answer::Done { .. }))
    }

    /// The judgement, given what was done for the key.
    pub fn verdict(&self, lane: Lane, balance: Balance) -> Verdict {
        if let Some(wrong) = self.0.iter().find_map(|answer| match answer {
            Answer::Wrong(wrong) => Some(wrong.clone()),
            _ => None,
        }) {
            return Verdict::Wrong(wrong);
        }
        if balance.effects > 1 {
            return Verdict::Double;
        }
        let mut outcomes = self.0.iter().filter_map(|answer| outcome(answer, lane));
        let first = outcomes.next();
        if outcomes.any(|other| Some(other) != first) {
            return Verdict::Divergent;
        }
        match (self.has_outcome(), balance.effects) {
            (true, 0) => Verdict::Lost,
            (true, _) => Verdict::Settled,
            (false, _) if self.0.contains(&Answer::Indeterminate) => Verdict::Indeterminate,
            (false, _) => Verdict::Unsettled,
        }
    }
}

/// What must be the same in all answers. Where each run answers for itself, what the store had not taken is one run's word
/// and was marked as such.
fn outcome(answer: &Answer, lane: Lane) -> Option<&str> {
    match answer {
        Answer::Done { unrecorded: true, .. } if lane == Lane::Own => None,
        Answer::Done { body, .. } => Some(body),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(body: &str) -> Answer {
        Answer::Done { body: body.to_owned(), replayed: false, unrecorded: false }
    }

    fn verdict(answers: &[Answer], effects: u32) -> Verdict {
        let history = History(answers.to_vec());
        history.verdict(Lane::Refuse, Balance { effects, told: effects })
    }

    #[test]
    fn one_outcome_and_one_effect_is_settled() {
        let answers = [Answer::Nothing, Answer::InFlight, done("a"), done("a"), Answer::Indeterminate];
        assert_eq!(verdict(&answers, 1), Verdict::Settled);
    }

    #[test]
    fn nobody_knows_is_neither_done_nor_not_done() {
        assert_eq!(verdict(&[Answer::Indeterminate], 0), Verdict::Indeterminate);
        assert_eq!(verdict(&[Answer::Indeterminate], 1), Verdict::Indeterminate);
        assert_eq!(verdict(&[Answer::Nothing], 1), Verdict::Unsettled);
    }

    #[test]
    fn what_breaks_the_promise_is_found() {
        assert_eq!(verdict(&[done("a")], 2), Verdict::Double);
        assert_eq!(verdict(&[Answer::Nothing], 2), Verdict::Double);
        assert_eq!(verdict(&[done("a"), done("b")], 1), Verdict::Divergent);
        assert_eq!(verdict(&[done("a")], 0), Verdict::Lost);
        assert_eq!(verdict(&[Answer::Wrong("422".into()), done("a")], 1), Verdict::Wrong("422".into()));
    }

    #[test]
    fn a_run_that_answers_for_itself_is_bound_by_what_was_recorded() {
        let unrecorded = Answer::Done { body: "a".into(), replayed: false, unrecorded: true };
        let history = History(vec![unrecorded, done("b")]);
        let one = Balance { effects: 1, told: 2 };
        assert_eq!(history.verdict(Lane::Own, one), Verdict::Settled);
        assert_eq!(history.verdict(Lane::Reexecute, one), Verdict::Divergent);
    }
}
