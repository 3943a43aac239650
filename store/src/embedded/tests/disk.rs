//! A disk in memory that fails, stalls and loses power when told to.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use redb::{Builder, StorageBackend};

use super::super::open::{Opened, Origin, found, opened};
use super::super::refusal::{Fault, OpenError, Refusal};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mode {
    #[default]
    Works,
    /// Writes fail; nothing reaches the disk.
    FailsToWrite,
    /// This many syncs succeed, then all fail. What was written before them stays visible.
    FailsToSync(u32),
    /// A write panics, once.
    Panics,
    /// Syncs wait.
    Stalls,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    /// What the system shows.
    written: Vec<u8>,
    /// What the loss of power leaves.
    durable: Vec<u8>,
    /// What was written since then, in order.
    pending: Vec<(usize, Vec<u8>)>,
    stalled: bool,
    opened: u32,
    /// Whether all of it had to be read, at any time, to open it.
    was_read_through: bool,
    is_large: bool,
}

/// Cloning shares the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<(Mutex<State>, Condvar)>);

impl Disk {
    /// A disk that holds a new store.
    pub(super) fn new() -> Self {
        let disk = Self::default();
        found(&Builder::new().create_with_backend(disk.clone()).unwrap()).unwrap();
        disk
    }

    /// The same, taken for one that would take long to read.
    pub(super) fn large() -> Self {
        let disk = Self::new();
        disk.state().is_large = true;
        disk
    }

    /// A disk with what is left of this one after the loss of power, if by chance some of the sectors that were not synced
    /// yet had reached it, and others not.
    pub(super) fn torn(&self, seed: u64) -> Self {
        let left = Self::default();
        let state = self.state();
        let mut image = state.durable.clone();
        image.resize(state.written.len(), 0);
        let mut random = seed;
        for (offset, data) in &state.pending {
            for (number, sector) in data.chunks(SECTOR).enumerate() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // The higher the seed, the more of them.
                if (random >> 33) % 64 <= seed % 64 {
                    let at = offset + number * SECTOR;
                    image[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        left.state().written = image;
        left
    }

    /// A disk with what is left of this one after the loss of power.
    pub(super) fn after_power_loss(&self) -> Self {
        let left = Self::default();
        left.state().written.clone_from(&self.state().durable);
        left
    }

    pub(super) fn set(&self, mode: Mode) {
        self.state().mode = mode;
        self.0.1.notify_all();
    }

    /// Waits until a sync is stalled. A store that never syncs fails the test instead of hanging it.
    pub(super) fn wait_until_stalled(&self) {
        let patience = Duration::from_secs(30);
        let (state, _) = self.0.1.wait_timeout_while(self.state(), patience, |state| !state.stalled).unwrap();
        assert!(state.stalled, "the store did not sync");
    }

    /// How often the database was opened.
    pub(super) fn opened(&self) -> u32 {
        self.state().opened
    }

    /// Whether all of it had to be read, at any time, to open it.
    pub(super) fn was_read_through(&self) -> bool {
        self.state().was_read_through
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking write poisons the mutex on purpose.
        self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Origin for Disk {
    fn path(&self) -> &Path {
        Path::new("disk")
    }

    fn create(&self) -> Result<(), OpenError> {
        Ok(())
    }

    fn open(&self) -> Result<Opened, OpenError> {
        let repairing = self.clone();
        let open = || -> Result<Opened, Fault> {
            let mut builder = Builder::new();
            builder.set_repair_callback(move |_| repairing.state().was_read_through = true);
            opened(builder.create_with_backend(self.clone())?)
        };
        self.state().opened += 1;
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
        opened.unwrap_or_else(|_| Err(Refusal::Damaged.into())).map_err(|fault| fault.at(self.path()))
    }

    fn is_large(&self) -> bool {
        self.state().is_large
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.state().written[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().written.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.mode == Mode::Stalls {
            state.stalled = true;
            self.0.1.notify_all();
            state = self.0.1.wait_while(state, |state| state.mode == Mode::Stalls).unwrap();
            state.stalled = false;
        }
        match state.mode {
            Mode::FailsToSync(0) => return Err(io::Error::other("the disk failed to sync")),
            Mode::FailsToSync(left) => state.mode = Mode::FailsToSync(left - 1),
            _ => {}
        }
        state.durable = state.written.clone();
        state.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        match state.mode {
            Mode::FailsToWrite => return Err(io::Error::other("the disk failed to write")),
            Mode::Panics => {
                state.mode = Mode::Works;
                panic!("the disk panicked");
            }
            _ => {}
        }
        let offset = usize::try_from(offset).unwrap();
        state.written[offset..offset + data.len()].copy_from_slice(data);
        state.pending.push((offset, data.to_vec()));
        Ok(())
    }
}
