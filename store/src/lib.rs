//! Where idempotency keys are kept: claims, leases, fencing tokens and recorded answers.
//!
//! A client that got no answer sends its request again. For the request to run once, its key must be *claimed* before the
//! work starts, by one owner, in a place that outlives the process; and the answer must be *recorded* there for those who ask
//! again. This crate is that place: a contract, [`Store`]; the life of a key as pure functions, [`record`]; stores that
//! fulfil the contract; and the suite of laws that they all pass, `conformance`.
//!
//! It knows nothing of HTTP, of handlers or of retries. Keys and fingerprints arrive as digests and answers as bytes; the
//! layer above makes them, runs the handler and renews the lease. Nothing here decides what is worth recording, reads a
//! header, sleeps, or starts a run.
//!
//! ```
//! use idempotency_store::*;
//! use std::time::Duration;
//!
//! # #[cfg(feature = "memory")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = MemoryStore::new();
//! let soon = || Deadline::after(Duration::from_secs(3));
//! let arrival = || -> Result<Claim, RandomError> {
//!     Ok(Claim {
//!         attempt: Attempt {
//!             key: Key::new([1; 32]),
//!             owner: Owner::random()?,
//!             fingerprint: Fingerprint::new([2; 32]),
//!         },
//!         terms: Terms::new(Duration::from_secs(30), Duration::from_secs(24 * 60 * 60)).unwrap(),
//!         high_water: None,
//!         on_abandoned: OnAbandoned::Refuse,
//!     })
//! };
//!
//! // The first arrival runs.
//! let Claimed::Acquired { grant, .. } = store.claim(&arrival()?, soon()).await? else { panic!() };
//! // A second one, meanwhile, does not.
//! assert!(matches!(store.claim(&arrival()?, soon()).await?, Claimed::InFlight { .. }));
//! // The first one is done; whoever asks from now on gets its answer.
//! store.complete(&grant, &Answer::Kept("201 Created".into()).into(), soon()).await?;
//! let Claimed::Completed(completed) = store.claim(&arrival()?, soon()).await? else { panic!() };
//! assert_eq!(completed.answer, Answer::Kept("201 Created".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # The life of a key
//!
//! ```text
//!                  claim                           complete
//!  Absent ---------------------> InFlight -----------------------> Completed
//!                                |  ^ ^  |                             ^
//!                        release |  | |  | abandon, or the             | complete, or
//!                                |  | |  | lease lapses                | resolve: it ran
//!      claim of                  |  | |  v                             |
//!      another owner             |  | +- Indeterminate ----------------+
//!                  +-------------|--+ (a)  |
//!                  |             v         |
//!                  +---------- Released <--+ resolve: it did not run
//!
//!  (a) a claim that may take over.       Everything ends as Absent: released after
//!                                        a minute, the others after their retention.
//! ```
//!
//! - **Absent**: never used, or forgotten. Every state but *released* is forgotten when its retention has passed.
//! - **In flight**: an owner holds a lease. Renewing makes it last its full term again.
//! - **Completed**: the answer, or a tombstone that says that it was not kept. It may have a retention of its own.
//! - **Indeterminate**: nobody knows whether it ran. Marked by an owner that gives up, or derived: the lease has lapsed. Its
//!   owner can still complete it, as long as nobody took over.
//! - **Released**: known not to have run. For a minute it refuses late packets of the attempt that was released.
//!
//! ## The transition table
//!
//! | from | verb | guard | to | reply |
//! |---|---|---|---|---|
//! | Absent | claim | | `InFlight`, fence *f* | Acquired |
//! | Released | claim | another owner | `InFlight`, greater *f* | Acquired |
//! | Released | claim | the same owner | | Stale |
//! | any but Released | claim | the fingerprint differs | | Mismatch |
//! | `InFlight` | claim | the same owner | its lease starts anew | Acquired, the same *f* |
//! | `InFlight` | claim | another owner, before the deadline | | `InFlight`, the time left |
//! | Indeterminate | claim | [`OnAbandoned::Refuse`], or attempts spent | | Indeterminate |
//! | Indeterminate | claim | [`OnAbandoned::Reexecute`], attempts left | `InFlight`, greater *f*, one attempt more | Acquired, with the checkpoint |
//! | Completed | claim | | | Completed, the answer |
//! | `InFlight` | renew | owner and fence | deadline and expiry move | Held |
//! | `InFlight` | checkpoint | owner and fence | the note is kept | Held |
//! | `InFlight`, Indeterminate | complete | owner and fence, even past the deadline | Completed | Recorded |
//! | Completed | complete | owner and fence | | Recorded; the first answer stays |
//! | `InFlight`, first attempt | release | owner, and fence if it is given | Released | Released |
//! | `InFlight`, taken over | release | owner, and fence if it is given | Indeterminate | Indeterminate |
//! | Released | release | the same owner | | Released |
//! | Absent | release | | Released | Absent |
//! | `InFlight` | abandon | owner and fence | Indeterminate | Abandoned |
//! | Indeterminate, marked | abandon | owner and fence | | Abandoned |
//! | Indeterminate | resolve | the fence that was seen | Completed (of no owner) or Released | Resolved |
//! | any other | resolve | | | Conflict |
//! | Completed, Indeterminate | erase | the fence that was seen | Released, of no owner | Erased |
//! | Released | erase | the fence that was seen | Released, of no owner | Erased |
//! | `InFlight` | erase | the fence that was seen | | `InFlight`, the time left |
//! | Absent | erase | | | Absent |
//! | any other | erase | | | Conflict |
//! | any | inspect, list | | | what stands |
//! | Absent | renew, complete | the grant is younger than its retention | written again | Recreated |
//! | any other | renew, checkpoint, complete, release, abandon | | | Lost, and how the key stands |
//!
//! An empty *to* means that nothing is written. A lease that has lapsed is *indeterminate* to claims and resolutions, and
//! still *in flight* to its owner. What may be written again is a matter of the grant's retention, whatever that of its
//! answer is. Two rows are there because replies get lost: a re-asked claim **starts the lease anew**,
//! since the owner counts from the reply that it has seen; and releasing an absent key **writes the tombstone**, since the
//! claim that is given up may still be on its way and would leave a record that nobody owns.
//!
//! ## The laws
//!
//! 1. The end of a lease never removes the key. Its record lasts for the retention, 24 hours usually; a key that vanished with
//!    its lease would run twice.
//! 2. A fence is at least the store's time in microseconds, greater than every fence of the key before, and greater than the
//!    one that the caller has seen. So it grows over release, expiry and fail-over.
//! 3. Every verb is idempotent per owner. After an error the same owner asks again, and the reply tells.
//!    [`ErrorKind`] says what may be concluded until then.
//! 4. One clock decides, the store's. The callers' clocks decide nothing; a [`Deadline`] only limits waiting.
//! 5. Release and resolution as *not executed* are the only ways to a second run that nobody has to ask for. A policy may ask
//!    for one ([`OnAbandoned::Reexecute`]), and so may an operator ([`Store::erase`]).
//! 6. A rejected verb changes nothing, so an owner that was paused can still complete.
//! 7. The transitions live in one place, [`record`]. What is not run from there is tested against it.
//!
//! # Choosing a store
//!
//! | store | survives | shared by | a claim costs |
//! |---|---|---|---|
//! | `MemoryStore` | nothing | the tasks of one process | a map access |
//! | `RedisStore` | what its servers' settings survive; a fail-over, by its `Durability` | any number of servers | a round trip, shared with others on the line, and the wait for replicas where there are any |
//! | `EmbeddedStore` | `kill -9`, loss of power | the tasks of one process, one file | a commit to the disk, shared by those who wait |
//!
//! [`BoxStore`] holds any of them, for choosing at run time. An `EncryptedStore`, with the feature `encrypt`, goes in front of any
//! of them and keeps what they hold from the eyes of those who can read it. A `CachedStore`, with the feature `cache`, goes in front
//! of any of them too, and answers repeated replays without asking them.
//!
//! Each has a twin for the other side: a [`FenceStore`] keeps the highest fence per key of those who *call* a service, and
//! refuses attempts that were superseded. See [`fence_store`].
//!
//! # Features
//!
//! | feature | default? | gives |
//! |---|---|---|
//! | `memory` | yes | `MemoryStore`, bounded, in this process's memory |
//! | `embedded` | | `EmbeddedStore`, durable, in one file of this host; needs rustc 1.90 and a tokio runtime |
//! | `redis` | | `RedisStore`, in Redis, which several processes share: one server, behind Sentinels or a Cluster; needs rustc 1.88 and a tokio runtime |
//! | `encrypt` | | `EncryptedStore`, in front of any of them: answers and checkpoints are sealed |
//! | `cache` | | `CachedStore`, in front of any of them: replays come from this process's memory for some seconds |
//! | `conformance` | | the suite of laws, for tests of stores |
//!
//! Features add stores; none changes how another behaves. The crate itself needs rustc 1.85.
//!
//! # Write your own store
//!
//! If your engine can read and write one record atomically, implement [`Transact`]: four methods, of which two do
//! something. [`Store`] comes with it.
//!
//! ```
//! use idempotency_store::record::{Record, Transition};
//! use idempotency_store::{
//!     Clock, Deadline, DeadlinePassed, Key, Listed, Scanned, SteadyClock, StoreError, StoreTime, Transact,
//! };
//! use std::collections::BTreeMap;
//! use std::num::NonZeroUsize;
//! use std::ops::Bound::{Excluded, Unbounded};
//! use std::sync::Mutex;
//!
//! struct MapStore {
//!     records: Mutex<BTreeMap<Key, Record>>,
//!     clock: SteadyClock,
//! }
//!
//! impl Transact for MapStore {
//!     async fn transact<R, F>(&self, key: Key, deadline: Deadline, transition: F) -> Result<R, StoreError>
//!     where
//!         R: Send + 'static,
//!         F: FnOnce(Option<&Record>, StoreTime) -> Transition<R> + Send + 'static,
//!     {
//!         if deadline.is_past() {
//!             return Err(StoreError::not_applied("map", DeadlinePassed));
//!         }
//!         let mut records = self.records.lock().map_err(|_| StoreError::not_applied("map", "poisoned"))?;
//!         let Transition { write, reply } = transition(records.get(&key), self.clock.now());
//!         if let Some(record) = write {
//!             records.insert(key, record);
//!         }
//!         Ok(reply)
//!     }
//!
//!     async fn scan(
//!         &self,
//!         after: Option<Key>,
//!         limit: NonZeroUsize,
//!         _: Deadline,
//!     ) -> Result<Vec<Scanned>, StoreError> {
//!         let records = self.records.lock().map_err(|_| StoreError::not_applied("map", "poisoned"))?;
//!         let now = self.clock.now();
//!         let behind = records.range((after.map_or(Unbounded, Excluded), Unbounded)).take(limit.get());
//!         Ok(behind.map(|(key, record)| Scanned::Record(Listed::new(*key, record, now))).collect())
//!     }
//!
//!     fn now(&self) -> StoreTime {
//!         self.clock.now()
//!     }
//!
//!     async fn ping(&self, _: Deadline) -> Result<(), StoreError> {
//!         Ok(())
//!     }
//! }
//!
//! fn is_a_store(_: impl idempotency_store::Store) {}
//! is_a_store(MapStore { records: Mutex::default(), clock: SteadyClock::new() });
//! ```
//!
//! An engine that keeps bytes uses [`codec`]. A record has to be removed at [`Record::expires_at`](record::Record::expires_at)
//! at the latest when space runs short, and never before. An engine that is told what to do in a language of its own, a
//! script or SQL, implements [`Store`] itself.
//!
//! Then have the suite look at it: a fixture and one line, with the feature `conformance` in the dev-dependencies. The
//! example `custom_store` is this store with its suite in full; `conformance` says what a fixture is.
//!
//! ```toml
//! [dev-dependencies]
//! idempotency-store = { version = "0.1", features = ["conformance"] }
//! ```
//!
//! # Formats, and upgrading
//!
//! Records carry the version of their bytes ([`codec::VERSION`]) and the embedded store's file that of its tables. A version of
//! this crate reads what earlier ones wrote. What a later one wrote is refused, [`ErrorKind::Corrupt`] for a record and an
//! error on opening for a file, and left as it is: so upgrade all servers that share a store before one of them writes
//! the new version. The same holds for an answer that is kept for less than two leases: versions before the one that has
//! [`Retention`] take its record for damaged. And for a checkpoint that a store in front has made larger than
//! [`Checkpoint::MAX_LEN`], since the version that has [`Checkpoint::MAX_STORED_LEN`].

