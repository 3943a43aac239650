//! The decision: what was seen of a try, and what to do about it. Pure; clock and dice are inputs.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use http::StatusCode;
use tokio::time::Instant;

use super::answer::{Answer, Problem};
use super::failure::Failure;
use super::gave_up::Reason;
use super::settings::RetryPolicy;

/// Whether an answer is the end of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Asking again would give the same, or must not be done.
    Final,
    /// The try failed; another may succeed.
    Failed,
    /// The server is at it, and says to come back.
    Waiting,
}

fn judge(answer: &Answer) -> Verdict {
    let failed = answer.status.is_client_error() || answer.status.is_server_error();
    // A recorded answer is what every retry gets; what ran unprotected would run again. No advice can change either.
    if !failed || answer.replayed || answer.unprotected {
        return Verdict::Final;
    }
    match answer.advice {
        Some(false) => Verdict::Final,
        _ if is_waiting(answer) => Verdict::Waiting,
        Some(true) => Verdict::Failed,
        None if is_passing(answer.status) => Verdict::Failed,
        None => Verdict::Final,
    }
}

/// Whether a failure with this status may be over soon.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// A server that does not know the outcome yet, but may, says when to ask again; one that never will says nothing.
fn is_waiting(answer: &Answer) -> bool {
    match answer.problem.filter(|_| answer.status == StatusCode::CONFLICT) {
        Some(Problem::InFlight) => true,
        Some(Problem::Indeterminate) => answer.retry_after.is_some(),
        None => false,
    }
}

/// What to do after a try that was not the end of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Wait(Duration),
    GiveUp(Reason),
}

/// One logical call: what became of its tries so far.
#[derive(Debug)]
pub(super) struct Course {
    policy: Arc<RetryPolicy>,
    windows: ExponentialBackoff,
    until: Instant,
    pub(super) tries: u32,
    failures: u32,
    pub(super) may_have_run: bool,
    pub(super) last: Option<Answer>,
}

impl Course {
    /// A call that begins now.
    pub(super) fn new(policy: &Arc<RetryPolicy>, now: Instant) -> Self {
        Self {
            windows: policy.windows(),
            until: now + policy.deadline,
            policy: Arc::clone(policy),
            tries: 0,
            failures: 0,
            may_have_run: false,
            last: None,
        }
    }

    /// Begins a try, and says when to stop waiting for it.
    pub(super) fn begin(&mut self, now: Instant) -> Instant {
        self.tries = self.tries.saturating_add(1);
        (now + self.policy.try_timeout).min(self.until)
    }

    /// A try was answered. `None` if that answer is the end of the call.
    pub(super) fn answered(&mut self, answer: Answer, now: Instant, dice: f64) -> Option<Step> {
        self.may_have_run = true;
        self.last = Some(answer);
        match judge(&answer) {
            Verdict::Final => {
                self.policy.budget.deposit(now);
                None
            }
            Verdict::Failed => Some(self.after_failure(answer.retry_after, now, dice)),
            Verdict::Waiting => Some(self.pause(answer.retry_after, now, dice).map_or_else(Step::GiveUp, Step::Wait)),
        }
    }

    /// A try ended without an answer.
    pub(super) fn failed(&mut self, failure: Failure, now: Instant, dice: f64) -> Step {
        self.last = None;
        match failure {
            Failure::Refused => return Step::GiveUp(Reason::Refused),
            Failure::NotSent => {}
            Failure::Unknown => self.may_have_run = true,
        }
        self.after_failure(None, now, dice)
    }

    fn after_failure(&mut self, retry_after: Option<Duration>, now: Instant, dice: f64) -> Step {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.policy.max_tries {
            return Step::GiveUp(Reason::Tries);
        }
        match self.pause(retry_after, now, dice) {
            Ok(_) if !self.policy.budget.withdraw(now) => Step::GiveUp(Reason::Budget),
            Ok(pause) => Step::Wait(pause),
            Err(reason) => Step::GiveUp(reason),
        }
    }

