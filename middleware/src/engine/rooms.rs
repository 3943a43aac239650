//! Where duplicates of a running request wait for its end: one room per key and fingerprint, with one poller for all who
//! wait in it.
//!
//! A room exists as long as somebody waits in it. Its poller ends with it, or after having told everybody the news.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idempotency_store::{Attempt, Completed, Fingerprint, Key};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// What those who wait are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// The answer is there.
    Completed(Completed),
    /// The owner is gone, and nobody knows whether it ran.
    Abandoned,
    /// The same, and a resolver could not find it out either. It makes sense to ask again after this.
    Unresolved(Duration),
    /// There is something to claim, or something that only a claim can tell.
    Claim,
    /// The record cannot be used.
    Corrupt,
    /// The process shuts down.
    Closing,
}

/// Nobody can wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoSeat {
    /// As many wait as may.
    Full,
    /// The process shuts down.
    Closing,
}

/// What a room is for: who waits in it asked for the same with the same key.
type Door = (Key, Fingerprint);

/// All rooms of a process.
#[derive(Default)]
pub(super) struct Rooms(Mutex<State>);

#[derive(Default)]
struct State {
    closing: bool,
    seats: usize,
    opened: u64,
    rooms: HashMap<Door, Room>,
}

struct Room {
    /// Tells it from another room of the same key.
    number: u64,
    seats: usize,
    news: watch::Sender<Option<News>>,
    nudge: Arc<Notify>,
    poller: Option<AbortHandle>,
}

/// A place in a room, given up when it is dropped.
pub(crate) struct Seat {
    rooms: Arc<Rooms>,
    door: Door,
    number: u64,
    news: watch::Receiver<Option<News>>,
}

/// The other side of a room: it tells the news. Dropped without any, it sends everybody off to claim.
pub(super) struct Host {
    rooms: Arc<Rooms>,
    door: Door,
    number: u64,
    nudge: Arc<Notify>,
}

impl Rooms {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat among at most `limit`, in the room of this request. `open` starts the poller of a new room.
    pub(super) fn enter(
        self: &Arc<Self>,
        attempt: &Attempt,
        limit: usize,
        open: impl FnOnce(Host) -> AbortHandle,
    ) -> Result<Seat, NoSeat> {
        let door = (attempt.key, attempt.fingerprint);
        let (seat, nudge) = self.sit_down(door, limit)?;
        if let Some(nudge) = nudge {
            let host = Host { rooms: Arc::clone(self), door, number: seat.number, nudge };
            // Not under the mutex: a runtime that is going down drops what is spawned, and the host needs the mutex then.
            self.settle_in(&door, seat.number, open(host));
        }
        Ok(seat)
    }

    /// A seat, and what its poller listens to if the room is a new one.
    fn sit_down(self: &Arc<Self>, door: Door, limit: usize) -> Result<(Seat, Option<Arc<Notify>>), NoSeat> {
        let mut state = self.state();
        if state.closing {
            return Err(NoSeat::Closing);
        }
        if state.seats >= limit {
            return Err(NoSeat::Full);
        }
        state.seats += 1;
        state.opened += 1;
        let number = state.opened;
        let room = state.rooms.entry(door).or_insert_with(|| Room::new(number));
        room.seats += 1;
        let nudge = (room.number == number).then(|| Arc::clone(&room.nudge));
        Ok((Seat { rooms: Arc::clone(self), door, number: room.number, news: room.news.subscribe() }, nudge))
    }

    /// Lets the poller end with its room, which may have ended already.
    fn settle_in(&self, door: &Door, number: u64, poller: AbortHandle) {
        if let Some(room) = self.state().rooms.get_mut(door).filter(|room| room.number == number) {
            room.poller = Some(poller);
            return;
        }
        poller.abort();
    }

    /// Has the poller of this request's room look now.
    pub(super) fn nudge(&self, attempt: &Attempt) {
        if let Some(room) = self.state().rooms.get(&(attempt.key, attempt.fingerprint)) {
            room.nudge.notify_one();
        }
    }

    /// Tells everybody who waits for this request.
    pub(super) fn tell(&self, attempt: &Attempt, news: News) {
        let room = self.state().rooms.remove(&(attempt.key, attempt.fingerprint));
        if let Some(room) = room {
            room.tell(news);
        }
    }

    /// Sends everybody off; nobody may wait from now on.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closing = true;
        let rooms = std::mem::take(&mut state.rooms);
        drop(state);
        for room in rooms.into_values() {
            room.tell(News::Closing);
        }
    }

    /// Takes a room out, if it still is that one.
    fn remove(&self, door: &Door, number: u64) -> Option<Room> {
        let mut state = self.state();
        let found = state.rooms.get(door).is_some_and(|room| room.number == number);
        found.then(|| state.rooms.remove(door)).flatten()
    }

    /// How many wait, in how many rooms.
    #[cfg(test)]
    fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.seats, state.rooms.len())
    }
}

impl Room {
    fn new(number: u64) -> Self {
        Self { number, seats: 0, news: watch::Sender::new(None), nudge: Arc::default(), poller: None }
    }

