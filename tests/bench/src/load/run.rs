//! The loop.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::arguments::Arguments;
use super::connection::{Answered, Connection};
use super::pace::Pace;
use super::report::{Report, Tally};
use super::requests::Requests;
use crate::Outcome;

/// The token of the timer; connections have those below.
const TIMER: Token = Token(usize::MAX - 1);

/// A server that says nothing for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(30);

/// When no more requests are sent.
#[derive(Clone, Copy, Debug)]
enum Until {
    Requests(u64),
    Time(Duration),
}

pub(super) struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    requests: Requests,
    pace: Option<Pace>,
    arguments: Arguments,
}

impl Load {
    pub(super) fn connect(arguments: &Arguments) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for number in 0..arguments.connections {
            let stream = std::net::TcpStream::connect(arguments.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut connection = Connection::new(TcpStream::from_std(stream));
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut connection.stream, Token(number), interest)?;
            connections.push(connection);
        }
        Ok(Self {
            events: Events::with_capacity(1024),
            idle: (0..connections.len()).collect(),
            connections,
            requests: Requests::new(arguments),
            pace: arguments.rate.map(|rate| Pace::new(rate, poll.registry(), TIMER)).transpose()?,
            arguments: arguments.clone(),
            poll,
        })
    }

    /// Sends each key once that will be repeated.
    pub(super) fn prime(&mut self) -> Outcome {
        let keys = self.requests.to_prime();
        let pace = self.pace.take();
        if keys > 0 {
            self.run(Until::Requests(keys))?;
        }
        self.pace = pace;
        Ok(())
    }

    pub(super) fn warm_up(&mut self) -> Outcome {
        if self.arguments.requests.is_none() && self.arguments.warm_up > 0.0 {
            self.run(Until::Time(Duration::from_secs_f64(self.arguments.warm_up)))?;
        }
        Ok(())
    }

    pub(super) fn measure(&mut self) -> Outcome<Report> {
        let time = Until::Time(Duration::from_secs_f64(self.arguments.seconds));
        self.run(self.arguments.requests.map_or(time, Until::Requests))
    }

    /// Puts the load on, and waits for the last answer.
    fn run(&mut self, until: Until) -> Outcome<Report> {
        let mut tally = Tally::new()?;
        let begun = Instant::now();
        let mut sent = 0;
        if let Some(pace) = &mut self.pace {
            pace.start()?;
        }
        loop {
            let now = Instant::now();
            let is_over = match until {
                Until::Requests(requests) => sent >= requests,
                Until::Time(time) => now - begun >= time,
            };
            if !is_over {
                let most = if let Until::Requests(requests) = until { requests - sent } else { u64::MAX };
                sent += self.send(now, most)?;
            } else if self.idle.len() == self.connections.len() {
                return Ok(tally.report(begun.elapsed()));
            }
            self.turn(&mut tally)?;
        }
    }

    /// Sends what may be sent now, and says how much it was.
    fn send(&mut self, now: Instant, most: u64) -> io::Result<u64> {
        if let Some(pace) = &mut self.pace {
            pace.tick(now)?;
        }
        let mut sent = 0;
        while sent < most && !self.idle.is_empty() {
            let since = match &mut self.pace {
                None => Instant::now(),
                Some(pace) => match pace.take() {
                    Some(due) => due,
                    None => break,
                },
            };
            let connection = self.idle.pop_front().and_then(|number| self.connections.get_mut(number));
            let Some(connection) = connection else { break };
            connection.send(&mut self.requests, since)?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Waits until something happens, and takes it in.
    fn turn(&mut self, tally: &mut Tally) -> Outcome {
        self.poll.poll(&mut self.events, Some(SILENCE))?;
        if self.events.is_empty() {
            return Err("the server does not answer".into());
        }
        for event in &self.events {
            let Token(number) = event.token();
            let Some(connection) = self.connections.get_mut(number) else { continue };
            if event.is_writable() {
                connection.go_on_sending()?;
            }
            if let Some(Answered { status, is_replay, since }) = connection.receive()? {
                tally.answered(since.elapsed());
                tally.failures += u64::from(!(200..300).contains(&status));
                tally.replays += u64::from(is_replay);
                self.idle.push_back(number);
            }
        }
        Ok(())
    }
}
