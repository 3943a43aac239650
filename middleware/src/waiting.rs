//! A request that waits for the end of another attempt, as long as its client does.

use std::sync::Arc;
use std::time::Duration;

use idempotency_store::{Attempt, Loss, Store};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::decision::{Told, replay, superseded};
use crate::engine::{Engine, News, NoSeat};
use crate::settings::Settings;

/// How the waiting ended.
pub(crate) enum Waited {
    /// With something to tell.
    News(News),
    /// With nothing: nobody may wait, too many do, or the time is over.
    InVain,
    /// The client has left; whatever it is told, nobody hears it.
    Alone,
}

/// Waits until there is something to tell of the key, at most until `until`; not at all where waiting is off. `client` is
/// closed when nobody waits for the answer any more.
///
/// Cancel safe: its place is given back.
pub(crate) async fn wait<S: Store, T>(
    engine: &Arc<Engine<S>>,
    settings: &Settings,
    attempt: &Attempt,
    until: Instant,
    client: &mut oneshot::Sender<T>,
) -> Waited {
    let Some(wait) = settings.wait else { return Waited::InVain };
    let mut seat = match engine.wait(attempt, wait.waiters) {
        Ok(seat) => seat,
        Err(NoSeat::Full) => return Waited::InVain,
        Err(NoSeat::Closing) => return Waited::News(News::Closing),
    };
    tokio::select! {
        biased;
        () = client.closed() => Waited::Alone,
        news = seat.news() => Waited::News(news),
        () = sleep_until(until) => Waited::InVain,
    }
}

/// What the client of an attempt gets that ran and was overtaken: the word of the attempt that has the key now, also if
/// that is still to come and clients wait.
///
/// Cancel safe.
pub(crate) async fn overtaken<S: Store, T>(
    engine: &Arc<Engine<S>>,
    settings: &Settings,
    attempt: &Attempt,
    loss: Loss,
    client: &mut oneshot::Sender<T>,
) -> Told {
    if !matches!(loss, Loss::InFlight { .. }) {
        return superseded(loss);
    }
    let until = Instant::now() + settings.wait.map_or(Duration::ZERO, |wait| wait.max);
    match wait(engine, settings, attempt, until, client).await {
        Waited::News(News::Completed(completed)) => replay(completed),
        // This attempt ran, so it must not run again, whatever became of the other.
        Waited::News(News::Abandoned | News::Claim | News::Unresolved(_)) => superseded(Loss::Indeterminate),
        Waited::News(News::Corrupt | News::Closing) | Waited::InVain | Waited::Alone => superseded(loss),
    }
}