    /// How long to wait before the next try, if there is time for it. `dice` is drawn evenly from 0 to 1.
    fn pause(&mut self, retry_after: Option<Duration>, now: Instant, dice: f64) -> Result<Duration, Reason> {
        let pause = match retry_after {
            Some(asked) if asked > self.policy.longest_retry_after => return Err(Reason::RetryAfter),
            // A little is added, because others were told the same.
            Some(asked) if !asked.is_zero() => asked + self.policy.first_backoff.mul_f64(dice),
            _ => self.windows.next().unwrap_or(self.policy.first_backoff).mul_f64(dice),
        };
        if now + pause >= self.until { Err(Reason::Deadline) } else { Ok(pause) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::budget::RetryBudget;

    const WHOLE: f64 = 1.0;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn answer(status: u16) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, replayed: false, unprotected: false, advice: None, retry_after: None, problem: None }
    }

    fn course(policy: RetryPolicy) -> (Course, Instant) {
        let now = Instant::now();
        (Course::new(&Arc::new(policy), now), now)
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 100..600 {
            let expected = match status {
                408 | 425 | 429 | 502 | 503 | 504 => Verdict::Failed,
                _ => Verdict::Final,
            };
            assert_eq!(judge(&answer(status)), expected, "{status}");
        }
    }

    #[test]
    fn a_409_is_waited_for_where_the_server_is_at_it() {
        let conflict = |problem, retry_after| Answer { retry_after, problem, ..answer(409) };
        let cases = [
            (conflict(Some(Problem::InFlight), None), Verdict::Waiting),
            (conflict(Some(Problem::InFlight), Some(seconds(2))), Verdict::Waiting),
            (conflict(Some(Problem::Indeterminate), Some(seconds(2))), Verdict::Waiting),
            (conflict(Some(Problem::Indeterminate), None), Verdict::Final),
            (conflict(None, Some(seconds(2))), Verdict::Final),
            (conflict(None, None), Verdict::Final),
        ];
        for (answer, verdict) in cases {
            assert_eq!(judge(&answer), verdict, "{answer:?}");
        }
    }

    #[test]
    fn the_servers_own_advice_overrides_the_status() {
        let advised = |status, advice| judge(&Answer { advice: Some(advice), ..answer(status) });
        for status in [400, 402, 409, 422, 500, 501, 503] {
            assert_eq!(advised(status, true), Verdict::Failed, "{status}");
            assert_eq!(advised(status, false), Verdict::Final, "{status}");
        }
        assert_eq!(advised(201, true), Verdict::Final, "it has succeeded");
        let in_flight = Answer { problem: Some(Problem::InFlight), advice: Some(false), ..answer(409) };
        assert_eq!(judge(&in_flight), Verdict::Final);
    }

    #[test]
    fn a_replay_is_final_whatever_it_says() {
        for status in [201, 408, 409, 429, 500, 503] {
            for advice in [None, Some(true)] {
                let replay = Answer { replayed: true, advice, retry_after: Some(seconds(1)), ..answer(status) };
                assert_eq!(judge(&replay), Verdict::Final, "{status}");
            }
        }
    }

    #[test]
    fn what_ran_unprotected_is_final_whatever_it_says() {
        for advice in [None, Some(true)] {
            let unprotected = Answer { unprotected: true, advice, retry_after: Some(seconds(1)), ..answer(503) };
            assert_eq!(judge(&unprotected), Verdict::Final);
        }
    }

    #[test]
    fn pauses_are_drawn_from_nothing_to_the_whole_of_a_growing_window() {
        for (dice, expected) in [(0.0, [0, 0, 0, 0]), (0.5, [50, 100, 200, 200]), (WHOLE, [100, 200, 400, 400])] {
            let policy = RetryPolicy::default().backoff(Duration::from_millis(100), Duration::from_millis(400));
            let (mut course, now) = course(policy);
            let pauses = [(); 4].map(|()| match course.failed(Failure::Unknown, now, dice) {
                Step::Wait(pause) => pause.as_millis(),
                Step::GiveUp(reason) => panic!("{reason:?}"),
            });
            assert_eq!(pauses, expected);
        }
    }

