//! The line between a client and Redis, which fails on demand: cut before or after a command took effect, cut within a
//! reply, slow, silent, mixed up. It knows of Redis's protocol where commands and replies begin and end.

mod fault;
mod line;
mod rules;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub use fault::{LineFault, any, named};

use crate::redis_server::free_port;
use crate::resp::Command;
use crate::{Count, within};
use rules::{Rules, When};

/// Passes everything on to a server and back, except as told. All connections end when it is dropped.
///
/// Of the faults that a command could meet, it meets the one that was set first. A subscriber's or a monitor's connection
/// is beyond it: there a command has more than one reply.
#[derive(Debug)]
pub struct RedisProxy {
    /// How many connections it has accepted.
    pub accepted: Count,
    /// How many commands have come to it.
    pub commands: Count,
    /// How many commands have met a fault.
    pub struck: Count,
    address: SocketAddr,
    rules: Rules,
    lines: Arc<Lines>,
    /// Accepts connections, unless they are refused.
    door: Mutex<Option<JoinHandle<()>>>,
}

/// The connections, and what they are made of.
#[derive(Debug)]
struct Lines {
    server: Mutex<SocketAddr>,
    rules: Rules,
    accepted: Count,
    open: Mutex<JoinSet<()>>,
}

impl RedisProxy {
    /// Starts one in front of the server at this address.
    pub async fn to(server: SocketAddr) -> Self {
        let rules = Rules::default();
        let lines =
            Lines { server: server.into(), rules: rules.clone(), accepted: Count::default(), open: Mutex::default() };
        let proxy = Self {
            accepted: lines.accepted.clone(),
            commands: rules.commands.clone(),
            struck: rules.struck.clone(),
            address: (Ipv4Addr::LOCALHOST, free_port().await).into(),
            rules,
            lines: Arc::new(lines),
            door: Mutex::default(),
        };
        proxy.accept_connections().await;
        proxy
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client takes for its server: `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The next `times` commands that `matches` accepts fail like this.
    pub fn next(&self, times: usize, matches: impl Fn(&Command) -> bool + Send + 'static, fault: LineFault) {
        self.rules.add(matches, When::Next(times), fault);
    }

    /// From now on every command that `matches` accepts fails like this.
    pub fn set(&self, matches: impl Fn(&Command) -> bool + Send + 'static, fault: LineFault) {
        self.every(1, matches, fault);
    }

    /// From now on each `nth` of the commands that `matches` accepts fails like this.
    pub fn every(&self, nth: usize, matches: impl Fn(&Command) -> bool + Send + 'static, fault: LineFault) {
        self.rules.add(matches, When::Every { nth, seen: 0 }, fault);
    }

    /// From now on a command that `matches` accepts fails like this with the given probability, from 0 to 1.
    ///
    /// The draws come from a seed that is printed; `PROXY_SEED` in the environment repeats them, in the order in which
    /// commands come.
    pub fn chance(&self, probability: f64, matches: impl Fn(&Command) -> bool + Send + 'static, fault: LineFault) {
        self.rules.announce_seed();
        self.rules.add(matches, When::Chance(probability), fault);
    }

    /// From now on no command fails. Those that already have stay so, and what waits at a gate waits until that opens.
    pub fn heal(&self) {
        self.rules.clear();
    }

    /// How many commands of this name have come to it.
    pub fn seen(&self, name: &str) -> usize {
        self.rules.seen(name).get()
    }

    /// Waits until so many commands of this name have come to it.
    pub async fn until_seen(&self, name: &str, times: usize) {
        within(&format!("{name} comes {times} times"), self.rules.seen(name).reached(times)).await;
    }

    /// Waits until so many commands have met a fault.
    pub async fn until_struck(&self, times: usize) {
        within(&format!("{times} commands meet a fault"), self.struck.reached(times)).await;
    }

    /// How many connections there are now.
    pub fn connections(&self) -> usize {
        self.lines.open().len()
    }

    /// Waits until there are so many connections.
    pub async fn until_connections(&self, number: usize) {
        let reached = || async { (self.connections() == number).then_some(()) };
        crate::eventually(&format!("{number} connections are open"), reached).await;
    }

    /// From now on new connections go to this server, as when an address moves. Those that there are stay where they are.
    pub fn redirect(&self, server: SocketAddr) {
        *self.lines.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Cuts every connection, and waits until they are gone. What commands wait at gates are lost.
    pub async fn cut_all(&self) {
        let mut cut = std::mem::take(&mut *self.lines.open());
        cut.shutdown().await;
    }

    /// From now on nobody listens on its port. Connections that there are stay.
    pub async fn refuse_connections(&self) {
        let door = self.door().take();
        if let Some(door) = door {
            door.abort();
            // It was cancelled, and that its listener is gone is all that matters.
            let _ = door.await;
        }
    }

    /// Listens again.
    pub async fn accept_connections(&self) {
        self.refuse_connections().await;
        let listener = TcpListener::bind(self.address).await.expect("its own port is free");
        let door = tokio::spawn(Arc::clone(&self.lines).accept(listener));
        *self.door() = Some(door);
    }

    fn door(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (client, _from) = listener.accept().await.expect("connections can be accepted");
            let (server, rules) = (self.server(), self.rules.clone());
            self.open().spawn(async move {
                // A server that is not there is a connection that ends at once.
                if let Ok(server) = TcpStream::connect(server).await {
                    line::carry(client, server, &rules).await;
                }
            });
            self.accepted.up();
        }
    }

    fn server(&self) -> SocketAddr {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that have not ended.
    fn open(&self) -> MutexGuard<'_, JoinSet<()>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while open.try_join_next().is_some() {}
        open
    }
}

impl Drop for RedisProxy {
    fn drop(&mut self) {
        if let Some(door) = self.door().take() {
            door.abort();
        }
        self.lines.open().abort_all();
    }
}
