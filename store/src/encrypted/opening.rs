//! Sealing what goes into a store and opening what comes out, wherever in a question or a reply it is.

use super::seal::{self, Role, SealError};
use super::{EncryptedStore, NAME};
use crate::record::{Record, State};
use crate::{Answer, Checkpoint, Completed, Entry, Fence, Fingerprint, Grant, Indeterminate, Key, Loss, StoreError};

impl<S> EncryptedStore<S> {
    pub(super) fn seal_answer(&self, key: &Key, fence: Fence, answer: &Answer) -> Result<Answer, StoreError> {
        let seal = |role, value| seal::seal(&self.ring, key, role, value);
        let sealed = match answer {
            Answer::Kept(value) => seal(Role::Kept(fence), value).map(Answer::Kept),
            Answer::NotKept(note) => seal(Role::NotKept(fence), note).map(Answer::NotKept),
        };
        sealed.map_err(|error| StoreError::not_applied(NAME, error))
    }

    pub(super) fn seal_checkpoint(&self, grant: &Grant, checkpoint: &Checkpoint) -> Result<Checkpoint, StoreError> {
        let role = Role::Checkpoint(grant.attempt.fingerprint);
        let sealed = seal::seal(&self.ring, &grant.attempt.key, role, checkpoint.as_bytes());
        let sealed = sealed.map_err(|error| StoreError::not_applied(NAME, error))?;
        Checkpoint::from_stored(sealed).map_err(|error| StoreError::not_applied(NAME, error))
    }

    pub(super) fn open_completed(&self, key: &Key, completed: Completed) -> Result<Completed, StoreError> {
        let answer = self.open_answer(key, completed.fence, completed.answer)?;
        Ok(Completed { answer, ..completed })
    }

    pub(super) fn open_indeterminate(
        &self,
        key: &Key,
        fingerprint: Fingerprint,
        known: Indeterminate,
    ) -> Result<Indeterminate, StoreError> {
        let checkpoint = self.open_checkpoint(key, fingerprint, known.checkpoint)?;
        Ok(Indeterminate { checkpoint, ..known })
    }

    pub(super) fn open_checkpoint(
        &self,
        key: &Key,
        fingerprint: Fingerprint,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        let role = Role::Checkpoint(fingerprint);
        let opened = match seal::open(&self.ring, key, role, checkpoint.as_bytes()) {
            Ok(value) => Checkpoint::from_stored(value).map_err(|error| StoreError::corrupt(NAME, error))?,
            Err(error) => self.excused(error, checkpoint)?,
        };
        Ok(Some(opened))
    }

    /// What a verb says to a caller that does not hold the key.
    pub(super) fn open_loss(&self, key: &Key, loss: Loss) -> Result<Loss, StoreError> {
        match loss {
            Loss::Completed(completed) => self.open_completed(key, completed).map(Loss::Completed),
            Loss::InFlight { .. } | Loss::Indeterminate | Loss::Released | Loss::Mismatch | Loss::Absent => Ok(loss),
        }
    }

    pub(super) fn open_entry(&self, entry: Entry) -> Result<Entry, StoreError> {
        let (key, fence, fingerprint) = (entry.key, entry.record.fence, entry.record.fingerprint);
        let note = |checkpoint| self.open_checkpoint(&key, fingerprint, checkpoint);
        let state = match entry.record.state {
            State::InFlight { checkpoint } => State::InFlight { checkpoint: note(checkpoint)? },
            State::Completed(answer) => State::Completed(self.open_answer(&key, fence, answer)?),
            State::Indeterminate { reason, checkpoint } => {
                State::Indeterminate { reason, checkpoint: note(checkpoint)? }
            }
            State::Released => State::Released,
        };
        Ok(Entry { record: Record { state, ..entry.record }, ..entry })
    }

    fn open_answer(&self, key: &Key, fence: Fence, answer: Answer) -> Result<Answer, StoreError> {
        let open = |role, sealed| seal::open(&self.ring, key, role, sealed);
        let opened = match &answer {
            Answer::Kept(sealed) => open(Role::Kept(fence), sealed).map(Answer::Kept),
            Answer::NotKept(sealed) => open(Role::NotKept(fence), sealed).map(Answer::NotKept),
        };
        opened.or_else(|error| self.excused(error, answer))
    }

    /// The value as it is, if that it is not sealed is all that is wrong with it and is accepted.
    fn excused<T>(&self, error: SealError, value: T) -> Result<T, StoreError> {
        if self.accepts_plaintext && error == SealError::NotSealed {
            return Ok(value);
        }
        Err(StoreError::corrupt(NAME, error))
    }
}