    fn tell(self, news: News) {
        self.news.send_replace(Some(news));
        self.close();
    }

    fn close(self) {
        self.poller.inspect(AbortHandle::abort);
    }
}

impl Seat {
    /// What there is to tell, when there is something.
    ///
    /// Cancel safe.
    pub(crate) async fn news(&mut self) -> News {
        // An error means that the poller is gone without a word; then the next claim tells.
        let news = self.news.wait_for(Option::is_some).await;
        news.ok().and_then(|news| news.clone()).unwrap_or(News::Claim)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.rooms.state();
        state.seats -= 1;
        let Some(room) = state.rooms.get_mut(&self.door).filter(|room| room.number == self.number) else { return };
        room.seats -= 1;
        if room.seats == 0 {
            let room = state.rooms.remove(&self.door);
            drop(state);
            if let Some(room) = room {
                room.close();
            }
        }
    }
}

impl Host {
    /// Waits until somebody says that the key has changed.
    ///
    /// Cancel safe.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Tells everybody in the room, which thereby is no more.
    pub(super) fn tell(self, news: News) {
        if let Some(room) = self.rooms.remove(&self.door, self.number) {
            room.news.send_replace(Some(news));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.rooms.remove(&self.door, self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use idempotency_store::Owner;

    fn attempt(key: u8) -> Attempt {
        let (key, owner) = (Key::new([key; 32]), Owner::new([1; 16]));
        Attempt { key, owner, fingerprint: Fingerprint::new([2; 32]) }
    }

    /// Takes a seat in a room whose poller hands out its side and then never ends by itself.
    fn enter(rooms: &Arc<Rooms>, key: u8, hosts: &mut Vec<Arc<Mutex<Option<Host>>>>) -> Seat {
        let seat = rooms.enter(&attempt(key), 3, |host| {
            let host = Arc::new(Mutex::new(Some(host)));
            hosts.push(Arc::clone(&host));
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(host);
            })
            .abort_handle()
        });
        seat.map_err(|full| format!("{full:?}")).expect("a seat")
    }

    fn taken(host: &Arc<Mutex<Option<Host>>>) -> Host {
        host.lock().expect("nobody panicked").take().expect("it is there")
    }

    #[tokio::test]
    async fn a_room_exists_as_long_as_somebody_waits_in_it() {
        let (rooms, mut hosts) = (Arc::new(Rooms::default()), Vec::new());
        let first = enter(&rooms, 1, &mut hosts);
        let second = enter(&rooms, 1, &mut hosts);
        let other = enter(&rooms, 2, &mut hosts);
        assert_eq!((rooms.count(), hosts.len()), ((3, 2), 2), "one poller for each room");
        drop(first);
        assert_eq!(rooms.count(), (2, 2));
        drop(second);
        assert_eq!(rooms.count(), (1, 1));
        drop(other);
        assert_eq!(rooms.count(), (0, 0));
        for host in hosts {
            while Arc::strong_count(&host) > 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn news_empty_the_room_and_those_who_come_later_wait_for_others() {
        let (rooms, mut hosts) = (Arc::new(Rooms::default()), Vec::new());
        let mut early = enter(&rooms, 1, &mut hosts);
        taken(&hosts[0]).tell(News::Abandoned);
        let mut late = enter(&rooms, 1, &mut hosts);
        assert_eq!((early.news().await, rooms.count(), hosts.len()), (News::Abandoned, (2, 1), 2));
        drop(early);
        assert_eq!(rooms.count(), (1, 1), "the later room is not the earlier one's to close");
        rooms.tell(&attempt(1), News::Corrupt);
        assert_eq!((late.news().await, rooms.count()), (News::Corrupt, (1, 0)));
        drop(late);
        assert_eq!(rooms.count(), (0, 0));
    }

    #[tokio::test]
    async fn a_poller_that_ends_without_a_word_sends_everybody_off_to_claim() {
        let (rooms, mut hosts) = (Arc::new(Rooms::default()), Vec::new());
        let mut seat = enter(&rooms, 1, &mut hosts);
        drop(taken(&hosts[0]));
        assert_eq!((seat.news().await, rooms.count()), (News::Claim, (1, 0)));
    }

    #[tokio::test]
    async fn seats_are_counted_over_all_rooms_and_none_is_given_after_closing() {
        let (rooms, mut hosts) = (Arc::new(Rooms::default()), Vec::new());
        let mut seats = [1, 1, 2].map(|key| enter(&rooms, key, &mut hosts));
        let refused = |limit| rooms.enter(&attempt(3), limit, |_| unreachable!("no room is opened")).err();
        assert_eq!((refused(3), rooms.count()), (Some(NoSeat::Full), (3, 2)));
        rooms.close();
        for seat in &mut seats {
            assert_eq!(seat.news().await, News::Closing);
        }
        drop(seats);
        assert_eq!((refused(3), rooms.count()), (Some(NoSeat::Closing), (0, 0)));
    }
}
