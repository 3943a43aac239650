//! How far the storm is, on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::AbortHandle;
use tokio::time::interval;

/// Often enough for a log, seldom enough for a reader of it.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

const BAR_REDRAWN_EVERY: Duration = Duration::from_millis(200);

/// What is counted while the storm is under way. The report counts for itself, from the histories.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    settled: AtomicU32,
    retries: AtomicU64,
    kills: AtomicU64,
}

impl Pulse {
    pub(crate) fn settled(&self) {
        self.settled.fetch_add(1, Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn killed(&self) {
        self.kills.fetch_add(1, Relaxed);
    }

    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Relaxed)
    }

    fn start_over(&self) {
        self.settled.store(0, Relaxed);
    }

    fn extras(&self) -> String {
        let (retries, kills) = (self.retries.load(Relaxed), self.kills());
        format!("{retries} retries, {kills} kills")
    }
}

/// The line or bar; gone when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    painter: AbortHandle,
}

impl Progress {
    /// Shows how many payments of `total` are through `what`.
    pub(crate) fn start(what: &'static str, total: u32, pulse: Arc<Pulse>) -> Self {
        pulse.start_over();
        let bar = io::stderr().is_terminal().then(|| bar(what, total));
        let painter = match bar.clone() {
            Some(bar) => tokio::spawn(paint_bar(bar, pulse)),
            None => tokio::spawn(write_lines(what, total, pulse)),
        };
        Self { bar, painter: painter.abort_handle() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.painter.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: u32) -> ProgressBar {
    let bar = ProgressBar::new(total.into()).with_prefix(what);
    let template = "{prefix} {bar:30} {pos}/{len} payments, {per_sec}, {eta} left, {msg}";
    // A template that does not parse would cost the looks, not the storm.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn paint_bar(bar: ProgressBar, pulse: Arc<Pulse>) {
    let mut tick = interval(BAR_REDRAWN_EVERY);
    loop {
        tick.tick().await;
        bar.set_position(pulse.settled.load(Relaxed).into());
        bar.set_message(pulse.extras());
    }
}

async fn write_lines(what: &'static str, total: u32, pulse: Arc<Pulse>) {
    let mut tick = interval(PLAIN_LINE_EVERY);
    // The first tick is at once, when there is nothing to tell.
    tick.tick().await;
    loop {
        tick.tick().await;
        let settled = pulse.settled.load(Relaxed);
        // Nobody reading is no reason to stop the storm.
        drop(writeln!(io::stderr(), "{what}: {settled}/{total} payments, {}", pulse.extras()));
    }
}