mod answer;
mod boxed;
#[cfg(feature = "cache")]
pub mod cached;
pub mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "encrypt")]
pub mod encrypted;
mod entry;
mod error;
pub mod fence_store;
mod ids;
mod lease;
mod listing;
#[cfg(feature = "memory")]
mod memory;
pub mod record;
#[cfg(feature = "redis")]
pub mod redis;
mod state;
mod store;
mod time;
mod verbs;

#[cfg(feature = "redis")]
pub use self::redis::{
    Durability, DurabilityError, OnUnreplicated, RedisConfig, RedisConfigError, RedisConnectError, RedisCounts,
    RedisStore, Scripting,
};
pub use answer::{Answer, Checkpoint, CheckpointTooLarge, Completed, Completion};
pub use boxed::BoxStore;
#[cfg(feature = "cache")]
pub use cached::{CachedStore, ReplayTtlError};
#[cfg(feature = "embedded")]
pub use embedded::EmbeddedStore;
#[cfg(feature = "encrypt")]
pub use encrypted::{EncryptedStore, EncryptionKey, KeyRing, KeyRingError, SealError};
pub use entry::{Entry, Standing};
pub use error::{DeadlinePassed, ErrorKind, StoreError};
#[cfg(feature = "embedded")]
pub use fence_store::EmbeddedFenceStore;
#[cfg(feature = "memory")]
pub use fence_store::MemoryFenceStore;
#[cfg(feature = "redis")]
pub use fence_store::RedisFenceStore;
pub use fence_store::{Admitted, BoxFenceStore, FenceKey, FenceStore, Holder};
pub use ids::{Fence, Fingerprint, Key, Owner, RandomError};
pub use lease::{Attempt, Grant, Lease, Retention, Terms, TermsError};
pub use listing::{Cursor, CursorError, ForeignCursor, Listed, Page, Query, Scanned};
#[cfg(feature = "memory")]
pub use memory::{MemoryStore, StoreFull};
pub use store::{Store, Transact};
pub use time::{Clock, Deadline, ManualClock, SteadyClock, StoreTime};
pub use verbs::{
    Abandoned, Checkpointed, Claim, Claimed, Erased, Indeterminate, Loss, OnAbandoned, Reason, Recorded, Released,
    Renewed, Resolution, Resolved, Seen,
};
