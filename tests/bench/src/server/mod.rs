//! The servers that are compared. Each is a process of its own, on a runtime of one thread.

mod floor;
mod layered;
mod nothing;
mod wrapping;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use axum::Router;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use clap::{Parser, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::Outcome;
use crate::handler::{Answers, charge};

/// Where requests go.
pub const PATH: &str = "/charges";

/// Where a server tells how often it has allocated.
pub const ALLOCATIONS: &str = "/allocations";

/// What stands in front of the handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// Nothing.
    Bare,
    /// A tower layer that does nothing: what axum charges for any layer.
    Layer,
    /// The same with body types of its own: what axum charges for any layer that looks at bodies.
    Wrapping,
    /// No layer; the handler sends the commands of the Redis store by hand.
    Floor,
    /// The middleware on the memory store.
    Memory,
    /// The same, with the fast fingerprint.
    MemoryFast,
    /// The middleware on the embedded store.
    Embedded,
    /// The middleware on the Redis store.
    Redis,
}

/// A server of the benchmarks.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// What stands in front of the handler.
    #[arg(long)]
    kind: Kind,
    /// The Redis server of `floor` and `redis`.
    #[arg(long, default_value = "redis://127.0.0.1:6379")]
    redis: String,
    /// The file of `embedded`.
    #[arg(long, default_value = "bench.redb")]
    file: PathBuf,
    /// How many bytes an answer's body has.
    #[arg(long, default_value_t = 200)]
    answer: usize,
    /// Serve until standard input is closed, too: then no server outlives whoever started it.
    #[arg(long)]
    with_stdin: bool,
}

/// Serves until SIGTERM. The first line on standard output is the address and the number of the process.
///
/// # Errors
///
/// Whatever keeps it from serving.
#[expect(clippy::print_stdout, reason = "the address is for the process that started this one")]
pub fn main(allocations: fn() -> u64) -> Outcome {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let router =
            router(&arguments).await?.route(ALLOCATIONS, get(move || async move { allocations().to_string() }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address: SocketAddr = listener.local_addr()?;
        println!("{address} {}", std::process::id());
        // Without it an answer in two writes waits for the client's acknowledgement of the first.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::select! {
            served = axum::serve(listener, router) => served?,
            _ = terminated.recv() => {}
            () = closed(arguments.with_stdin) => {}
        }
        Ok(())
    })
}

/// Standard input is at its end, if that is to be looked at.
async fn closed(is_awaited: bool) {
    let (ended, end) = oneshot::channel::<()>();
    if is_awaited {
        std::thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
            drop(ended);
        });
        drop(end.await);
    } else {
        std::future::pending::<()>().await;
    }
}

async fn router(arguments: &Arguments) -> Outcome<Router> {
    let answers = Answers::of(arguments.answer);
    let bare = Router::new().route(PATH, post(charge)).with_state(answers);
    Ok(match arguments.kind {
        Kind::Bare => bare,
        Kind::Layer => bare.route_layer(nothing::Nothing),
        Kind::Wrapping => bare.route_layer(wrapping::Wrapping),
        Kind::Floor => floor::router(&arguments.redis, answers).await?,
        Kind::Memory => layered::memory(bare)?,
        Kind::MemoryFast => layered::memory_fast(bare)?,
        Kind::Embedded => layered::embedded(bare, &arguments.file).await?,
        Kind::Redis => layered::redis(bare, &arguments.redis).await?,
    })
}
