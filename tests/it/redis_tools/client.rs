//! A client that sees every byte.

use std::net::SocketAddr;

use idempotency_tests::resp::Boundary;
use idempotency_tests::within;
use redis::cmd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to a server, or to what stands in front of it.
pub(super) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(super) async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends commands in one piece.
    pub(super) async fn send(&mut self, commands: &[&[&str]]) {
        self.stream.write_all(&packed(commands)).await.unwrap();
    }

    /// The next reply, or the bytes that came before the connection was cut.
    pub(super) async fn reply(&mut self) -> Result<String, String> {
        let mut boundary = Boundary::default();
        let reply = async {
            loop {
                if let Some(end) = boundary.end(&self.read).unwrap() {
                    return Ok(self.read.drain(..end).collect());
                }
                if matches!(self.stream.read_buf(&mut self.read).await, Ok(0) | Err(_)) {
                    return Err(std::mem::take(&mut self.read));
                }
            }
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        within("a reply or the end", reply).await.map(text).map_err(text)
    }

    pub(super) async fn ask(&mut self, command: &[&str]) -> Result<String, String> {
        self.send(&[command]).await;
        self.reply().await
    }
}

fn packed(commands: &[&[&str]]) -> Vec<u8> {
    let pack = |command: &&[&str]| {
        let mut packed = cmd(command[0]);
        packed.arg(&command[1..]);
        packed.get_packed_command()
    };
    commands.iter().flat_map(pack).collect()
}

/// The connection was cut before anything came.
pub(super) fn cut() -> Result<String, String> {
    Err(String::new())
}

/// This reply came.
#[allow(clippy::unnecessary_wraps, reason = "it is compared with what may be an error")]
pub(super) fn ok(reply: &str) -> Result<String, String> {
    Ok(reply.to_owned())
}
