//! Connections that die on purpose.
//!
//! A client library hides connections; this is about them. Each client has its own, keeps those that ended a request well, as a
//! good client does, and cuts the others so that the server sees it:
//!
//! - an answer is lost by reading its head and closing the socket;
//! - a client leaves by writing the whole request to the socket, waiting a moment and closing it. The bytes are with the kernel
//!   by then, so the server gets the request, and the end of the connection right behind it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};

use super::base::Base;
use super::history::Fate;
use super::plan::Fault;

/// Whose payments these are.
const MERCHANT: &str = "Bearer storm-merchant";

/// A receipt has some 200 bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// How long the program listens before it cuts a connection whose answer has begun: what the head's packet carried is there at
/// once, and the client gets none of it.
const EAVESDROP: Duration = Duration::from_millis(5);

/// One request, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Which of the servers gets it; taken modulo their number.
    pub(crate) server: u32,
    /// Its idempotency key, as it is written into the field.
    pub(crate) key: String,
    /// Its body.
    pub(crate) body: Bytes,
}

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Wire {
    servers: Arc<[Base]>,
    patience: Duration,
    idle: Mutex<Vec<Connection>>,
}

/// What came of a request: how it ended, and what was seen of the answer.
pub(crate) type Outcome = (Fate, Option<Response<Bytes>>);

impl Wire {
    pub(crate) fn new(servers: Arc<[Base]>, patience: Duration) -> Self {
        Self { servers, patience, idle: Mutex::default() }
    }

    /// Sends a request and lets happen to it what the plan says.
    pub(crate) async fn send(&self, order: &Order, fault: Fault) -> Outcome {
        let number = order.server as usize % self.servers.len().max(1);
        let Some(server) = self.servers.get(number) else {
            return (Fate::NotConnected, None);
        };
        let sending = async {
            match fault {
                Fault::Spared => self.hear_out(server, order).await,
                Fault::LoseReply => self.hang_up_on(server, order).await,
                Fault::Disconnect { after } => walk_away(server, order, after).await,
            }
        };
        // Dropping the future drops the connection: a client that has waited long enough leaves as well.
        timeout(self.patience, sending).await.unwrap_or((Fate::TimedOut, None))
    }

    async fn hear_out(&self, server: &Base, order: &Order) -> Outcome {
        let Ok(mut connection) = self.connection(server).await else {
            return (Fate::NotConnected, None);
        };
        let Ok(head) = connection.ask(order).await else {
            return (Fate::Broken, None);
        };
        match read(head).await {
            Some(answer) => {
                self.keep(connection);
                (Fate::Answered, Some(answer))
            }
            None => (Fate::Broken, None),
        }
    }

    async fn hang_up_on(&self, server: &Base, order: &Order) -> Outcome {
        let Ok(mut connection) = self.connection(server).await else {
            return (Fate::NotConnected, None);
        };
        let Ok(head) = connection.ask(order).await else {
            return (Fate::Broken, None);
        };
        let overheard = timeout(EAVESDROP, read(head)).await.ok().flatten();
        drop(connection);
        (Fate::ReplyLost, overheard)
    }

    /// A connection that is open as far as can be known, or a new one.
    async fn connection(&self, server: &Base) -> io::Result<Connection> {
        while let Some(mut idle) = self.idle_connection(server) {
            if idle.sender.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        Connection::open(server).await
    }

    fn idle_connection(&self, server: &Base) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.iter().position(|connection| connection.server == *server)?;
        Some(idle.swap_remove(found))
    }

    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// One connection. Dropping it closes the socket, whatever is under way on it.
#[derive(Debug)]
struct Connection {
    server: Base,
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Connection {
    async fn open(server: &Base) -> io::Result<Self> {
        let stream = TcpStream::connect(server.address()).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // How it ends shows in the answer that does or does not come.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { server: server.clone(), sender, driver })
    }

    async fn ask(&mut self, order: &Order) -> io::Result<Response<Incoming>> {
        let request = Request::post(self.server.path("/payments"))
            .header(header::HOST, self.server.authority())
            .header(header::AUTHORIZATION, MERCHANT)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", order.key.as_str())
            .body(Full::new(order.body.clone()))
            .map_err(io::Error::other)?;
        self.sender.send_request(request).await.map_err(io::Error::other)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn read(head: Response<Incoming>) -> Option<Response<Bytes>> {
    let (parts, body) = head.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await.ok()?.to_bytes();
    Some(Response::from_parts(parts, body))
}

/// Sends a whole request and closes the socket a moment later, answer or not.
async fn walk_away(server: &Base, order: &Order, after: Duration) -> Outcome {
    let Ok(mut stream) = TcpStream::connect(server.address()).await else {
        return (Fate::NotConnected, None);
    };
    if write(&mut stream, server, order).await.is_err() {
        return (Fate::Broken, None);
    }
    let leaves = tokio::time::Instant::now() + after;
    let fate = match timeout_at(leaves, stream.peek(&mut [0])).await {
        Err(_) => Fate::Disconnected,
        // The server was faster: this client missed an answer instead of leaving before it.
        Ok(Ok(1..)) => Fate::ReplyLost,
        Ok(_) => Fate::Broken,
    };
    (fate, None)
}

async fn write(stream: &mut TcpStream, server: &Base, order: &Order) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: {MERCHANT}\r\ncontent-type: application/json\r\n\
         idempotency-key: {}\r\ncontent-length: {}\r\n\r\n",
        server.path("/payments"),
        server.authority(),
        order.key,
        order.body.len(),
    );
    let request = [head.as_bytes(), &order.body].concat();
    stream.write_all(&request).await
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
