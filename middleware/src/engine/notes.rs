//! Saving the note that an owner leaves for whoever may have to take over.

use idempotency_store::{Checkpoint, Checkpointed, Grant, Store};

use super::Engine;
use crate::checkpoint::{CheckpointError, Notes, Saving};

impl<S: Store> Notes for Engine<S> {
    fn save<'a>(&'a self, grant: &'a Grant, checkpoint: &'a Checkpoint) -> Saving<'a> {
        Box::pin(async move {
            let ask = |until| self.store.checkpoint(grant, checkpoint, until);
            match self.insist(self.verb_deadline(), ask).await? {
                Checkpointed::Held => Ok(()),
                Checkpointed::Lost(_) => Err(CheckpointError::Lost),
            }
        })
    }
}
