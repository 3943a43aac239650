//! Asking the application's resolver about an abandoned key, and what is told to the store afterwards.

use std::time::Duration;

use idempotency_store::Answer;

use crate::abandoned::{Abandoned, Resolution};
use crate::headers::AllowList;
use crate::on_abandoned::Resolver;
use crate::panic::{Panicked, caught};
use crate::recorded::{self, NotKept, RecordedAnswer};
use crate::settings::Settings;

/// When a client may ask again that was told nothing better: by then another resolver has probably come to its end.
pub(crate) const SOON: Duration = Duration::from_secs(2);

/// What follows from a resolver's word.
#[derive(Debug)]
pub(crate) enum Word {
    /// The store is told.
    Known(idempotency_store::Resolution),
    /// Nobody knows yet.
    Unknown(Duration),
}

impl Resolver {
    /// What the resolver says within its budget. A panic or a hang says that nobody knows.
    ///
    /// Cancel safety: dropping the future drops the resolver's.
    pub(crate) async fn word(&self, abandoned: Abandoned, settings: &Settings) -> Word {
        let key = abandoned.storage_key;
        // Called inside, so that a closure that panics before its first await is caught too.
        let asked = caught(async { (self.ask)(abandoned).await });
        match tokio::time::timeout(self.budget, asked).await {
            Ok(Ok(Resolution::Completed(answer))) => {
                Word::Known(idempotency_store::Resolution::Completed(to_record(&answer, settings)))
            }
            Ok(Ok(Resolution::NotExecuted)) => Word::Known(idempotency_store::Resolution::NotExecuted),
            Ok(Ok(Resolution::Unknown { retry_after })) => Word::Unknown(retry_after),
            Ok(Err(Panicked)) => {
                tracing::error!(?key, "a resolver panicked");
                Word::Unknown(SOON)
            }
            Err(_elapsed) => {
                tracing::warn!(?key, budget = ?self.budget, "a resolver took too long");
                Word::Unknown(SOON)
            }
        }
    }
}

/// As much of the answer as is recorded of a handler's.
fn to_record(answer: &RecordedAnswer, settings: &Settings) -> Answer {
    let tombstone = Answer::NotKept(NotKept { status: answer.status }.encode());
    if answer.body.len() > settings.max_recorded_answer {
        return tombstone;
    }
    let trailers = answer.trailers.as_ref().map(AllowList::filter_trailers);
    let allows = |name: &_| settings.allow_list.allows(name, trailers.is_some());
    let encoded = recorded::encode(answer.status, &answer.headers, allows, &answer.body, trailers.as_ref());
    encoded.map_or(tombstone, Answer::Kept)
}