    #[test]
    fn retry_after_is_the_least_that_is_waited() {
        let asked = |after, dice| {
            let (mut course, now) = course(RetryPolicy::default());
            course.answered(Answer { retry_after: Some(after), ..answer(503) }, now, dice)
        };
        let first = Duration::from_millis(100);
        assert_eq!(asked(seconds(7), 0.0), Some(Step::Wait(seconds(7))));
        assert_eq!(asked(seconds(7), WHOLE), Some(Step::Wait(seconds(7) + first)));
        assert_eq!(
            asked(Duration::ZERO, WHOLE),
            Some(Step::Wait(first)),
            "no wait that is asked is no wait that is told"
        );
        assert_eq!(asked(seconds(30), 0.0), Some(Step::Wait(seconds(30))));
        assert_eq!(asked(seconds(31), 0.0), Some(Step::GiveUp(Reason::RetryAfter)));
        assert_eq!(asked(seconds(u64::MAX), WHOLE), Some(Step::GiveUp(Reason::RetryAfter)));
    }

    #[test]
    fn failures_are_counted_and_waiting_is_not() {
        let (mut course, now) = course(RetryPolicy::default().max_tries(2));
        let in_flight = Answer { problem: Some(Problem::InFlight), retry_after: Some(seconds(1)), ..answer(409) };
        for _ in 0..50 {
            course.begin(now);
            assert_eq!(course.answered(in_flight, now, 0.0), Some(Step::Wait(seconds(1))));
        }
        assert_eq!(course.failed(Failure::Unknown, now, 0.0), Step::Wait(Duration::ZERO));
        assert_eq!(course.answered(answer(503), now, 0.0), Some(Step::GiveUp(Reason::Tries)));
        assert_eq!(course.tries, 50);
    }

    #[test]
    fn nothing_begins_or_goes_on_after_the_deadline() {
        let policy = RetryPolicy::default().deadline(seconds(15)).try_timeout(seconds(10));
        let (mut course, start) = course(policy);
        assert_eq!(course.begin(start), start + seconds(10));
        assert_eq!(course.begin(start + seconds(10)), start + seconds(15));
        let busy = |after| Answer { retry_after: Some(seconds(after)), ..answer(503) };
        assert_eq!(course.answered(busy(4), start + seconds(10), 0.0), Some(Step::Wait(seconds(4))));
        assert_eq!(course.answered(busy(5), start + seconds(10), 0.0), Some(Step::GiveUp(Reason::Deadline)));
    }

    #[test]
    fn an_empty_budget_ends_a_call_and_waiting_takes_nothing_out() {
        let (mut course, now) = course(RetryPolicy::default().budget(RetryBudget::new(1)));
        let in_flight = Answer { problem: Some(Problem::InFlight), ..answer(409) };
        assert!(matches!(course.answered(in_flight, now, 0.0), Some(Step::Wait(_))));
        assert!(matches!(course.failed(Failure::Unknown, now, 0.0), Step::Wait(_)));
        assert_eq!(course.failed(Failure::Unknown, now, 0.0), Step::GiveUp(Reason::Budget));
        assert!(matches!(course.answered(in_flight, now, 0.0), Some(Step::Wait(_))));
    }

    #[test]
    fn only_connections_that_never_were_leave_nothing_behind() {
        let (mut course, now) = course(RetryPolicy::default());
        course.failed(Failure::NotSent, now, 0.0);
        assert_eq!(course.failed(Failure::Refused, now, 0.0), Step::GiveUp(Reason::Refused));
        assert!(!course.may_have_run);
        course.failed(Failure::Unknown, now, 0.0);
        course.failed(Failure::NotSent, now, 0.0);
        assert!(course.may_have_run);
    }
}
