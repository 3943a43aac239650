//! The wall clock of a real process, stepped while it runs, by Debian's libfaketime.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::{Options, Process, Server, eventually};

/// A wall clock for one process. Its monotonic clock stays the system's, as when an operator or NTP steps the time.
#[derive(Debug)]
pub struct WallClock {
    directory: TempDir,
    processes: Mutex<Vec<u32>>,
}

impl WallClock {
    /// A clock that shows `offset`, such as `+0d`: the true time and so many days.
    pub fn at(offset: &str) -> Self {
        let clock = Self { directory: TempDir::new().expect("a temporary directory"), processes: Mutex::default() };
        clock.step(offset);
        clock
    }

    /// Steps the clock of whoever runs on it. In one piece, for it is read all the time.
    pub fn step(&self, offset: &str) {
        let written = self.directory.path().join("next");
        std::fs::write(&written, offset).expect("a file can be written");
        std::fs::rename(written, self.file()).expect("a file can be replaced");
    }

    /// Starts a server on it. It must end before this does.
    pub async fn start(&self, server: Options) -> Server {
        let server = server
            .variable("LD_PRELOAD", utf8(&library()))
            .variable("FAKETIME_TIMESTAMP_FILE", utf8(&self.file()))
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .variable("DEMO_LOG", "debug")
            .variable("NO_COLOR", "1")
            .start()
            .await;
        self.processes.lock().unwrap().push(server.process.id());
        server
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("now")
    }
}

impl Drop for WallClock {
    /// A process that is killed leaves the library's shared memory behind.
    fn drop(&mut self) {
        for id in self.processes.lock().unwrap().iter() {
            for left in [format!("/dev/shm/faketime_shm_{id}"), format!("/dev/shm/sem.faketime_sem_{id}")] {
                let _ = std::fs::remove_file(left);
            }
        }
    }
}

/// Waits until the process is seen to live `days` off the true time: its log says so. `prod` makes it log something.
pub async fn until_off<F: Future>(process: &Process, days: i64, mut prod: impl FnMut() -> F) {
    let off = || {
        let prodded = prod();
        async move {
            prodded.await;
            let newest = process.log().lines().rev().find_map(time_of)?;
            (hours_from_now(newest).abs_diff(days * 24) <= 1).then_some(())
        }
    };
    eventually(&format!("the server's clock is {days} days off"), off).await;
}

fn hours_from_now(time: SystemTime) -> i64 {
    let hours = |distance: std::time::Duration| i64::try_from(distance.as_secs() / 3600).expect("some hours");
    match time.duration_since(SystemTime::now()) {
        Ok(ahead) => hours(ahead),
        Err(behind) => -hours(behind.duration()),
    }
}

/// The time that a line of the log begins with.
fn time_of(line: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(line.split_whitespace().next()?).ok()
}

/// Where the library is. It is a package of its own on Debian and Ubuntu, in a directory named after the platform.
fn library() -> PathBuf {
    let platforms = std::fs::read_dir("/usr/lib").expect("/usr/lib").filter_map(Result::ok).map(|entry| entry.path());
    let found = platforms.map(|platform| platform.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    found.expect("libfaketime is missing: `./tests/run` installs it, and so does `apt-get install libfaketime`")
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path of plain characters")
}
