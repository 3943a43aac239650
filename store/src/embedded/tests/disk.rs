//! A disk in memory that fails, stalls and loses power when told to.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use redb::{Builder, StorageBackend};

use super::super::open::{Opened, Origin, check, found};
use super::super::refusal::{Fault, OpenError, Refusal};

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
    stalled: bool,
    opened: u32,
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

    /// A disk with what is left of this one after the loss of power.
    pub(super) fn after_power_loss(&self) -> Self {
        let left = Self::default();
        left.state().written = self.state().durable.clone();
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
        let open = || -> Result<Opened, Fault> {
            let database = Builder::new().create_with_backend(self.clone())?;
            let time = check(&database)?;
            Ok(Opened { database, time })
        };
        self.state().opened += 1;
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
        opened.unwrap_or_else(|_| Err(Refusal::Damaged.into())).map_err(|fault| fault.at(self.path()))
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
        Ok(())
    }
}
