//! The wall clock of a real Redis, stepped while it runs, by a library that it preloads.
//!
//! The library is a page of C, compiled when a test asks for it. It keeps the monotonic clock as it is, as a step by an
//! operator does. libfaketime cannot be used here: under it `redis-server` hangs.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

const SOURCE: &str = include_str!("server_clock.c");

/// A wall clock for servers: the true time and an offset. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ServerClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    offset: File,
    directory: TempDir,
}

impl ServerClock {
    /// One that shows the true time.
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        compile(directory.path());
        let offset = File::create(directory.path().join("offset")).expect("a file can be made");
        let clock = Self(Arc::new(Inner { offset, directory }));
        clock.set(0);
        clock
    }

    /// It is so much ahead of the true time from now on.
    pub fn ahead(&self, by: Duration) {
        self.set(micros(by));
    }

    /// It is so much behind the true time from now on.
    pub fn behind(&self, by: Duration) {
        self.set(-micros(by));
    }

    /// It shows the true time again.
    pub fn right(&self) {
        self.set(0);
    }

    fn set(&self, micros: i64) {
        // In one piece: the server reads it at any moment.
        self.0.offset.write_all_at(&micros.to_ne_bytes(), 0).expect("a file can be written");
    }

    /// What a server is started with.
    pub(crate) fn environment(&self) -> [(OsString, OsString); 2] {
        let file = |name: &str| OsString::from(self.0.directory.path().join(name));
        [("LD_PRELOAD".into(), file("server_clock.so")), ("SERVER_CLOCK".into(), file("offset"))]
    }
}

impl Default for ServerClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Compiles the library into `directory`.
fn compile(directory: &Path) {
    let file = |name: &str| -> PathBuf { directory.join(name) };
    std::fs::write(file("server_clock.c"), SOURCE).expect("a file can be written");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(file("server_clock.so")).arg(file("server_clock.c"));
    let outcome = compiler.output().unwrap_or_else(|error| {
        panic!("no C compiler (`cc`: {error}), and a server's clock cannot be stepped without one: install gcc and libc6-dev")
    });
    assert!(outcome.status.success(), "cc: {}", String::from_utf8_lossy(&outcome.stderr));
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("a step that a clock can make")
}
