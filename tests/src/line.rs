//! A line to a server that loses what it carries: a request, a reply, or the end of one.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Count;

/// Carries connections to a server. Each of them may be cut once; those for which no cut is planned go through.
///
/// It ends when it is dropped.
#[derive(Debug)]
pub struct Line {
    /// How many connections there were.
    pub connections: Count,
    url: String,
    cuts: Cuts,
    carrier: JoinHandle<()>,
}

/// Where a connection is cut, seen from the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// When the request begins: the server never sees it.
    Request,
    /// After so many bytes of the reply; none of them at 0. The server has carried it out.
    Reply(usize),
}

type Cuts = Arc<Mutex<VecDeque<Cut>>>;

impl Line {
    /// A line to the server at this address.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (connections, cuts) = (Count::default(), Cuts::default());
        let carrier = tokio::spawn(accept(listener, server, Arc::clone(&cuts), connections.clone()));
        Self { connections, url, cuts, carrier }
    }

    /// Where it listens, as `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts the next connections, each as the list says.
    pub fn cut(&self, cuts: impl IntoIterator<Item = Cut>) {
        self.cuts.lock().unwrap().extend(cuts);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, cuts: Cuts, connections: Count) {
    // Those that are carried end with the line.
    let mut carried = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.up();
        let cut = cuts.lock().unwrap().pop_front();
        // An error is a connection that was cut by one of its ends.
        carried.spawn(async move { carry(client, server, cut).await.unwrap_or_default() });
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, cut: Option<Cut>) -> io::Result<()> {
    let after = match cut {
        None => return copy_bidirectional(&mut client, &mut TcpStream::connect(server).await?).await.map(drop),
        Some(Cut::Request) => return client.read_u8().await.map(drop),
        Some(Cut::Reply(after)) => after,
    };
    let mut server = TcpStream::connect(server).await?;
    let ((mut requests, mut to_client), (mut replies, mut to_server)) = (client.split(), server.split());
    tokio::select! {
        gone = copy(&mut requests, &mut to_server) => gone.map(drop),
        cut = async {
            let first = replies.read_u8().await?;
            if after == 0 {
                return Ok(());
            }
            to_client.write_u8(first).await?;
            copy(&mut replies.take(after as u64 - 1), &mut to_client).await.map(drop)
        } => cut,
    }
}
