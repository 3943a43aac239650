//! The note that a handler leaves for the attempt that may have to take over.

use std::future::Future;
use std::pin::Pin;

use idempotency_store::{Checkpoint, CheckpointTooLarge, Grant, StoreError};

/// A checkpoint was not saved, or nobody knows whether it was. See
/// [`Idempotency::save_checkpoint`](crate::Idempotency::save_checkpoint).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The bytes are over the limit; nothing was stored. Keep a reference to the data instead.
    #[error(transparent)]
    TooLarge(#[from] CheckpointTooLarge),
    /// This attempt does not hold its key any more; nothing was stored. Start nothing new: another attempt may be running.
    #[error("the lease is lost: another attempt may be running")]
    Lost,
    /// The store did not say that it took the bytes. They may be there all the same, or may still arrive; save again, or
    /// go on without.
    #[error("the store did not confirm the checkpoint")]
    Store(#[from] StoreError),
}

/// Whoever can save the checkpoints of a grant: an engine, whatever its store.
pub(crate) trait Notes: Send + Sync {
    /// Asks the store until it has answered or the time for it is over.
    fn save<'a>(&'a self, grant: &'a Grant, checkpoint: &'a Checkpoint) -> Saving<'a>;
}

/// The future of [`Notes::save`].
pub(crate) type Saving<'a> = Pin<Box<dyn Future<Output = Result<(), CheckpointError>> + Send + 'a>>;
