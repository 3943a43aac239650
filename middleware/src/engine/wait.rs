//! Waiting for another attempt's end: who waits, and the one who looks for all of them.

use std::sync::Arc;
use std::time::Duration;

use idempotency_store::record::State;
use idempotency_store::{Attempt, Completed, Entry, ErrorKind, Fingerprint, Standing, Store};

use super::Engine;
use super::backoff::Backoff;
use super::claim::Chain;
use super::rooms::{Host, News, NoSeat, Seat};

/// The time between two looks at a key that others wait for: doubling from the first to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl<S: Store> Engine<S> {
    /// A seat among at most `limit` in this process, to wait until the attempt that holds the key has come to its end.
    pub(crate) fn wait(self: &Arc<Self>, attempt: &Attempt, limit: usize) -> Result<Seat, NoSeat> {
        self.rooms.enter(attempt, limit, |host| {
            let look = look(Arc::clone(self), *attempt, host);
            tokio::spawn(look).abort_handle()
        })
    }

    /// Something happened to the key in this process: whoever waits for it may learn that now.
    pub(super) fn stir(&self, attempt: &Attempt) {
        self.rooms.nudge(attempt);
    }

    /// Nobody could say what became of the key: whoever waits for it is told so, or each would ask the same again.
    pub(crate) fn unresolved(&self, attempt: &Attempt, retry_after: Duration) {
        self.rooms.tell(attempt, News::Unresolved(retry_after));
    }
}

/// How long to look away at most from a key whose lease may lapse before the next look.
fn until_lapse(entry: &Entry) -> Duration {
    match entry.standing() {
        Standing::InFlight => entry.remaining().max(FIRST_LOOK),
        _ => LONGEST_PAUSE,
    }
}

/// What those who wait are to be told of a record, if anything. Whoever resolves the key in this process goes on to claim
/// it, and says when that is done.
fn news(entry: Option<Entry>, fingerprint: Fingerprint, is_resolved_here: bool) -> Option<News> {
    let Some(Entry { record, at, .. }) = entry else { return Some(News::Claim) };
    let expires_at = record.expires_at();
    match (record.standing(at), record.state) {
        (Standing::Indeterminate | Standing::Released, _) if is_resolved_here => None,
        (Standing::Released, _) => Some(News::Claim),
        // Only a claim is told what is to be said of another request.
        _ if record.fingerprint != fingerprint => Some(News::Claim),
        (Standing::Indeterminate, _) => Some(News::Abandoned),
        (_, State::Completed(answer)) => {
            Some(News::Completed(Completed { answer, fence: record.fence, recorded_at: record.since, expires_at }))
        }
        _ => None,
    }
}

/// Looks at the key for everybody in a room, until there is something to tell: when it is told that something happened,
/// and now and then, since what happens in other processes tells nobody here.
///
/// Cancel safe: it writes nothing.
async fn look<S: Store>(engine: Arc<Engine<S>>, attempt: Attempt, host: Host) {
    let mut pauses = Backoff::between(FIRST_LOOK, LONGEST_PAUSE);
    let mut lapses_in = LONGEST_PAUSE;
    loop {
        tokio::select! {
            () = host.nudged() => {}
            () = tokio::time::sleep(pauses.delay().min(lapses_in)) => {}
        }
        match engine.store.inspect(attempt.key, engine.verb_deadline()).await {
            Ok(entry) => {
                lapses_in = entry.as_ref().map_or(LONGEST_PAUSE, until_lapse);
                if let Some(news) = news(entry, attempt.fingerprint, engine.is_resolving(&attempt.key)) {
                    return host.tell(news);
                }
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(key = ?attempt.key, cause = %Chain(&error), "the record of a key cannot be used");
                return host.tell(News::Corrupt);
            }
            Err(error) => tracing::warn!(key = ?attempt.key, cause = %Chain(&error), "a key could not be looked at"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use idempotency_store::record::Record;
    use idempotency_store::{Answer, Fence, Key, Owner, Reason, StoreTime, Terms};

    const MINE: Fingerprint = Fingerprint::new([1; 32]);
    const OTHER: Fingerprint = Fingerprint::new([2; 32]);

    /// A record of `MINE`, as long as its lease lasts and then.
    fn entry(state: State, lapsed: bool) -> Entry {
        let (since, terms) = (StoreTime::from_micros(1_780_000_000_000_000), Terms::default());
        let at = if lapsed { since.after(terms.lease()) } else { since };
        let (owner, fence) = (Owner::new([1; 16]), Fence::new(7));
        let record = Record { state, owner, fence, attempts: 1, fingerprint: MINE, terms, since };
        Entry { key: Key::new([1; 32]), record, at }
    }

    fn in_flight() -> State {
        State::InFlight { checkpoint: None }
    }

    fn marked() -> State {
        State::Indeterminate { reason: Reason::Panic, checkpoint: None }
    }

    #[test]
    fn news_are_what_ends_a_wait() {
        let answer = Answer::Kept("201".into());
        let Some(News::Completed(completed)) = news(Some(entry(State::Completed(answer.clone()), false)), MINE, false)
        else {
            panic!("an answer is news")
        };
        assert_eq!((completed.answer, completed.fence), (answer, Fence::new(7)));
        assert_eq!(news(Some(entry(in_flight(), false)), MINE, false), None);
        assert_eq!(news(Some(entry(in_flight(), true)), MINE, false), Some(News::Abandoned));
        assert_eq!(news(Some(entry(marked(), false)), MINE, false), Some(News::Abandoned));
        assert_eq!(news(Some(entry(State::Released, false)), MINE, false), Some(News::Claim));
        assert_eq!(news(None, MINE, false), Some(News::Claim));
    }

    #[test]
    fn who_waited_for_one_request_is_told_nothing_of_another() {
        for state in [in_flight(), marked(), State::Completed(Answer::Kept("secret".into()))] {
            assert_eq!(news(Some(entry(state, false)), OTHER, false), Some(News::Claim));
        }
    }

    #[test]
    fn while_this_process_resolves_the_key_there_are_no_news() {
        for state in [marked(), State::Released] {
            assert_eq!(news(Some(entry(state, false)), MINE, true), None);
        }
        let answer = State::Completed(Answer::Kept("201".into()));
        assert!(matches!(news(Some(entry(answer, false)), MINE, true), Some(News::Completed(_))));
    }

    #[test]
    fn a_lease_that_lapses_soon_is_looked_at_then() {
        let entry = entry(in_flight(), false);
        assert_eq!(until_lapse(&entry), Terms::default().lease());
        let nearly = StoreTime::from_micros(entry.at.as_micros() + 29_990_000);
        assert_eq!(until_lapse(&Entry { at: nearly, ..entry }), FIRST_LOOK);
    }
}
