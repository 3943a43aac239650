//! How long processes have run.

use std::fs;
use std::time::Duration;

use crate::Outcome;

/// The time that all threads of a process have spent on processors, as the scheduler counts it in nanoseconds.
pub(super) fn run_time(id: u32) -> Outcome<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        // A thread may end while it is looked at.
        let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let nanos = schedstat.split_whitespace().next().and_then(|field| field.parse().ok());
        total += Duration::from_nanos(nanos.ok_or("the kernel keeps no schedstat")?);
    }
    Ok(total)
}
