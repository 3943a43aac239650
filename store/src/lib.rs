//! Where idempotency keys are kept.

mod answer;
mod boxed;
pub mod codec;
#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
mod ids;
mod lease;
#[cfg(feature = "memory")]
mod memory;
pub mod record;
mod store;
mod time;
mod verbs;

pub use answer::{Answer, Checkpoint, CheckpointTooLarge, Completed};
pub use boxed::BoxStore;
#[cfg(feature = "embedded")]
pub use embedded::EmbeddedStore;
pub use error::{DeadlinePassed, ErrorKind, StoreError};
pub use ids::{Fence, Fingerprint, Key, Owner, RandomError};
pub use lease::{Attempt, Grant, Lease, Terms, TermsError};
#[cfg(feature = "memory")]
pub use memory::{MemoryStore, StoreFull};
pub use store::{Store, Transact};
pub use time::{Clock, Deadline, ManualClock, SteadyClock, StoreTime};
pub use verbs::{
    Abandoned, Checkpointed, Claim, Claimed, Loss, OnAbandoned, Reason, Recorded, Released, Renewed, Resolution,
    Resolved,
};
