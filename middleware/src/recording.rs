//! What is done with one answer.

use idempotency_store::Retention;

/// What is done with the handler's answer once it is there. The [`RecordingPolicy`](crate::RecordingPolicy) of the layer
/// decides; a handler overrules it for one answer by putting a `Recording` into the response's extensions.
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_idempotency::Recording;
///
/// // The card is unknown; nothing was charged. The same key may be sent again with the same request.
/// let response = Response::builder()
///     .status(StatusCode::UNPROCESSABLE_ENTITY)
///     .extension(Recording::NotExecuted)
///     .body(())?;
/// assert_eq!(response.extensions().get(), Some(&Recording::NotExecuted));
/// # Ok::<(), http::Error>(())
/// ```
///
/// Only an answer that is to be kept is read before it is sent; every other one streams to its client at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Recording {
    /// The answer is recorded, and retries get it. One that cannot be - too large, a stream, broken off - is recorded as
    /// with [`Recording::DoNotKeep`].
    #[default]
    Keep,
    /// As [`Recording::Keep`], for a time of its own instead of the layer's retention. **A request that is repeated later
    /// runs again**, so it must outlast every retry; a longer one suits what is asked for again after days.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_idempotency::{Recording, Retention};
    ///
    /// let week = Retention::new(Duration::from_secs(7 * 24 * 60 * 60))?;
    /// # let _ =
    /// Recording::KeepFor(week);
    /// assert!(Retention::new(Duration::from_secs(1)).is_err(), "shorter than a packet may be on its way");
    /// # Ok::<(), tower_idempotency::store::TermsError>(())
    /// ```
    KeepFor(Retention),
    /// That the work is done is recorded, the answer is not: retries get 409 `not-replayable` with its status. For answers
    /// that must not lie in a store, and for streams that the layer does not know as such.
    DoNotKeep,
    /// Nothing was executed: the key is released, and the next request with it runs. Say this only if it is certain;
    /// it is the only way to a second run that nobody has to ask for.
    NotExecuted,
    /// Nobody knows how far the work came: the key becomes indeterminate, and retries get 409 `indeterminate` or whatever
    /// the policy for abandoned attempts finds out. For a handler that was cancelled half-way, by a timeout for instance.
    /// This client gets the answer as it is.
    Unknown,
    /// The handler completed the key by itself, in the transaction of its own database for instance, with its
    /// [`lease`](crate::Idempotency::lease) and a [`RecordedAnswer`](crate::RecordedAnswer): the store is told nothing. If
    /// that was not so, the key becomes indeterminate when the lease lapses.
    AlreadyRecorded,
}

impl Recording {
    /// Whether the answer itself is recorded, if it can be.
    pub(crate) const fn is_kept(self) -> bool {
        matches!(self, Self::Keep | Self::KeepFor(_))
    }
}
