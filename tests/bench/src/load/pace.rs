//! When requests are due.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Requests that are due at fixed times. The timer is the kernel's: epoll's own time-outs are of whole milliseconds.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    timer: OwnedFd,
    next: Instant,
    due: VecDeque<Instant>,
}

impl Pace {
    pub(super) fn new(rate: f64, registry: &Registry, token: Token) -> io::Result<Self> {
        let interval = Duration::from_secs_f64(1.0 / rate);
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { interval, timer, next: Instant::now(), due: VecDeque::new() })
    }

    /// Begins anew.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let every = Timespec { tv_sec: 0, tv_nsec: self.interval.as_nanos().try_into().unwrap_or(999_999_999) };
        let setting = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        self.due.clear();
        self.next = Instant::now() + self.interval;
        Ok(())
    }

    /// Notes what has become due until now.
    pub(super) fn tick(&mut self, now: Instant) -> io::Result<()> {
        match rustix::io::read(&self.timer, &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        while self.next <= now {
            self.due.push_back(self.next);
            self.next += self.interval;
        }
        Ok(())
    }

    /// The time of the request that has been due for longest.
    pub(super) fn take(&mut self) -> Option<Instant> {
        self.due.pop_front()
    }
}
